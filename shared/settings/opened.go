package settings

import (
	"context"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/publish"
)

// Opened holds the clients and caches that a function has opened: the ones that all
// functions need, and the ones that this function has added. If a function cannot be
// built, it must close all of them, because the next request builds it again. The
// zero value is empty. It is not safe for concurrent use.
type Opened struct {
	Ledger    *dedup.Ledger
	Publisher *publish.Publisher

	parts []Part
}

// A Part is a client, or a cache with its client.
type Part interface {
	Warm(context.Context) error // connects or fetches in advance; if it fails, the first use does it
	Close() error
}

// Add adds a part, to be warmed up and closed with the others.
func (o *Opened) Add(p Part) { o.parts = append(o.parts, p) }

// Warm returns the Warm methods of all parts, in the order of Add.
func (o *Opened) Warm() (all []func(context.Context) error) {
	for _, p := range o.parts {
		all = append(all, p.Warm)
	}
	return all
}

// CloseIf closes all parts in reverse order if *err is not nil. Defer it with a named
// error result. It drops the errors of Close, because *err is the cause.
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
