package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/geminitest"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == sideFlag {
		if err := beSide(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// few draws a few jobs, with as many per week as in the command. Of each kind, the
// first job's delivery is lost, and the second job's is made twice.
func few(n int) []job {
	plan := draw(1, n, time.Duration(n)*7*24*time.Hour/perWeek, realistic)
	seen := make(map[string]int)
	for i := range plan {
		plan[i].Delivery = geminitest.Delivery{Never: seen[plan[i].kind] == 0, Twice: seen[plan[i].kind] == 1}
		seen[plan[i].kind]++
	}
	return plan
}

// Webhooks make the fewest calls and notice ends first, before the polling loops. Every
// way notices all ends, except webhooks without the reconciler if deliveries are lost.
func TestOrder(t *testing.T) {
	const n = 10
	plan := few(n)
	all := make(map[string]Figures)
	for _, w := range ways {
		f := virtually(t, w, plan, usual, Conditions{Latency: usualLatency})
		all[w.name] = f
		for _, kind := range kinds {
			lost := 0
			if w.name == lossy.name {
				lost = 1
			}
			if j := f.Jobs[kind]; j.Started != n || j.Unnoticed != lost {
				t.Errorf("%s, %s: %d of %d never noticed, want %d", w.name, kind, j.Unnoticed, j.Started, lost)
			}
		}
	}
	fewer := func(kind string, names ...way) {
		t.Helper()
		for i, w := range names[1:] {
			less, more := all[names[i].name].perJob(kind), all[w.name].perJob(kind)
			if less >= more {
				t.Errorf("%s: %s makes %.2f calls a job, %s %.2f", kind, names[i].name, less, w.name, more)
			}
		}
	}
	fewer(geminitest.KindBatch, webhooks, reconciled, list, get)
	fewer(geminitest.KindBatch, webhooks, doubling, get)
	for _, kind := range kinds {
		fewer(kind, webhooks, doubling, get)
		if p := all[webhooks.name].perJob(kind); p != 1 {
			t.Errorf("webhooks, %s: %.2f calls a job, want one", kind, p)
		}
		fast, usual, slow := all[webhooks.name].Jobs[kind].Delay, all[get.name].Jobs[kind].Delay, all[doubling.name].Jobs[kind].Delay
		if fast.P50 >= usual.P50 || usual.P50 >= slow.P50 {
			t.Errorf("%s: the median delays are not in order: %v, %v, %v", kind, fast, usual, slow)
		}
	}
	if e := all[reconciled.name].Cloud.Events; e != 3*n {
		t.Errorf("%d events for %d jobs", e, 3*n)
	}
}

// Real-time runs over HTTP make the same calls.
func TestReal(t *testing.T) {
	lives := func(r *rand.Rand, _ string) time.Duration {
		return uniform(r, 100*time.Millisecond, 400*time.Millisecond)
	}
	plan := draw(1, 5, time.Second, lives)
	for _, w := range []way{list, webhooks} {
		f, err := really(t.Context(), w, plan, quick)
		if err != nil {
			t.Fatal(err)
		}
		jobs, unnoticed, calls := f.all()
		if jobs != len(plan) || unnoticed > 0 || f.CPU == 0 {
			t.Errorf("%s: %d jobs, %d never noticed, %v s of CPU", w.name, jobs, unnoticed, f.CPU)
		}
		if w.name == webhooks.name && calls != jobs {
			t.Errorf("webhooks: %d calls for %d jobs", calls, jobs)
		}
	}
}

// Loops retry calls that are answered 429, and miss no end.
func TestRefused(t *testing.T) {
	plan := few(10)
	for _, w := range []way{get, list, webhooks} {
		f := virtually(t, w, plan, usual, Conditions{Limit: 4})
		if _, unnoticed, _ := f.all(); unnoticed > 0 {
			t.Errorf("%s: %d never noticed", w.name, unnoticed)
		}
		if w.name == get.name && f.Refused == 0 {
			t.Error("the limit refused no call")
		}
	}
}

// Each delivery is billed two writes, a claim and a mark, also if deliveries arrive at the
// same time and share the calls.
func TestSharedCallsAreBilled(t *testing.T) {
	plan := make([]job, 40)
	for i := range plan {
		plan[i] = job{kind: geminitest.KindVideo, Job: geminitest.Job{For: time.Minute}}
	}
	f := virtually(t, webhooks, plan, usual, Conditions{})
	if f.Cloud.Requests != 40 || f.Cloud.Events != 40 || f.Cloud.Writes != 80 {
		t.Errorf("%+v, want 40 requests, 40 events and 80 writes", f.Cloud)
	}
}

// The drawn durations are within the published limits, and so are concurrent batches.
func TestDraw(t *testing.T) {
	const n = 2000
	plan := draw(3, n, 24*time.Hour, realistic)
	bounds := map[string][2]time.Duration{
		geminitest.KindBatch:       {2 * time.Minute, 48 * time.Hour},
		geminitest.KindInteraction: {2 * time.Minute, time.Hour},
		geminitest.KindVideo:       {11 * time.Second, 6 * time.Minute},
	}
	var ends []time.Duration
	count, inline, long := make(map[string]int), 0, 0
	for i, j := range plan {
		count[j.kind]++
		if b := bounds[j.kind]; j.For < b[0] || j.For > b[1] {
			t.Errorf("a %s of %v", j.kind, j.For)
		}
		if i > 0 && j.start < plan[i-1].start {
			t.Error("the jobs are not in order")
		}
		if j.kind == geminitest.KindInteraction && j.For > 20*time.Minute {
			long++
		}
		if j.kind != geminitest.KindBatch {
			continue
		}
		if j.Inline {
			inline++
		}
		running := 1
		for _, end := range ends {
			if end > j.start {
				running++
			}
		}
		if ends = append(ends, j.start+j.For); running > maxBatches {
			t.Fatalf("%d batches at a time", running)
		}
	}
	if count[kinds[0]] != n || count[kinds[1]] != n || count[kinds[2]] != n {
		t.Errorf("%v", count)
	}
	if inline < n/5 || inline > n/3 || long < n/20 || long > n/6 {
		t.Errorf("%d batches inline, %d Deep Researches over 20 minutes", inline, long)
	}
}

// Without the subscriber, a million events cost 5.64 dollars, the sum of the rounded
// rows about receiving in the cost table.
func TestBill(t *testing.T) {
	events := Figures{
		Jobs:  map[string]Jobs{geminitest.KindBatch: {Started: 1000}},
		Cloud: Billed{Requests: 1000, Events: 1000, Writes: 2000},
	}
	sum := 0.0
	for _, i := range bill(events, 1e6, 0) {
		if i.Name != "subscriber" {
			sum += i.Dollars
		}
	}
	if sum < 5.63 || sum > 5.65 {
		t.Errorf("a million events cost %.3f dollars", sum)
	}
}

// At turn's number of jobs, the machine and the webhooks cost the same. More machines
// are billed only if one cannot make all calls.
func TestTurn(t *testing.T) {
	f := Figures{
		Jobs:  map[string]Jobs{geminitest.KindBatch: {Started: 1000}},
		Cloud: Billed{Requests: 1000, Events: 1000, Writes: 2000},
	}
	machine := hours * pricePerMachine.dollars()
	if d := total(bill(f, turn(f), 0)) - machine; d < -.01 || d > .01 {
		t.Errorf("at %.0f jobs the difference is %.2f dollars", turn(f), d)
	}
	for calls, want := range map[float64]float64{0: 1, 600e6: 1, 700e6: 2} { // 657 million calls take .25 vCPU
		if n := machines(calls, .001); n != want {
			t.Errorf("%.0f calls: %v machines, want %v", calls, n, want)
		}
	}
}
