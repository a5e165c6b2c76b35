package settings

import (
	"context"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/publish"
)

// Opened holds the parts that a function has opened: those that all functions need,
// and those that it has added. A function that cannot be built must leave no part
// open, since the next request tries again. The zero value holds no part. It is not
// safe for concurrent use.
type Opened struct {
	Ledger    *dedup.Ledger
	Publisher *publish.Publisher

	parts []Part
}

// A Part is a client, or a cache of values that a client fetches.
type Part interface {
	Warm(context.Context) error // connects, or fetches; after a failure the first use does
	Close() error
}

// Add takes charge of a part.
func (o *Opened) Add(p Part) { o.parts = append(o.parts, p) }

// Warm returns the Warm methods of all parts.
func (o *Opened) Warm() (all []func(context.Context) error) {
	for _, p := range o.parts {
		all = append(all, p.Warm)
	}
	return all
}

// CloseIf closes all parts if *err is not nil. Defer it with a named error.
func (o *Opened) CloseIf(err *error) {
	if *err != nil {
		o.Close()
	}
}

// Close closes all parts, the last one first, and drops their errors: the parts are used
// no more.
func (o *Opened) Close() {
	for len(o.parts) > 0 {
		last := len(o.parts) - 1
		_ = o.parts[last].Close()
		o.parts = o.parts[:last]
	}
}
