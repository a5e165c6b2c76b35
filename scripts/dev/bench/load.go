package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

var concurrencies = []int{1, 16, 80}

// copies is how many copies of one delivery are sent at once.
const copies = 50

// measureLoad measures load and copies in one project that holds records.
func (b *bench) measureLoad(ctx context.Context, part string, between between, records int) error {
	b.progress("load, %s", part)
	err := b.deploy(ctx, between, records, func(_ *project, f fleet) error {
		for i := range b.count {
			b.progress("load, %s, %d of %d", part, i+1, b.count)
			for _, at := range concurrencies {
				if err := b.measureLoadAt(ctx, part, f, at); err != nil {
					return fmt.Errorf("%d at once: %w", at, err)
				}
			}
			if err := b.measureCopies(ctx, part, f, i); err != nil {
				return fmt.Errorf("copies: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("load, %s: %w", part, err)
	}
	return nil
}

// measureLoadAt gives each receiver one turn in every order.
func (b *bench) measureLoadAt(ctx context.Context, part string, f fleet, at int) error {
	samples := make(samples)
	for _, r := range f {
		r.resetPeak()
	}
	for turn := range orders[len(f)] {
		err := b.machine.watch(func() error { return b.takeTurns(ctx, inOrder(f, turn), at, samples) })
		if err != nil {
			return err
		}
	}
	for _, r := range f {
		s := samples[r]
		metrics := s.metrics(at)
		metrics["peak-RSS-bytes"] = r.peakBytes()
		b.result(fmt.Sprintf("Load/%s/at=%d", part, at), r.name, len(s.latencies), metrics)
	}
	return nil
}

// A sample is the outcome of a receiver's turns.
type sample struct {
	latencies  []time.Duration
	cpuSeconds float64 // of the receiver
}

type samples map[*process]sample

// takeTurns loads the receivers one after another and adds the outcome to samples.
func (b *bench) takeTurns(ctx context.Context, f fleet, at int, samples samples) error {
	for _, r := range f {
		before := r.cpuSeconds()
		latencies, err := b.sender.load(ctx, r, at, during(b.turn))
		if err != nil {
			return err
		}
		s := samples[r]
		s.latencies = append(s.latencies, latencies...)
		s.cpuSeconds += r.cpuSeconds() - before
		samples[r] = s
	}
	return nil
}

func (s sample) metrics(at int) map[string]float64 {
	slices.Sort(s.latencies)
	var total time.Duration
	for _, latency := range s.latencies {
		total += latency
	}
	n := float64(len(s.latencies))
	return map[string]float64{
		"p50-latency-ns": percentile(s.latencies, 50),
		"p95-latency-ns": percentile(s.latencies, 95),
		"p99-latency-ns": percentile(s.latencies, 99),
		"deliveries/s":   float64(at) * n / total.Seconds(), // Little's law
		"cpu-ns/op":      s.cpuSeconds * 1e9 / n,
	}
}

// percentile returns, in nanoseconds, the least value of sorted that p percent of the
// values do not exceed.
func percentile(sorted []time.Duration, p float64) float64 {
	i := int(math.Ceil(p/100*float64(len(sorted)))) - 1
	return float64(sorted[max(i, 0)])
}

// measureCopies sends copies to all receivers except the floor, which does not detect
// them.
func (b *bench) measureCopies(ctx context.Context, part string, f fleet, turn int) error {
	f = slices.DeleteFunc(slices.Clone(f), func(r *process) bool { return r.name == floor })
	return b.machine.watch(func() error {
		for _, r := range inOrder(f, turn) {
			last, statuses, err := b.sender.burst(ctx, r)
			if err != nil {
				return err
			}
			accepted, later := count(statuses, http.StatusNoContent), count(statuses, http.StatusServiceUnavailable)
			b.result("Copies/"+part, r.name, copies, map[string]float64{
				"last-answer-ns": float64(last),
				"answers-204":    float64(accepted),
				"answers-503":    float64(later),
				"answers-other":  float64(copies - accepted - later),
			})
		}
		return nil
	})
}

func count(statuses []int, status int) (n int) {
	for _, s := range statuses {
		if s == status {
			n++
		}
	}
	return n
}
