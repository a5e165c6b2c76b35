package main

import (
	"fmt"
	"math"
)

// A Target is what was to be reached, and whether it was.
type Target struct {
	What    string `json:"what"`
	Wanted  number `json:"wanted"`
	Unit    string `json:"unit"`
	AtLeast bool   `json:"at_least"` // otherwise at most
	Got     number `json:"got"`
	Met     bool   `json:"met"`
}

func atLeast(wanted float64, unit, what string, got float64) Target {
	return Target{what, number(wanted), unit, true, number(got), got >= wanted}
}

func atMost(wanted float64, unit, what string, got float64) Target {
	return Target{what, number(wanted), unit, false, number(got), got <= wanted}
}

// margin says by how much the target is met or missed, in parts of what was wanted.
func (t Target) margin() string {
	by := math.Abs(float64(t.Got/t.Wanted-1)) * 100
	switch {
	case math.IsNaN(by):
		return "not measured"
	case t.Got == t.Wanted:
		return "met"
	case t.Met:
		return fmt.Sprintf("met, %.0f %% to spare", by)
	}
	return fmt.Sprintf("not met, by %.0f %%", by)
}

// wanted says what was to be reached.
func (t Target) wanted() string {
	if t.AtLeast {
		return fmt.Sprintf("≥ %.4g %s", t.Wanted, t.Unit)
	}
	return fmt.Sprintf("≤ %.4g %s", t.Wanted, t.Unit)
}

// judge holds what was measured against the targets.
func judge(r *Report) []Target {
	all := []Target{atMost(3, "", "calls per delivery", r.calls(this, 1))}
	all = append(all, judgeLoad("", r.Near)...)
	all = append(all,
		atLeast(20, "×", fmt.Sprintf("%d copies at once, to the last answer: faster than the textbook", copies), ratio(r.Near.bursts(textbook), r.Near.bursts(this), last)),
		atMost(2, "×", "process start to first answer, of the empty function's", ratio(r.Start.of(this), r.Start.of(empty), answer)),
		atMost(r.Start.Connection+milliseconds(distance), "ms", "first delivery after a start, 5 ms away: longer than later ones (by a connection and a round trip)", median(r.Start.of(this), penalty)),
		atMost(30, "MiB", "resident memory when idle", median(r.Start.of(this), idle)),
	)
	if r.Records > 0 {
		all = append(all, judgeLoad(fmt.Sprintf("among %d records: ", r.Records), r.Among)...)
	}
	return all
}

func judgeLoad(where string, l Load) []Target {
	return []Target{
		atMost(1.35, "×", where+"p50 at 1, of the floor's", ratio(l.of(this, 1), l.of(floor, 1), p50)),
		atLeast(9, "×", where+"p50 at 1, faster than the textbook", ratio(l.of(textbook, 1), l.of(this, 1), p50)),
		atLeast(1.3, "×", where+"rate at 80, of the textbook's", ratio(l.of(this, 80), l.of(textbook, 80), rate)),
	}
}
