package main

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"slices"
	"time"
)

// concurrencies are the numbers of concurrent deliveries that are measured.
var concurrencies = []int{1, 16, 80}

// copies is the number of concurrent copies of one delivery.
const copies = 50

// measureLoad measures load and copies in a project with a number of records.
func (b *bench) measureLoad(ctx context.Context, part string, between between, records int) error {
	err := b.deploy(ctx, between, records, func(_ *project, f fleet) error {
		for i := range b.count {
			b.progress("load, %s, %d of %d", part, i+1, b.count)
			for _, at := range concurrencies {
				if err := b.measureLoadAt(ctx, part, f, at); err != nil {
					return err
				}
			}
			if err := b.measureCopies(ctx, part, f, i); err != nil {
				return err
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
	latencies := make(latencies)
	cpu := make(map[*process]float64) // before the turns; a receiver is idle in other turns
	for _, r := range f {
		r.resetPeak()
		cpu[r] = r.cpuSeconds()
	}
	for turn := range orders {
		if err := b.takeTurns(ctx, inOrder(f, turn), at, latencies); err != nil {
			return err
		}
	}
	for _, r := range f {
		metrics := latencies.metrics(r, at)
		metrics["cpu-ns/op"] = (r.cpuSeconds() - cpu[r]) * 1e9 / float64(len(latencies[r]))
		_, metrics["peak-RSS-bytes"] = r.memory()
		b.result(fmt.Sprintf("Load/%s/at=%d", part, at), r.name, len(latencies[r]), metrics)
	}
	return nil
}

type latencies map[*process][]time.Duration

// takeTurns loads the receivers one after another, and adds the results to latencies.
func (b *bench) takeTurns(ctx context.Context, f fleet, at int, latencies latencies) error {
	for _, r := range f {
		more, err := b.sender.load(ctx, r, at, during(b.turn))
		if err != nil {
			return err
		}
		latencies[r] = append(latencies[r], more...)
	}
	return nil
}

func (l latencies) metrics(r *process, at int) map[string]float64 {
	slices.Sort(l[r])
	var total time.Duration
	for _, latency := range l[r] {
		total += latency
	}
	return map[string]float64{
		"p50-latency-ns": percentile(l[r], 50),
		"p95-latency-ns": percentile(l[r], 95),
		"p99-latency-ns": percentile(l[r], 99),
		"deliveries/s":   float64(at*len(l[r])) / total.Seconds(), // Little's law
	}
}

// percentile returns the smallest value of sorted, in nanoseconds, that p percent of
// the values do not exceed.
func percentile(sorted []time.Duration, p float64) float64 {
	i := int(math.Ceil(p/100*float64(len(sorted)))) - 1
	return float64(sorted[max(i, 0)])
}

// measureCopies measures a burst of copies for each receiver except floor, which does
// not detect duplicates.
func (b *bench) measureCopies(ctx context.Context, part string, f fleet, turn int) error {
	f = slices.DeleteFunc(slices.Clone(f), func(r *process) bool { return r.name == floor })
	for _, r := range inOrder(f, turn) {
		last, answers, err := b.sender.burst(ctx, r)
		if err != nil {
			return err
		}
		accepted, later := answers[http.StatusNoContent], answers[http.StatusServiceUnavailable]
		b.result("Copies/"+part, r.name, copies, map[string]float64{
			"last-answer-ns": float64(last),
			"answers-204":    float64(accepted),
			"answers-503":    float64(later),
			"answers-other":  float64(copies - accepted - later),
		})
	}
	return nil
}
