package main

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook/shared/geminitest"
)

// The kinds of API calls.
const (
	callGet      = "get"
	callList     = "list"
	callDownload = "download"
	callWebhooks = "webhooks" // the reconciler reads the webhook's state
)

// noKind is the kind of job of calls that are not about a job.
const noKind = "webhook"

// A meter is a transport that counts calls, and records the delays of results. It is
// safe for concurrent use.
type meter struct {
	http.RoundTripper

	mu      sync.Mutex
	calls   map[string]map[string]int  // by kind of job, then by kind of call
	seconds map[int64]int              // calls, by Unix second
	refused int                        // calls answered 429
	bytes   int64                      // of answers' bodies
	delays  map[string][]time.Duration // by kind of job
	have    map[string]bool            // names of jobs whose result has arrived
	passes  int                        // reconciler passes
	passing time.Duration              // total duration of passes
}

func newMeter(over http.RoundTripper) *meter {
	return &meter{
		RoundTripper: over, calls: make(map[string]map[string]int), seconds: make(map[int64]int),
		delays: make(map[string][]time.Duration), have: make(map[string]bool),
	}
}

// RoundTrip implements [http.RoundTripper].
func (m *meter) RoundTrip(r *http.Request) (*http.Response, error) {
	kind, call := classify(r.URL.Path)
	m.mu.Lock()
	if m.calls[kind] == nil {
		m.calls[kind] = make(map[string]int)
	}
	m.calls[kind][call]++
	m.seconds[time.Now().Unix()]++
	m.mu.Unlock()
	resp, err := m.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	resp.Body = &counted{resp.Body, m}
	if resp.StatusCode == http.StatusTooManyRequests {
		m.mu.Lock()
		m.refused++
		m.mu.Unlock()
	}
	return resp, nil
}

// classify returns the kind of job and the kind of call for a path.
func classify(path string) (kind, call string) {
	switch {
	case strings.HasSuffix(path, "/batches"):
		return geminitest.KindBatch, callList
	case strings.Contains(path, "/batches/"):
		return geminitest.KindBatch, callGet
	case strings.Contains(path, "/interactions/"):
		return geminitest.KindInteraction, callGet
	case strings.Contains(path, "/operations/"):
		return geminitest.KindVideo, callGet
	case strings.Contains(path, "/files/batch-"):
		return geminitest.KindBatch, callDownload
	case strings.Contains(path, "/files/"):
		return geminitest.KindVideo, callDownload
	}
	return noKind, callWebhooks
}

// counted counts the bytes read from a body.
type counted struct {
	io.ReadCloser
	meter *meter
}

// Read implements [io.Reader].
func (c *counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.meter.mu.Lock()
	c.meter.bytes += int64(n)
	c.meter.mu.Unlock()
	return n, err
}

// inHand notes that the result of a job has arrived. It ignores repeated calls for a
// job.
func (m *meter) inHand(s started) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.have[s.Name] {
		m.have[s.Name] = true
		m.delays[s.Kind] = append(m.delays[s.Kind], time.Since(s.Ends))
	}
}

// passed notes a pass of the reconciler.
func (m *meter) passed(took time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.passes++
	m.passing += took
}

// count returns the number of results that have arrived.
func (m *meter) count() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.have)
}

// Figures are the measurements of one way.
type Figures struct {
	Way     string
	Under   Conditions
	Jobs    map[string]Jobs // by kind
	Other   int             // calls that are not about a job
	Refused int             // calls answered 429
	Peak    int             // calls in the busiest second
	Bytes   int64           // of all answers' bodies
	Passes  int             // reconciler passes
	Passing float64         // total duration of passes, in seconds
	Cloud   Billed          // zero in real time
	CPU     float64         // processor time in seconds; zero on virtual time
}

// Jobs are the figures of the jobs of one kind.
type Jobs struct {
	Started   int
	Unnoticed int            // jobs without a result at the end of the run
	Calls     map[string]int // by kind of call
	Delay     Delay
}

// A Delay is the time from a job's end to the arrival of its result, in seconds.
type Delay struct{ P50, P95, Max float64 }

// figures returns the measurements. jobs is the number of started jobs, by kind.
func (m *meter) figures(way string, jobs map[string]int) Figures {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := Figures{Way: way, Jobs: make(map[string]Jobs), Refused: m.refused, Bytes: m.bytes, Other: m.calls[noKind][callWebhooks],
		Passes: m.passes, Passing: m.passing.Seconds()}
	for kind, n := range jobs {
		delays := m.delays[kind]
		f.Jobs[kind] = Jobs{Started: n, Unnoticed: n - len(delays), Calls: m.calls[kind], Delay: spread(delays)}
	}
	for _, n := range m.seconds {
		f.Peak = max(f.Peak, n)
	}
	return f
}

func spread(delays []time.Duration) (d Delay) {
	if len(delays) == 0 {
		return d
	}
	delays = slices.Sorted(slices.Values(delays))
	at := func(share float64) float64 { return delays[int(share*float64(len(delays)-1)+.5)].Seconds() }
	return Delay{at(.5), at(.95), at(1)}
}

// perJob returns the calls that a job of a kind took.
func (f Figures) perJob(kind string) float64 {
	n := 0
	for _, calls := range f.Jobs[kind].Calls {
		n += calls
	}
	return float64(n) / float64(f.Jobs[kind].Started)
}

// all returns the sums over all kinds: jobs, those without a result, and calls.
func (f Figures) all() (jobs, unnoticed, calls int) {
	calls = f.Other
	for _, j := range f.Jobs {
		jobs, unnoticed = jobs+j.Started, unnoticed+j.Unnoticed
		for _, n := range j.Calls {
			calls += n
		}
	}
	return jobs, unnoticed, calls
}
