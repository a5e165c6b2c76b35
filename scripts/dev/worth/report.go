package main

import (
	"fmt"
	"strings"

	"github.com/geminihook/geminihook/shared/geminitest"
)

// A Report is the result of a run of the command.
type Report struct {
	Seed   uint64
	Jobs   int       // number of jobs of each kind
	Ways   []Figures // under usual conditions
	Ranges []Figures // under other conditions
	Real   []Pair
}

// A Pair is the figures of the same jobs on virtual time and in real time. Idle is the
// processor time, in seconds, of the real-time process without jobs.
type Pair struct {
	Virtual, Real Figures
	Idle          float64
}

// cpuPerCall returns the processor time of a poller's call, in seconds.
func (r *Report) cpuPerCall() float64 {
	for _, p := range r.Real {
		if p.Real.Way == get.name {
			_, _, calls := p.Real.all()
			return max(0, p.Real.CPU-p.Idle) / float64(calls)
		}
	}
	return 0
}

// Tables returns the report as Markdown tables: first the summary, which is in
// README.md, and then the tables in docs/cost.md.
func (r *Report) Tables() []string {
	return []string{r.summary(), r.delays(), r.calls(), r.ranges(), r.bill(), r.months(), r.real()}
}

// table returns a Markdown table. The cells of head and rows are separated by "|".
func table(head string, rows []string) string {
	line := "|" + strings.Repeat("---|", strings.Count(head, "|")+1)
	all := append([]string{"| " + head + " |", line}, rows...)
	for i := range rows {
		all[i+2] = "| " + rows[i] + " |"
	}
	return strings.Join(all, "\n") + "\n"
}

// byKind returns the cells for all kinds of jobs: batch, Deep Research, video.
func byKind(separator string, cell func(kind string) string) string {
	cells := make([]string, len(kinds))
	for i, kind := range kinds {
		cells[i] = cell(kind)
	}
	return strings.Join(cells, separator)
}

// unlisted reports whether the way is list and the kind of jobs has no list in the API.
func unlisted(f Figures, kind string) bool {
	return f.Way == list.name && kind != geminitest.KindBatch
}

// String returns the median, the 95th percentile and the maximum.
func (d Delay) String() string { return short(d.P50) + " / " + short(d.P95) + " / " + short(d.Max) }

func (r *Report) summary() string {
	var rows []string
	for _, f := range r.Ways {
		jobs, unnoticed, _ := f.all()
		rows = append(rows, fmt.Sprintf("%s | %s | %s | %s | %d of %s | %.2f", f.Way,
			byKind(" / ", func(kind string) string { return number(f.perJob(kind)) }),
			byKind(" / ", func(kind string) string { return short(f.Jobs[kind].Delay.P50) }),
			byKind(" / ", func(kind string) string { return short(f.Jobs[kind].Delay.Max) }),
			unnoticed, thousands(float64(jobs)), total(bill(f, 1e6, r.cpuPerCall()))))
	}
	return table("way | calls a job | median delay | longest delay | never noticed | $ a million jobs", rows)
}

func (r *Report) delays() string {
	var rows []string
	for _, f := range r.Ways {
		rows = append(rows, fmt.Sprintf("%s | %s | %d", f.Way,
			byKind(" | ", func(kind string) string {
				if unlisted(f, kind) {
					return "as get"
				}
				return f.Jobs[kind].Delay.String()
			}), f.Peak))
	}
	return table("way | delay: batch | Deep Research | video | calls in the busiest second", rows)
}

func (r *Report) calls() string {
	var rows []string
	for _, f := range r.Ways {
		jobs, _, _ := f.all()
		batch, research, video := f.Jobs[geminitest.KindBatch], f.Jobs[geminitest.KindInteraction], f.Jobs[geminitest.KindVideo]
		row := f.Way
		for _, n := range []int{batch.Calls[callGet], batch.Calls[callList], batch.Calls[callDownload],
			research.Calls[callGet], video.Calls[callGet], video.Calls[callDownload], f.Other} {
			row += " | " + thousands(float64(n))
		}
		rows = append(rows, row+fmt.Sprintf(" | %.0f", float64(f.Bytes)/float64(jobs)/1000))
	}
	return table("way | batch: get | list | download | Deep Research: get | video: get | download | webhook's state | kB received a job", rows)
}

