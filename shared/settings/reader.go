// Package settings reads the functions' settings from environment variables, reports
// all invalid settings at once by variable name, and opens the clients that every
// function needs.
//
// It does not use a library that fills a struct from the environment. Such libraries
// name the Go field in their errors, or stop at the first error, but an operator
// knows only the variables.
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

// A Reader reads settings from environment variables, and records a fault for each
// invalid one. Its zero value is ready to use. It trims white space around a value,
// and treats an empty variable as unset. It is not safe for concurrent use.
type Reader struct {
	// Lookup returns a variable, empty if it is unset. Nil means the process's
	// environment.
	Lookup func(name string) string

	faults []error
}

// Err returns all faults so far, one per line, each with its variable's name first.
// It returns nil if there are no faults.
func (r *Reader) Err() error { return errors.Join(r.faults...) }

// Fault records that a variable is invalid, and why. Each line of why becomes a fault
// of its own.
func (r *Reader) Fault(name string, why error) {
	r.faults = append(r.faults, fault{name, why})
}

// fault is the error of one variable.
type fault struct {
	name string
	why  error
}

// Error returns one line for each line of why, with the variable's name first.
func (f fault) Error() string {
	return f.name + ": " + strings.ReplaceAll(f.why.Error(), "\n", "\n"+f.name+": ")
}

func (f fault) Unwrap() error { return f.why }

// String returns the variable's value, or fallback if it is unset.
func (r *Reader) String(name, fallback string) string {
	lookup := r.Lookup
	if lookup == nil {
		lookup = os.Getenv
	}
	return cmp.Or(strings.TrimSpace(lookup(name)), fallback)
}

// Required returns the variable's value. It records a fault if the variable is unset.
func (r *Reader) Required(name string) string {
	text := r.String(name, "")
	if text == "" {
		r.Fault(name, errors.New("not set"))
	}
	return text
}

// project returns the variable's value, the id or the number of a Google Cloud
// project. It records a fault if the variable is unset or neither of these. An id has
// 6 to 30 lower-case letters, digits and hyphens, begins with a letter and does not
// end with a hyphen. A domain and a colon may precede it ("example.com:my-project").
func (r *Reader) project(name string) string {
	text := r.Required(name)
	id := text
	if domain, after, ok := strings.Cut(text, ":"); ok && strings.Trim(domain, letters+digits+"-.") == "" {
		id = after
	}
	number := strings.Trim(text, digits) == "" // also true if unset, which Required has reported
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

// refuseEmulators records a fault for each variable that names an emulator, if the
// process runs on the platform, which sets K_SERVICE. It reads the process's
// environment, not Lookup. With such a variable, Google's
// clients would send deliveries to the emulator without encryption, and the
// deliveries would be lost.
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

// List returns the comma-separated parts of the variable's value, trimmed, without
// empty parts. It returns nil if the variable is unset.
func (r *Reader) List(name string) []string {
	var list []string
	for part := range strings.SplitSeq(r.String(name, ""), ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// Bool returns the variable's value, or fallback if it is unset. It accepts the
// values of strconv.ParseBool. Otherwise it records a fault and returns fallback.
func (r *Reader) Bool(name string, fallback bool) bool {
	value, err := strconv.ParseBool(r.String(name, strconv.FormatBool(fallback)))
	if err != nil {
		r.Fault(name, errors.New("neither true nor false"))
		return fallback
	}
	return value
}

// Duration returns the variable's value in Go's notation ("5m"), or fallback if it is
// unset. It records a fault if the value is not a duration, and returns 0. It records a
// fault if the value, or the fallback in its place, is not between least and most,
// inclusive, and returns it.
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

// Parse calls parse with the variable's value, or an empty string if it is unset, and
// returns the result. If parse fails, Parse records its error as a fault, and returns
// the result that parse returned with the error.
func Parse[T any](r *Reader, name string, parse func(string) (T, error)) T {
	value, err := parse(r.String(name, ""))
	if err != nil {
		r.Fault(name, err)
	}
	return value
}
