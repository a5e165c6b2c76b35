package main

import (
	"fmt"
	"math"
)

// A Disturbance says in how many of the measurements that count others took too much of the processors' time.
type Disturbance struct {
	Measurements int    `json:"measurements"`
	Disturbed    number `json:"disturbed"`
}

// add adds a measurement by the share that others took. Once that is not a number, Disturbed is missing.
func (d *Disturbance) add(others float64) {
	d.Measurements++
	if math.IsNaN(others) {
		d.Disturbed = missing
	} else if others >= quietShare {
		d.Disturbed++
	}
}

func (d Disturbance) String() string {
	if math.IsNaN(float64(d.Disturbed)) {
		return "measurements disturbed by other work: unknown"
	}
	return fmt.Sprintf("%.0f of %d measurements disturbed by other work", d.Disturbed, d.Measurements)
}
