package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/geminihook/geminihook/shared/gcptest/proxy"
)

// A counter counts RPCs.
type counter struct{ atomic.Int64 }

// between puts a counting proxy in front of a server.
func (c *counter) between(addr string) (instead string, stop func(), err error) {
	p, err := proxy.Start(addr, func(_ context.Context, _ string, forward func() error) error {
		c.Add(1)
		return forward()
	})
	if err != nil {
		return "", nil, err
	}
	return p.Addr, func() { p.Close() }, nil
}

// measureCalls counts the RPCs of deliveries and of duplicates on the wire.
func (b *bench) measureCalls(ctx context.Context) error {
	b.progress("calls")
	c := new(counter)
	return b.deploy(ctx, c.between, 0, func(_ *project, f fleet) error {
		for _, at := range concurrencies {
			for _, r := range f {
				if err := b.countCalls(ctx, c, r, at); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// countCalls counts after a first pass, in which the receiver opens its connections and
// reads its secret.
func (b *bench) countCalls(ctx context.Context, c *counter, r *process, at int) error {
	if _, err := b.sender.load(ctx, r, at, each(newIDs(at))); err != nil {
		return err
	}
	ids := newIDs(10 * at)
	for _, delivery := range []string{"new", "duplicate"} {
		if delivery == "duplicate" && r.name == floor {
			return nil
		}
		c.Store(0)
		if _, err := b.sender.load(ctx, r, at, each(ids)); err != nil {
			return fmt.Errorf("%s: %w", delivery, err)
		}
		perDelivery := float64(c.Load()) / float64(len(ids))
		b.result(fmt.Sprintf("Calls/delivery=%s/at=%d", delivery, at), r.name, len(ids), map[string]float64{"calls/op": perDelivery})
	}
	return nil
}
