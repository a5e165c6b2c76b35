// Package settings reads the functions' settings from the environment, reports all
// faults at once by the names of the variables, and opens the parts that every
// function needs.
//
// The libraries that fill a struct from the environment name the Go field in their
// errors, or stop at the first one. Whoever sets up a function knows the variable.
package settings

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// A Reader reads settings and remembers their faults. Its zero value reads the
// process's environment. A variable that is empty counts as unset. It is not safe
// for concurrent use.
type Reader struct {
	// Lookup returns a variable, empty if it is unset. Nil means the process's
	// environment.
	Lookup func(name string) string

	faults []error
}

// Err returns all faults so far, or nil: a line each, with the variable's name first.
func (r *Reader) Err() error { return errors.Join(r.faults...) }

// Fault records that the variable is wrong, and why. If why has several lines, each is
// a fault of its own.
func (r *Reader) Fault(name string, why error) {
	r.faults = append(r.faults, fault{name, why})
}

type fault struct {
	name string
	why  error
}

func (f fault) Error() string {
	return f.name + ": " + strings.ReplaceAll(f.why.Error(), "\n", "\n"+f.name+": ")
}

func (f fault) Unwrap() error { return f.why }

// String returns the variable, or fallback if it is unset.
func (r *Reader) String(name, fallback string) string {
	lookup := r.Lookup
	if lookup == nil {
		lookup = os.Getenv
	}
	return cmp.Or(strings.TrimSpace(lookup(name)), fallback)
}

// Required returns the variable. That it is unset is a fault.
func (r *Reader) Required(name string) string {
	text := r.String(name, "")
	if text == "" {
		r.Fault(name, errors.New("not set"))
	}
	return text
}

// project returns the variable, the id of a Google Cloud project: 6 to 30 lower-case
// letters, digits and hyphens, a letter first and no hyphen last, perhaps after a
// domain and a colon; or its number. That it is unset, or neither, is a fault.
func (r *Reader) project(name string) string {
	text := r.Required(name)
	id := text
	if domain, after, ok := strings.Cut(text, ":"); ok && strings.Trim(domain, letters+digits+"-.") == "" {
		id = after
	}
	number := strings.Trim(text, digits) == "" // no fault of its own if it is unset
	if !number && (len(id) < 6 || len(id) > 30 || strings.Trim(id, letters+digits+"-") != "" ||
		!strings.Contains(letters, id[:1]) || strings.HasSuffix(id, "-")) {
		r.Fault(name, errors.New("not the id of a Google Cloud project"))
	}
	return text
}

const (
	letters = "abcdefghijklmnopqrstuvwxyz"
	digits  = "0123456789"
)

// refuseEmulators makes every variable that names an emulator a fault if the process
// runs on the platform, which sets K_SERVICE. Google's clients would send deliveries
// there without encryption, and an emulator that answers would lose them.
func (r *Reader) refuseEmulators() {
	if os.Getenv("K_SERVICE") == "" {
		return
	}
	for _, variable := range os.Environ() {
		name, value, _ := strings.Cut(variable, "=")
		if strings.HasSuffix(name, "_EMULATOR_HOST") && value != "" {
			r.Fault(name, errors.New("set in a deployed function: remove it"))
		}
	}
}

// List returns the parts of the variable between commas, without empty ones.
func (r *Reader) List(name string) []string {
	var list []string
	for part := range strings.SplitSeq(r.String(name, ""), ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// Bool returns the variable, true or false, or fallback if it is unset or wrong.
func (r *Reader) Bool(name string, fallback bool) bool {
	value, err := strconv.ParseBool(r.String(name, strconv.FormatBool(fallback)))
	if err != nil {
		r.Fault(name, errors.New("neither true nor false"))
		return fallback
	}
	return value
}

// Duration returns the variable, in Go's notation ("5m"), or fallback if it is
// unset. Less than least or more than most is a fault.
func (r *Reader) Duration(name string, fallback, least, most time.Duration) time.Duration {
	value, err := time.ParseDuration(r.String(name, fallback.String()))
	switch {
	case err != nil:
		r.Fault(name, errors.New(`not a duration such as "5m"`))
	case value < least || value > most:
		r.Fault(name, fmt.Errorf("%v is not between %v and %v", value, least, most))
	}
	return value
}

// Parse returns what parse makes of the variable, set or not. An error of parse is
// a fault.
func Parse[T any](r *Reader, name string, parse func(string) (T, error)) T {
	value, err := parse(r.String(name, ""))
	if err != nil {
		r.Fault(name, err)
	}
	return value
}
