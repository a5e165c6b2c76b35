// Package listen prints messages as they arrive on topics or on a subscription: those
// of a running serve, of an emulator, or of Google Cloud.
package listen

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Options select the messages to print. Set either Topics or Subscription.
type Options struct {
	Topics       []string // ids or full names; empty means all topics, which only serve and emulators allow
	Subscription string   // an id or a full name; read instead of topics
	Project      string   // the project's id, on Google Cloud or on the emulator; empty means that of the emulator or of serve
	Filter       string   // a filter of Pub/Sub for Topics; empty means all messages
	Peek         bool     // do not acknowledge the messages of Subscription
	JSON         bool     // write JSON lines
}

// Run prints messages to standard output until ctx is done; it then returns nil. It
// fails if Pub/Sub cannot be reached or a topic or subscription cannot be read. At the
// end it deletes the temporary subscriptions that it created.
func Run(ctx context.Context, o Options) error {
	p, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	sources, err := p.sources(ctx, &o)
	defer p.finish(sources)
	if err != nil {
		return ended(ctx, err)
	}
	c := newConsole(o.JSON)
	c.ready(p, sources)

	readers, reading := errgroup.WithContext(ctx)
	for _, s := range sources {
		readers.Go(func() error { return s.read(reading, p, c) })
	}
	return ended(ctx, readers.Wait())
}

// ended returns err, or nil if ctx is done: the end was then requested.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("Pub/Sub: %w", err)
}
