package main

import (
	"context"
	"slices"
	"time"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	startsPerCount  = 2                      // measured starts of each receiver per line
	laterDeliveries = 5                      // deliveries to a process after the first
	idleFor         = 200 * time.Millisecond // before idle memory is measured
)

// measureStart starts the receivers and the empty function repeatedly, in turns.
func (b *bench) measureStart(ctx context.Context) error {
	b.progress("start")
	return b.deploy(ctx, delayed(distance), 0, func(p *project, f fleet) error {
		f.stop() // the fleet was only needed to warm up the emulators
		for i := range startsPerCount * b.count {
			for _, name := range inOrder([]string{floor, this, textbook, empty}, i) {
				if err := b.measureStartOf(ctx, name, p); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// measureStartOf starts a receiver to measure its first answer, and again to measure
// its first delivery. The empty function accepts no deliveries.
func (b *bench) measureStartOf(ctx context.Context, name string, p *project) error {
	metrics := make(map[string]float64)
	err := b.started(ctx, name, p, metrics, func(r *process) error {
		err := r.answered(ctx, r.get)
		metrics["first-answer-ns"] = float64(time.Since(r.started))
		return err
	})
	if err == nil && name != empty {
		err = b.started(ctx, name, p, metrics, func(r *process) error { return b.firstDelivery(ctx, r, metrics) })
	}
	if err != nil {
		return err
	}
	b.result("Start", name, 1, metrics)
	return nil
}

// started starts a receiver, calls use, adds the idle memory to metrics, and stops the
// receiver.
func (b *bench) started(ctx context.Context, name string, p *project, metrics map[string]float64, use func(*process) error) error {
	r, err := b.start(ctx, name, p)
	if err != nil {
		return err
	}
	defer r.stop()
	if err := use(r); err != nil {
		return err
	}
	time.Sleep(idleFor)
	metrics["idle-RSS-bytes"], _ = r.memory()
	return nil
}

// firstDelivery sends a delivery as soon as the receiver's port is open, and then more.
func (b *bench) firstDelivery(ctx context.Context, r *process, metrics map[string]float64) error {
	err := r.answered(ctx, func(ctx context.Context) error {
		latency, err := b.sender.accept(ctx, r, webhooktest.NewID())
		metrics["first-delivery-ns"] = float64(latency)
		return err
	})
	if err != nil {
		return err
	}
	metrics["start-to-delivery-ns"] = float64(time.Since(r.started))
	later, err := b.sender.load(ctx, r, 1, numbered(webhooktest.NewID(), laterDeliveries))
	if err != nil {
		return err
	}
	slices.Sort(later)
	metrics["later-delivery-ns"] = percentile(later, 50)
	return nil
}
