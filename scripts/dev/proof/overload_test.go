package proof

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	// Pub/Sub's capacity: the number of concurrent messages, and the time for each. It
	// is the bottleneck, so that the result does not depend on the test's machine.
	publishedAtOnce = 10
	publishTakes    = 100 * time.Millisecond

	overloadFactor = 4
	overloadFor    = 8 * time.Second

	// handlerDeadline is the longest duration of a request.
	handlerDeadline = receiver.DefaultVerifyTimeout + receiver.DefaultProcessTimeout + dedup.DefaultEndTimeout

	// memory is the default memory of a deployed instance, in MiB.
	memory = 512.0
)

// timed enables the checks of rates and latencies, which are meaningless on a busy
// machine.
var timed = flag.Bool("timed", false, "also check rates and latencies; use only on an idle machine")

// narrow returns a proxy handler that limits Pub/Sub's capacity.
func narrow() func(ctx context.Context, method string, forward func() error) error {
	slots := make(chan struct{}, publishedAtOnce)
	return func(ctx context.Context, method string, forward func() error) error {
		if method != functiontest.Publish {
			return forward()
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return status.FromContextError(ctx.Err()).Err()
		}
		defer func() { <-slots }()
		time.Sleep(publishTakes)
		return forward()
	}
}

// tally counts answers.
type tally struct {
	mu       sync.Mutex
	accepted []time.Duration // latencies of 204
	refused  int             // 503 with Retry-After
	other    map[string]int
}

func (a *tally) add(resp *http.Response, err error, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case err != nil:
		a.other["no answer"]++ // a connection that is closed before all of a large body is read
	case resp.StatusCode == http.StatusNoContent:
		a.accepted = append(a.accepted, took)
	case resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != "":
		a.refused++
	default:
		a.other[resp.Status]++
	}
}

func (a *tally) percentile(p int) time.Duration {
	if len(a.accepted) == 0 {
		return 0
	}
	slices.Sort(a.accepted)
	return a.accepted[(len(a.accepted)-1)*p/100]
}

// A load sends deliveries to one instance.
type load struct {
	t        *testing.T
	client   *http.Client
	instance *functiontest.Process
	sign     webhooktest.Signer
}

// newLoad starts a deployed function in an embedded project.
func newLoad(t *testing.T, function string) (*load, *functiontest.Project) {
	p := functiontest.NewEmbedded(t)
	env := append(p.Env, "SIGNING_SECRET_NAME="+signingSecret, "URL_TOKEN_SECRET_NAME="+tokenSecret)
	l := &load{
		t: t, sign: newSigner(t, p, function),
		client:   newClient(),
		instance: functiontest.NewProcess(t, function, env...),
	}
	l.instance.Start()
	return l, p
}

func (l *load) post(a *tally, body []byte) {
	id, start := webhooktest.NewID(), time.Now()
	resp, err := post(l.t.Context(), l.client, l.instance.URL(), l.sign, id, body)
	a.add(resp, err, time.Since(start))
}

// ordinary sends small deliveries until one is accepted.
func (l *load) ordinary(when string) {
	l.t.Helper()
	functiontest.Eventually(l.t, "an ordinary delivery accepted, "+when, func() bool {
		a := &tally{other: make(map[string]int)}
		l.post(a, webhooktest.NewEvent("batch.succeeded"))
		return len(a.accepted) == 1
	})
}

// closed sends from n senders, each of which waits for an answer before its next
// delivery. It returns the number of accepted deliveries per second.
func (l *load) closed(n int, length time.Duration) (rate float64) {
	a := &tally{other: make(map[string]int)}
	var all sync.WaitGroup
	end := time.Now().Add(length)
	for range n {
		all.Go(func() {
			for time.Now().Before(end) {
				l.post(a, webhooktest.NewEvent("batch.succeeded"))
			}
		})
	}
	all.Wait()
	return float64(len(a.accepted)) / length.Seconds()
}

// open sends at a fixed rate, without waiting for answers.
func (l *load) open(rate float64, length time.Duration) *tally {
	a := &tally{other: make(map[string]int)}
	var all sync.WaitGroup
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	start, sent := time.Now(), 0.0
	for now := start; now.Sub(start) < length; now = <-tick.C {
		for ; sent < rate*now.Sub(start).Seconds(); sent++ {
			all.Go(func() { l.post(a, webhooktest.NewEvent("batch.succeeded")) })
		}
	}
	all.Wait()
	return a
}

