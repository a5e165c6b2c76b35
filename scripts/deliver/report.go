package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/url"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/command"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	// maxListed is up to how many deliveries each gets a line. Of more, only those
	// that were not taken do.
	maxListed = 100

	progressEvery = 200 * time.Millisecond
)

// clearLine takes back a progress line.
const clearLine = "\r\x1b[K"

// A report tells what became of deliveries, on standard output, and how far they
// are, on a terminal at standard error. It may be used concurrently.
type report struct {
	out      io.Writer
	progress io.Writer // nil where nobody watches
	paint    command.Paint
	json     bool
	total    int
	started  time.Time

	mu        sync.Mutex
	taken     int
	failed    int
	latencies []time.Duration // of those answered
}

func newReport(o *options, total int) *report {
	r := &report{out: os.Stdout, paint: command.PaintFor(os.Stdout), json: o.json, total: total, started: time.Now()}
	if total > maxListed && command.Terminal(os.Stderr) {
		r.progress = os.Stderr
	}
	return r
}

// begin shows the progress from now on, until end is called.
func (r *report) begin() (end func()) {
	if r.progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(progressEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.showProgress()
			case <-done:
				return
			}
		}
	}()
	return sync.OnceFunc(func() { close(done) })
}

func (r *report) showProgress() {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.taken + r.failed
	if r.progress == nil || n == r.total {
		return
	}
	fmt.Fprintf(r.progress, "%s%d of %d, %d failed, %.0f/s", clearLine, n, r.total, r.failed, r.rate())
}

func (r *report) rate() float64 {
	return float64(r.taken+r.failed) / time.Since(r.started).Seconds()
}

// result reports an attempt, which is the last one where again is zero.
func (r *report) result(a *attempt, got answer, again time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if got.err == nil {
		r.latencies = append(r.latencies, got.latency)
	}
	switch {
	case again != 0:
	case got.ok():
		r.taken++
	default:
		r.failed++
	}
	if r.json {
		r.writeJSON(a, got, again)
	} else if r.total <= maxListed || !got.ok() {
		r.writeLine(a, got, again)
	}
}

func (r *report) writeJSON(a *attempt, got answer, again time.Duration) {
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
	}{endpoint(a.scheme), a.scheme, eventType(a.body), a.id, got.status, milliseconds(got.latency), got.ok(), "", milliseconds(again)}
	if got.err != nil {
		line.Error = plain(got.err)
	}
	_ = json.NewEncoder(r.out).Encode(line)
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

func (r *report) writeLine(a *attempt, got answer, again time.Duration) {
	if r.progress != nil {
		fmt.Fprint(r.progress, clearLine)
	}
	colour, status, rest := command.Green, strconv.Itoa(got.status), ""
	latency := fmt.Sprintf("%8.1f ms", milliseconds(got.latency))
	switch {
	case got.err != nil:
		colour, status, rest, latency = command.Red, "---", "  "+plain(got.err), "          -"
	case !got.ok():
		colour = command.Red
	}
	if again != 0 {
		rest += "  again in " + again.Round(10*time.Millisecond).String()
	}
	fmt.Fprintf(r.out, "%-7s  %-3s  %-27s  %-40s  %s  %s%s\n", endpoint(a.scheme), a.scheme,
		eventType(a.body), a.id, r.paint.In(colour, status), latency, rest)
}

// plain is an error without what every line of it would say: the URL, which holds
// the token.
func plain(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

// summary sums up, and reports whether all was taken.
func (r *report) summary() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	ok := r.taken == r.total
	if r.progress != nil {
		fmt.Fprint(r.progress, clearLine)
		r.progress = nil // it is over
	}
	if r.json {
		return ok
	}
	colour := command.Green
	if !ok {
		colour = command.Red
	}
	fmt.Fprintf(r.out, "\n%s", r.paint.In(colour, fmt.Sprintf("%d of %d taken (2xx)", r.taken, r.total)))
	if len(r.latencies) > 0 {
		slices.Sort(r.latencies)
		fmt.Fprintf(r.out, "; latency: median %.1f ms, 99%% within %.1f ms, at most %.1f ms; %.0f a second",
			r.quantile(0.5), r.quantile(0.99), r.quantile(1), r.rate())
	}
	fmt.Fprintln(r.out)
	return ok
}

// quantile is one of the sorted latencies.
func (r *report) quantile(q float64) float64 {
	return milliseconds(r.latencies[int(math.Ceil(q*float64(len(r.latencies))))-1])
}
