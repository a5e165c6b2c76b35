package main

import (
	"context"
	"fmt"
	"sync/atomic"

	"github.com/geminihook/geminihook/shared/gcptest/proxy"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// measureCalls counts the RPCs of deliveries and of duplicates with a proxy in front of
// each server. It measures no time.
func (b *bench) measureCalls(ctx context.Context) error {
	b.progress("calls")
	var calls atomic.Int64
	counted := func(addr string) (instead string, stop func(), err error) {
		p, err := proxy.Start(addr, func(_ context.Context, _ string, forward func() error) error {
			calls.Add(1)
			return forward()
		})
		if err != nil {
			return "", nil, err
		}
		return p.Addr, func() { p.Close() }, nil
	}
	return b.deploy(ctx, counted, 0, func(_ *project, f fleet) error {
		for _, at := range concurrencies {
			for _, r := range f {
				if err := b.countCalls(ctx, &calls, r, at); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// countCalls counts after a first pass, in which the receiver opens its connections and
// reads its secret.
func (b *bench) countCalls(ctx context.Context, calls *atomic.Int64, r *process, at int) error {
	if _, err := b.sender.load(ctx, r, at, numbered(webhooktest.NewID(), at)); err != nil {
		return err
	}
	id, n := webhooktest.NewID(), 10*at
	for _, delivery := range []string{"new", "duplicate"} {
		if delivery == "duplicate" && r.name == floor {
			return nil // it does not detect them
		}
		calls.Store(0)
		if _, err := b.sender.load(ctx, r, at, numbered(id, n)); err != nil {
			return fmt.Errorf("%s: %w", delivery, err)
		}
		perDelivery := float64(calls.Load()) / float64(n)
		b.result(fmt.Sprintf("Calls/delivery=%s/at=%d", delivery, at), r.name, n, map[string]float64{"calls/op": perDelivery})
	}
	return nil
}