// TestOverload sends four times the function's capacity.
func TestOverload(t *testing.T) {
	l, p := newLoad(t, realStatic)
	p.Interfere(narrow())
	capacity := l.closed(2*publishedAtOnce, 3*time.Second)
	// On a busy machine, the measured capacity may be far below that of the next
	// seconds. Pub/Sub's capacity is the upper bound.
	most := publishedAtOnce / publishTakes.Seconds()
	a := l.open(overloadFactor*max(capacity, most), overloadFor)
	goodput := float64(len(a.accepted)) / overloadFor.Seconds()
	fmt.Printf("capacity %.0f/s; at %d times that for %v: accepted %.0f/s, p50 %v, p99 %v; refused with Retry-After %d; else %v; memory at most %.0f MiB\n",
		capacity, overloadFactor, overloadFor, goodput, a.percentile(50).Round(time.Millisecond), a.percentile(99).Round(time.Millisecond),
		a.refused, a.other, peakMemory(l.instance))
	if n := len(p.Messages(t)); n < len(a.accepted) {
		t.Errorf("%d messages published, but %d deliveries accepted", n, len(a.accepted))
	}
	if a.refused == 0 {
		t.Error("no delivery was rejected with 503")
	}
	if !*timed {
		return
	}
	if goodput < 0.6*capacity {
		t.Errorf("%.0f deliveries/s accepted under overload, with a capacity of %.0f/s", goodput, capacity)
	}
	if p99 := a.percentile(99); p99 > handlerDeadline {
		t.Errorf("p99 latency of accepted deliveries is %v", p99)
	}
	if len(a.other) > 0 {
		t.Errorf("%d deliveries rejected with 503, and other answers: %v", a.refused, a.other)
	}
}

// peakMemory returns a process's peak resident memory, in MiB. It is 0 if the process
// has ended or if there is no /proc.
func peakMemory(p *functiontest.Process) (mebibytes float64) {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID()))
	for line := range strings.Lines(string(text)) {
		if _, err := fmt.Sscanf(line, "VmHWM: %f kB", &mebibytes); err == nil {
			return mebibytes / 1024
		}
	}
	return 0
}

// raceFactor multiplies the memory limit if the race detector is on. According to its
// documentation, it increases memory usage by five to ten times.
func raceFactor() float64 {
	if raced() {
		return 3
	}
	return 1
}

// raced reports whether the race detector is on.
func raced() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// TestLargeBodies sends bodies of the maximum size, more at once than the concurrency
// limit.
func TestLargeBodies(t *testing.T) {
	l, _ := newLoad(t, realStatic)
	l.ordinary("first") // makes the function fetch its secret
	a := &tally{other: make(map[string]int)}
	body := append(webhooktest.NewEvent("batch.succeeded"), strings.Repeat(" ", 1<<20)...)[:1<<20]
	var all sync.WaitGroup
	for range 400 {
		all.Go(func() { l.post(a, body) })
	}
	all.Wait()
	peak := peakMemory(l.instance)
	fmt.Printf("400 bodies of 1 MiB at once: accepted %d, refused with Retry-After %d, else %v; memory at most %.0f MiB\n",
		len(a.accepted), a.refused, a.other, peak)
	if len(a.accepted) == 0 && !raced() { // the race detector can delay all of them beyond their deadlines
		t.Error("no delivery was accepted")
	}
	if peak == 0 && runtime.GOOS == "linux" {
		t.Error("the instance has ended, so its memory cannot be read")
	}
	if limit := memory * raceFactor(); peak > limit {
		t.Errorf("peak memory is %.0f MiB, want at most %.0f", peak, limit)
	}
	l.ordinary("afterwards")
}

// TestForgeries sends genuine deliveries during a flood of forged ones.
func TestForgeries(t *testing.T) {
	for _, function := range []string{realStatic, realDynamic} {
		t.Run(function, func(t *testing.T) {
			l, p := newLoad(t, function)
			genuine := &tally{other: make(map[string]int)}
			l.post(genuine, webhooktest.NewEvent("batch.succeeded"))
			_ = p.Calls()
			var forgeries atomic.Int64
			stop := l.forge(&forgeries)
			start := time.Now()
			for time.Since(start) < 4*time.Second {
				l.post(genuine, webhooktest.NewEvent("batch.succeeded"))
			}
			stop()
			calls, n := p.Calls(), len(genuine.accepted)
			fmt.Printf("%s: %d forgeries refused in 4 s, and %d genuine deliveries accepted, p50 %v, p99 %v; %d calls, %d key fetches\n", function,
				forgeries.Load(), n, genuine.percentile(50).Round(time.Millisecond), genuine.percentile(99).Round(time.Millisecond), len(calls), p.Keys.Fetches())
			if len(genuine.other)+genuine.refused > 0 {
				t.Errorf("genuine deliveries got the answers %v, and %d times 503", genuine.other, genuine.refused)
			}
			if len(calls) != 3*(n-1) || p.Keys.Fetches() > 1 {
				t.Errorf("%d calls for %d deliveries, and %d key fetches", len(calls), n-1, p.Keys.Fetches())
			}
		})
	}
}

// forge sends deliveries with wrong signatures from many senders, until it is stopped.
func (l *load) forge(count *atomic.Int64) (stop func()) {
	ctx, cancel := context.WithCancel(l.t.Context())
	forged := func(id, timestamp string, body []byte) (string, error) {
		return l.sign(id, timestamp, append(slices.Clone(body), ' '))
	}
	var all sync.WaitGroup
	for range 32 {
		all.Go(func() {
			body := webhooktest.NewEvent("batch.succeeded")
			for ctx.Err() == nil {
				resp, err := post(l.t.Context(), l.client, l.instance.URL(), forged, webhooktest.NewID(), body)
				if err != nil || resp.StatusCode != http.StatusUnauthorized {
					l.t.Errorf("a forgery got %v, %v", resp, err)
					return
				}
				count.Add(1)
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}
