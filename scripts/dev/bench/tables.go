package main

import (
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// writeTables writes what people read.
func (r *Report) writeTables(w io.Writer) error {
	var text strings.Builder
	r.Machine.write(&text)
	writeTable(&text, "Load", loadHeader, r.loadRows(r.Near))
	writeTable(&text, "Load, 5 ms of round trip away from the emulators", loadHeader, r.loadRows(r.Far))
	if r.Records > 0 {
		writeTable(&text, fmt.Sprintf("Load among %d records", r.Records), loadHeader, r.loadRows(r.Among))
	}
	writeTable(&text, fmt.Sprintf("One delivery %d times at once, ms to the last answer", copies), []string{"receiver", "near", "answers", "5 ms away", "answers"}, r.burstRows())
	writeTable(&text, fmt.Sprintf("Start, ms; deliveries at 5 ms, where a connection takes %.1f ms", r.Start.Connection), startHeader, r.startRows())
	writeTable(&text, "Targets", []string{"", "wanted", "got", ""}, r.targetRows())
	_, err := io.WriteString(w, text.String())
	return err
}

func (m Machine) write(w io.Writer) {
	fmt.Fprintf(w, "%s, %s, %d cores (%s), emulators: %s\n", m.Go, m.System, m.Cores, m.Processor, m.Emulators)
	for _, module := range measured {
		fmt.Fprintf(w, "%s %s\n", module, m.Modules[module])
	}
	fmt.Fprintf(w, "%s, load average %s before, %s after\n", m.Time.Format("2006-01-02 15:04 MST"), m.LoadBefore, m.LoadAfter)
	fmt.Fprintln(w, m.Disturbance)
}

var loadHeader = []string{"receiver", "at once", "p50 ms", "p95 ms", "p99 ms", "per s", "calls", "CPU ms", "peak MiB", "p50 ÷ floor"}

func (r *Report) loadRows(l Load) [][]string {
	var rows [][]string
	for _, c := range concurrencies {
		for _, name := range receivers {
			cell := func(of func(Figures) float64) string { return figure(median(l.of(name, c), of)) }
			rows = append(rows, []string{
				name, strconv.Itoa(c), cell(p50), cell(p95), cell(p99), cell(rate),
				figure(r.calls(name, c)), cell(cpu), cell(peak), figure(ratio(l.of(name, c), l.of(floor, c), p50)),
			})
		}
	}
	return rows
}

func (r *Report) burstRows() [][]string {
	var rows [][]string
	for _, name := range []string{this, textbook} {
		near, far := r.Near.bursts(name), r.Far.bursts(name)
		rows = append(rows, []string{name, figure(median(near, last)), answers(near), figure(median(far, last)), answers(far)})
	}
	return rows
}

// answers sums the answers to all bursts, by status.
func answers(bursts []Burst) string {
	sum := make(map[int]int)
	for _, b := range bursts {
		for status, n := range b.Answers {
			sum[status] += n
		}
	}
	var parts []string
	for _, status := range slices.Sorted(maps.Keys(sum)) {
		parts = append(parts, fmt.Sprintf("%d× %d", sum[status], status))
	}
	return strings.Join(parts, ", ")
}

var startHeader = []string{"receiver", "first answer", "÷ empty", "start to first delivery", "first delivery", "later ones", "idle MiB"}

func (r *Report) startRows() [][]string {
	var rows [][]string
	for _, name := range starters {
		cell := func(of func(Start) float64) string { return figure(median(r.Start.of(name), of)) }
		rows = append(rows, []string{
			name, cell(answer), figure(ratio(r.Start.of(name), r.Start.of(empty), answer)), cell(delivered), cell(first), cell(later), cell(idle),
		})
	}
	return rows
}

func (r *Report) targetRows() [][]string {
	var rows [][]string
	for _, t := range r.Targets {
		rows = append(rows, []string{t.What, t.wanted(), strings.TrimSpace(figure(float64(t.Got)) + " " + t.Unit), t.margin()})
	}
	return rows
}

// figure writes a number with three digits that count, or a dash where there is none.
func figure(x float64) string {
	switch {
	case math.IsNaN(x):
		return "–"
	case x >= 100:
		return strconv.FormatFloat(x, 'f', 0, 64)
	case x >= 10:
		return strconv.FormatFloat(x, 'f', 1, 64)
	}
	return strconv.FormatFloat(x, 'f', 2, 64)
}

// writeTable writes a heading and columns, the first to the left and the others to the right.
func writeTable(w io.Writer, heading string, header []string, rows [][]string) {
	rows = append([][]string{header}, rows...)
	widths := make([]int, len(header))
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	fmt.Fprintf(w, "\n%s\n", heading)
	for _, row := range rows {
		line := fmt.Sprintf("%-*s", widths[0], row[0])
		for i, cell := range row[1:] {
			line += fmt.Sprintf("  %*s", widths[i+1], cell)
		}
		fmt.Fprintln(w, "  "+strings.TrimRight(line, " "))
	}
}
