package main

import (
	"context"
	"fmt"
	"slices"
	"time"
)

const (
	// turnsPerRound is how many turns a receiver has at each concurrency of a round: one in each order of the three.
	turnsPerRound = 6

	// warmTurns, at warmConcurrency, is how long the emulators have for their compiler before anything counts.
	warmTurns       = 14
	warmConcurrency = 16
)

// Load is what was measured of the receivers in one place.
type Load struct {
	Figures []Figures `json:"figures"`
	Bursts  []Burst   `json:"copies"`
}

// Figures are those of one receiver at one concurrency in one round.
type Figures struct {
	Round       int     `json:"round"`
	Receiver    string  `json:"receiver"`
	Concurrency int     `json:"concurrency"`
	P50         float64 `json:"p50_ms"` // of the latency
	P95         float64 `json:"p95_ms"`
	P99         float64 `json:"p99_ms"`

	// Rate is not counted: it is concurrency divided by mean latency (Little's law). That leaves out the sender's own time
	// between an answer and the next request, so fewer deliveries than this were made.
	Rate float64 `json:"per_second"`

	CPU  number `json:"cpu_ms"`   // of the receiver, per delivery
	Peak number `json:"peak_mib"` // of the receiver's memory
}

// A Burst is how long a receiver took, in one round, to the last answer to copies of one delivery, and what it answered.
type Burst struct {
	Round    int         `json:"round"`
	Receiver string      `json:"receiver"`
	Last     float64     `json:"last_answer_ms"`
	Answers  map[int]int `json:"answers"` // how many, by status
}

// measureLoad measures all rounds in one project, which holds so many records.
func (b *bench) measureLoad(ctx context.Context, what string, between between, records int) (l Load, err error) {
	b.say(what)
	p, err := b.newProject(ctx, between)
	if err != nil {
		return l, err
	}
	defer p.close()
	if err := p.fill(ctx, records); err != nil {
		return l, err
	}
	f, err := b.deploy(ctx, p)
	if err != nil {
		return l, err
	}
	defer f.stop()
	for i := range b.rounds {
		b.say("%s, round %d of %d", what, i+1, b.rounds)
		if err := b.round(ctx, f, i+1, &l); err != nil {
			return l, err
		}
	}
	return l, nil
}

// round takes the concurrencies one after another, and then copies.
func (b *bench) round(ctx context.Context, f fleet, round int, l *Load) error {
	for _, c := range concurrencies {
		figures, err := b.turns(ctx, f, c)
		if err != nil {
			return fmt.Errorf("%d at once: %w", c, err)
		}
		for _, one := range figures {
			one.Round = round
			l.Figures = append(l.Figures, one)
		}
	}
	var bursts []Burst
	err := b.undisturbed(ctx, func() (err error) {
		bursts, err = b.burstEach(ctx, f, round)
		return err
	})
	if err != nil {
		return fmt.Errorf("%d copies: %w", copies, err)
	}
	l.Bursts = append(l.Bursts, bursts...)
	return nil
}

// turns gives each receiver its turns, in every order.
func (b *bench) turns(ctx context.Context, f fleet, concurrency int) ([]Figures, error) {
	all := make(map[*process]*sample)
	for _, r := range f {
		all[r] = new(sample)
		r.resetPeak()
	}
	for i := range turnsPerRound {
		var samples map[*process]sample
		err := b.undisturbed(ctx, func() (err error) {
			samples, err = b.turnEach(ctx, inOrder(f, i), concurrency)
			return err
		})
		if err != nil {
			return nil, err
		}
		for r, s := range samples {
			all[r].add(s)
		}
	}
	var figures []Figures
	for _, r := range f {
		figures = append(figures, all[r].figures(r, concurrency))
	}
	return figures, nil
}

func (b *bench) turnEach(ctx context.Context, f fleet, concurrency int) (map[*process]sample, error) {
	samples := make(map[*process]sample)
	for _, r := range f {
		before := r.cpuSeconds()
		s, err := b.sender.load(ctx, r, concurrency, during(b.turn))
		if err != nil {
			return nil, err
		}
		s.cpuSeconds = r.cpuSeconds() - before
		samples[r] = s
	}
	return samples, nil
}

func (s *sample) add(t sample) {
	s.latencies = append(s.latencies, t.latencies...)
	s.cpuSeconds += t.cpuSeconds
}

func (s *sample) figures(r *process, concurrency int) Figures {
	slices.Sort(s.latencies)
	var total time.Duration
	for _, latency := range s.latencies {
		total += latency
	}
	n := float64(len(s.latencies))
	return Figures{
		Receiver: r.name, Concurrency: concurrency,
		P50: percentile(s.latencies, 50), P95: percentile(s.latencies, 95), P99: percentile(s.latencies, 99),
		Rate: float64(concurrency) * n / total.Seconds(),
		CPU:  number(s.cpuSeconds * 1000 / n),
		Peak: number(r.peakMiB()),
	}
}

// burstEach sends copies to all but the floor, which does not look for them.
func (b *bench) burstEach(ctx context.Context, f fleet, round int) (bursts []Burst, err error) {
	f = where(f, func(r *process) bool { return r.name != floor })
	for _, r := range inOrder(f, round) {
		took, answers, err := b.sender.burst(ctx, r, copies)
		if err != nil {
			return nil, err
		}
		bursts = append(bursts, Burst{round, r.name, milliseconds(took), answers})
	}
	return bursts, nil
}

// of returns the figures of one receiver at one concurrency, round by round.
func (l Load) of(receiver string, concurrency int) []Figures {
	return where(l.Figures, func(f Figures) bool { return f.Receiver == receiver && f.Concurrency == concurrency })
}

func (l Load) bursts(receiver string) []Burst {
	return where(l.Bursts, func(b Burst) bool { return b.Receiver == receiver })
}

// What is asked of them.
func p50(f Figures) float64  { return f.P50 }
func p95(f Figures) float64  { return f.P95 }
func p99(f Figures) float64  { return f.P99 }
func rate(f Figures) float64 { return f.Rate }
func cpu(f Figures) float64  { return float64(f.CPU) }
func peak(f Figures) float64 { return float64(f.Peak) }
func last(b Burst) float64   { return b.Last }