func (r *Report) ranges() string {
	var rows []string
	for _, f := range r.Ranges {
		_, unnoticed, calls := f.all()
		condition := fmt.Sprintf("%d calls a minute", f.Under.Limit)
		if f.Under.Limit == 0 {
			condition = "deliveries after " + short(f.Under.Latency.Seconds())
		}
		rows = append(rows, fmt.Sprintf("%s | %s | %.0f %% | %s | %d", condition, f.Way,
			100*float64(f.Refused)/float64(calls), byKind(" | ", func(kind string) string { return f.Jobs[kind].Delay.String() }), unnoticed))
	}
	return table("if the API has | way | calls refused | delay: batch | Deep Research | video | never noticed", rows)
}

func (r *Report) bill() string {
	var rows []string
	items := bill(r.of(reconciled), 1e6, 0)
	for _, i := range items {
		rows = append(rows, fmt.Sprintf("%s | %.2f", i.Name, i.Dollars))
	}
	return table("webhooks + reconciler | $ a million jobs", append(rows, fmt.Sprintf("**together** | **%.2f**", total(items))))
}

func (r *Report) months() string {
	var rows []string
	for _, f := range []Figures{r.of(get), r.of(webhooks), r.of(reconciled)} {
		row := f.Way
		for _, n := range []float64{1e3, 1e4, 1e5, 1e6} {
			row += fmt.Sprintf(" | %.2f", total(bill(f, n, r.cpuPerCall())))
		}
		upTo := "–"
		if f.Cloud.Requests > 0 {
			upTo = thousands(turn(f))
		}
		rows = append(rows, row+" | "+upTo)
	}
	return table("$ a month, by jobs a month | 1,000 | 10,000 | 100,000 | 1,000,000 | cheaper than the machine up to", rows)
}

// of returns the figures of a way under usual conditions. The way must have been
// measured.
func (r *Report) of(w way) Figures {
	for _, f := range r.Ways {
		if f.Way == w.name {
			return f
		}
	}
	panic("not measured: " + w.name)
}

func (r *Report) real() string {
	var rows []string
	for _, p := range r.Real {
		row := p.Real.Way
		jobs, unnoticed, _ := p.Real.all()
		for _, f := range []Figures{p.Virtual, p.Real} {
			_, _, calls := f.all()
			row += fmt.Sprintf(" | %s | %s", number(float64(calls)/float64(jobs)),
				byKind(" | ", func(kind string) string { return fmt.Sprintf("%.2f", f.Jobs[kind].Delay.P50) }))
		}
		rows = append(rows, fmt.Sprintf("%s | %d | %.1f", row, unnoticed, 1000*max(0, p.Real.CPU-p.Idle)/float64(jobs)))
	}
	return table("way | virtual time: calls a job | median delay, s: batch | Deep Research | video | "+
		"real time: calls a job | median delay, s: batch | Deep Research | video | never noticed | CPU, ms a job", rows)
}

// short formats a duration in seconds with two or three digits and a unit.
func short(s float64) string {
	switch {
	case s < 10 && s != float64(int(s)):
		return fmt.Sprintf("%.1f s", s)
	case s < 120:
		return fmt.Sprintf("%.0f s", s)
	case s < 3*3600:
		return fmt.Sprintf("%.0f min", s/60)
	}
	return fmt.Sprintf("%.1f h", s/3600)
}

// number formats a number with at least three digits.
func number(n float64) string {
	switch {
	case n < 10:
		return fmt.Sprintf("%.2f", n)
	case n < 100:
		return fmt.Sprintf("%.1f", n)
	}
	return thousands(n)
}

func thousands(n float64) string {
	text := fmt.Sprintf("%.0f", n)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
