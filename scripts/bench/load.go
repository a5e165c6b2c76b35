package main

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"
)

const (
	// turnsPerRound is how many turns a receiver has at each concurrency of a round.
	turnsPerRound = 4

	// warmTurns, at warmConcurrency, is how long the emulators have for their compiler before anything counts.
	warmTurns       = 10
	warmConcurrency = 16
)

// Figures are what was measured of one receiver at one concurrency.
type Figures struct {
	Receiver    string  `json:"receiver"`
	Concurrency int     `json:"concurrency"`
	P50         float64 `json:"p50_ms"` // of the latency
	P95         float64 `json:"p95_ms"`
	P99         float64 `json:"p99_ms"`
	Rate        float64 `json:"per_second"`
	CPU         number  `json:"cpu_ms"`   // of the receiver, per delivery
	Peak        number  `json:"peak_mib"` // of the receiver's memory
}

// A Round is one round's figures, of every receiver at every concurrency.
type Round []Figures

// Rounds are the rounds of one measurement.
type Rounds []Round

// Load is what was measured in one place.
type Load struct {
	Rounds Rounds  `json:"rounds"`
	Bursts []Burst `json:"copies_ms"` // one a round
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
		round, err := b.round(ctx, f)
		if err != nil {
			return l, err
		}
		burst, err := b.bursts(ctx, f)
		if err != nil {
			return l, err
		}
		l.Rounds, l.Bursts = append(l.Rounds, round), append(l.Bursts, burst)
	}
	return l, nil
}

// round takes the concurrencies one after another.
func (b *bench) round(ctx context.Context, f fleet) (Round, error) {
	var round Round
	for _, c := range concurrencies {
		figures, err := b.turns(ctx, f, c, turnsPerRound)
		if err != nil {
			return nil, fmt.Errorf("%d at once: %w", c, err)
		}
		round = append(round, figures...)
	}
	return round, nil
}

// turns gives each receiver n turns, in changing order.
func (b *bench) turns(ctx context.Context, f fleet, concurrency, n int) ([]Figures, error) {
	all := make(map[*process]*sample)
	for _, r := range f {
		all[r] = new(sample)
		r.resetPeak()
	}
	for i := range n {
		var samples map[*process]sample
		err := b.undisturbed(ctx, func() (err error) {
			samples, err = b.turnEach(ctx, f.beginning(i), concurrency)
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
	s.took += t.took
	s.cpuSeconds += t.cpuSeconds
}

func (s *sample) figures(r *process, concurrency int) Figures {
	slices.Sort(s.latencies)
	n := float64(len(s.latencies))
	return Figures{
		Receiver: r.name, Concurrency: concurrency,
		P50: s.percentile(50), P95: s.percentile(95), P99: s.percentile(99),
		Rate: n / s.took.Seconds(),
		CPU:  number(s.cpuSeconds * 1000 / n),
		Peak: number(r.peakMiB()),
	}
}

// percentile returns, in milliseconds, the least latency that p of a hundred do not exceed.
func (s *sample) percentile(p float64) float64 {
	i := int(math.Ceil(p/100*float64(len(s.latencies)))) - 1
	return milliseconds(s.latencies[max(i, 0)])
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// in returns the figures of one receiver at one concurrency in each round.
func (rs Rounds) in(receiver string, concurrency int) []Figures {
	var all []Figures
	for _, round := range rs {
		for _, f := range round {
			if f.Receiver == receiver && f.Concurrency == concurrency {
				all = append(all, f)
			}
		}
	}
	return all
}

// median returns a figure of one receiver at one concurrency: the median of the rounds.
func (rs Rounds) median(receiver string, concurrency int, of func(Figures) float64) float64 {
	var values []float64
	for _, f := range rs.in(receiver, concurrency) {
		values = append(values, of(f))
	}
	return median(values)
}

// ratio returns the median of the rounds' ratios of a figure.
func (rs Rounds) ratio(of func(Figures) float64, over, under string, concurrency int) float64 {
	var ratios []float64
	lower := rs.in(under, concurrency)
	for i, f := range rs.in(over, concurrency) {
		ratios = append(ratios, of(f)/of(lower[i]))
	}
	return median(ratios)
}

// What is asked of figures.
func p50(f Figures) float64  { return f.P50 }
func p95(f Figures) float64  { return f.P95 }
func p99(f Figures) float64  { return f.P99 }
func rate(f Figures) float64 { return f.Rate }
func cpu(f Figures) float64  { return float64(f.CPU) }
func peak(f Figures) float64 { return float64(f.Peak) }

func median(values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	values = slices.Sorted(slices.Values(values))
	middle := len(values) / 2
	if len(values)%2 == 1 {
		return values[middle]
	}
	return (values[middle-1] + values[middle]) / 2
}

// A Burst is, by receiver, the milliseconds to the last answer to copies of one delivery.
type Burst map[string]float64

// bursts leaves out the floor, which does not look for copies.
func (b *bench) bursts(ctx context.Context, f fleet) (Burst, error) {
	burst := make(Burst)
	for _, r := range f {
		if r.name == floor {
			continue
		}
		var took time.Duration
		err := b.undisturbed(ctx, func() (err error) {
			took, err = b.sender.burst(ctx, r, copies)
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("%d copies: %w", copies, err)
		}
		burst[r.name] = milliseconds(took)
	}
	return burst, nil
}

// burst returns the median of a receiver's bursts.
func (l Load) burst(receiver string) float64 {
	var values []float64
	for _, burst := range l.Bursts {
		values = append(values, burst[receiver])
	}
	return median(values)
}

// burstRatio returns how much sooner than the textbook's this receiver's last answer comes, the median of the rounds.
func (l Load) burstRatio() float64 {
	var ratios []float64
	for _, burst := range l.Bursts {
		ratios = append(ratios, burst[textbook]/burst[this])
	}
	return median(ratios)
}
