package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gcptest/proxy"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A counter counts RPCs. An RPC failed if its status is neither OK nor AlreadyExists;
// the latter is the normal result for a duplicate. On a slow machine an RPC can exceed
// its deadline, and its retry costs one or two more.
type counter struct{ calls, failed atomic.Int64 }

// measureCalls counts the RPCs of new deliveries and of duplicates, with a proxy in
// front of each server. It does not measure time.
func (b *bench) measureCalls(ctx context.Context) error {
	b.progress("calls")
	var c counter
	counted := func(addr string) (instead string, stop func(), err error) {
		p, err := proxy.Start(addr, func(_ context.Context, _ string, forward func() error) error {
			c.calls.Add(1)
			err := forward()
			if code := status.Code(err); code != codes.OK && code != codes.AlreadyExists {
				c.failed.Add(1)
			}
			return err
		})
		if err != nil {
			return "", nil, err
		}
		return p.Addr, func() { p.Close() }, nil
	}
	return b.deploy(ctx, counted, 0, func(_ *project, f fleet) error {
		for _, at := range concurrencies {
			for _, r := range f {
				if err := b.countCalls(ctx, &c, r, at); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// countCalls counts the RPCs of a receiver after a first pass, in which the receiver
// opens its connections and reads its secret.
func (b *bench) countCalls(ctx context.Context, c *counter, r *process, at int) error {
	if _, err := b.sender.load(ctx, r, at, numbered(webhooktest.NewID(), at)); err != nil {
		return err
	}
	id, n := webhooktest.NewID(), 10*at
	for _, delivery := range []string{"new", "duplicate"} {
		if delivery == "duplicate" && r.name == floor {
			return nil // floor does not detect duplicates
		}
		c.calls.Store(0)
		c.failed.Store(0)
		if _, err := b.sender.load(ctx, r, at, numbered(id, n)); err != nil {
			return fmt.Errorf("%s: %w", delivery, err)
		}
		b.result(fmt.Sprintf("Calls/delivery=%s/at=%d", delivery, at), r.name, n, map[string]float64{
			"calls/op":        float64(c.calls.Load()) / float64(n),
			"failed-calls/op": float64(c.failed.Load()) / float64(n),
		})
	}
	return nil
}
