package main

import (
	"encoding/json"
	"io"
	"math"
)

// A Report is all that was measured.
type Report struct {
	Machine Machine  `json:"machine"`
	Calls   []Count  `json:"calls"`
	Near    Load     `json:"load"`
	Far     Load     `json:"load_at_distance"`
	Start   Starts   `json:"start"`
	Records int      `json:"records,omitempty"`
	Among   Load     `json:"load_among_records,omitempty"`
	Targets []Target `json:"targets"`
}

// writeJSON writes the rounds as they were, not their medians alone.
func (r *Report) writeJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(r)
}

// calls returns what a delivery costs a receiver in calls.
func (r *Report) calls(receiver string, concurrency int) float64 {
	for _, c := range r.Calls {
		if c.Receiver == receiver && c.Concurrency == concurrency {
			return c.Calls
		}
	}
	return math.NaN()
}

// A number may be missing, which JSON has another word for.
type number float64

var missing = number(math.NaN())

// MarshalJSON writes null for what is missing.
func (n number) MarshalJSON() ([]byte, error) {
	if math.IsNaN(float64(n)) {
		return []byte("null"), nil
	}
	return json.Marshal(float64(n))
}
