package send

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	// maxListed is the largest number of deliveries for which each attempt gets a line.
	// If there are more, only attempts that were not accepted get one.
	maxListed = 100

	progressEvery = 200 * time.Millisecond // at least, between two progress lines
)

// clearLine is the terminal sequence that erases the progress line.
const clearLine = "\r\x1b[K"

// A report writes the results of deliveries to standard output and, if standard error
// is a terminal, a progress line to it. It is safe for concurrent use.
type report struct {
	out      io.Writer
	progress io.Writer // nil if progress is not shown
	paint    terminal.Paint
	json     bool
	total    int
	started  time.Time

	mu        sync.Mutex
	shown     time.Time // the time of the last progress line
	accepted  int
	failed    int
	latencies []time.Duration // of the attempts that were answered
}

// newReport returns a report of total deliveries. It shows progress only if total
// exceeds maxListed.
func newReport(json bool, total int) *report {
	r := &report{out: os.Stdout, paint: terminal.PaintFor(os.Stdout), json: json, total: total, started: time.Now()}
	if total > maxListed && terminal.Is(os.Stderr) {
		r.progress = os.Stderr
		r.showProgress()
	}
	return r
}

// showProgress updates the progress line, at most once per progressEvery.
func (r *report) showProgress() {
	if r.progress == nil || time.Since(r.shown) < progressEvery {
		return
	}
	r.shown = time.Now()
	fmt.Fprintf(r.progress, "%s%d of %d, %d failed, %.0f/s", clearLine, r.accepted+r.failed, r.total, r.failed, r.rate())
}

// rate returns the finished deliveries per second.
func (r *report) rate() float64 {
	return float64(r.accepted+r.failed) / time.Since(r.started).Seconds()
}

// result reports an attempt. again is the pause before the next attempt, 0 if this is
// the last.
func (r *report) result(a *delivery.Attempt, got delivery.Answer, again time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if got.Err == nil {
		r.latencies = append(r.latencies, got.Latency)
	}
	switch {
	case again != 0:
	case got.OK():
		r.accepted++
	default:
		r.failed++
	}
	if r.json {
		r.writeJSON(a, got, again)
	} else if r.total <= maxListed || !got.OK() {
		r.writeLine(a, got, again)
	}
	r.showProgress()
}

func (r *report) writeJSON(a *delivery.Attempt, got delivery.Answer, again time.Duration) {
	line := struct {
		Endpoint  string         `json:"endpoint"`
		Scheme    webhook.Scheme `json:"scheme"`
		Type      string         `json:"type"`
		ID        string         `json:"id"`
		Status    int            `json:"status"`
		LatencyMS float64        `json:"latency_ms"`
		OK        bool           `json:"ok"`
		Error     string         `json:"error,omitempty"`
		AgainInMS float64        `json:"again_in_ms,omitempty"`
	}{delivery.Endpoint(a.Scheme), a.Scheme, delivery.EventType(a.Body), a.ID, got.Status, milliseconds(got.Latency), got.OK(), "", milliseconds(again)}
	if got.Err != nil {
		line.Error = got.Err.Error()
	}
	_ = json.NewEncoder(r.out).Encode(line)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r *report) writeLine(a *delivery.Attempt, got delivery.Answer, again time.Duration) {
	if r.progress != nil {
		fmt.Fprint(r.progress, clearLine)
	}
	colour, status, rest := terminal.Green, strconv.Itoa(got.Status), ""
	latency := fmt.Sprintf("%8.1f ms", milliseconds(got.Latency))
	switch {
	case got.Err != nil:
		colour, status, rest, latency = terminal.Red, "---", "  "+got.Err.Error(), "          -"
	case !got.OK():
		colour = terminal.Red
	}
	if again != 0 {
		rest += "  retry in " + again.Round(10*time.Millisecond).String()
	}
	fmt.Fprintf(r.out, "%-7s  %-3s  %-27s  %-40s  %s  %s%s\n", delivery.Endpoint(a.Scheme), a.Scheme,
		delivery.EventType(a.Body), a.ID, r.paint.In(colour, status), latency, rest)
}

// summary writes the totals, and reports whether all deliveries were accepted.
func (r *report) summary() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := r.accepted == r.total
	if r.progress != nil {
		fmt.Fprint(r.progress, clearLine)
	}
	if r.json {
		return ok
	}
	colour := terminal.Green
	if !ok {
		colour = terminal.Red
	}
	fmt.Fprintf(r.out, "\n%s", r.paint.In(colour, fmt.Sprintf("%d of %d accepted (2xx)", r.accepted, r.total)))
	if len(r.latencies) > 0 {
		slices.Sort(r.latencies)
		fmt.Fprintf(r.out, "; latency: median %.1f ms, p99 %.1f ms, maximum %.1f ms; %.0f per second",
			r.quantile(0.5), r.quantile(0.99), r.quantile(1), r.rate())
	}
	fmt.Fprintln(r.out)
	return ok
}

// quantile returns the latency, in milliseconds, that the fraction q of attempts did
// not exceed. r.latencies must be sorted and not empty.
func (r *report) quantile(q float64) float64 {
	return milliseconds(r.latencies[int(math.Ceil(q*float64(len(r.latencies))))-1])
}
