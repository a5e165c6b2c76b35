// Package listen prints the messages that reach topics, or that a subscription has, as
// they arrive: on the running serve, on an emulator, or on Google Cloud.
package listen

import (
	"context"
	"fmt"

	"golang.org/x/sync/errgroup"
)

// Options say what to listen to.
type Options struct {
	Topics       []string // ids or full names; empty with Subscription, or for all topics of a serve
	Subscription string   // read instead of topics: an id or a full name
	Project      string   // on Google Cloud, or on the emulator
	Filter       string   // of the subscriptions to Topics; empty: none
	Peek         bool     // acknowledge nothing that Subscription has
	JSON         bool
}

// Run prints messages until ctx is done, which is no error, or until a subscription
// fails.
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

// ended is err, unless it was asked for.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("Pub/Sub: %w", err)
}
