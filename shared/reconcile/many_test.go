package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/geminitest"
)

// inCrowd runs test with a simulated API and a reconciler that uses it. n is the
// number of jobs, from the environment variable RECONCILE_MANY.
func inCrowd(t *testing.T, test func(w *world, api *geminitest.API, r *Reconciler, n int)) {
	n, err := strconv.Atoi(cmp.Or(os.Getenv("RECONCILE_MANY"), "1000"))
	if err != nil {
		t.Fatal(err)
	}
	inWorld(t, func(w *world) {
		api := geminitest.New(propertyKey)
		defer api.Close()
		api.Add(staticURL)
		base, _ := url.Parse("https://generativelanguage.googleapis.com")
		r := w.reconciler()
		r.API = gemini.Open(base, oneKey{}, api.Client().Transport)
		test(w, api, r, n)
	})
}

// A pass with many batches within the look-back ends before its timeout, reads the
// record of each once, and reads one page from the API for each hundred. The times
// and the memory it logs include those of the embedded servers in the same process.
func TestManyJobs(t *testing.T) {
	inCrowd(t, func(w *world, api *geminitest.API, r *Reconciler, n int) {
		clock := new(stopwatch)
		for i := range n {
			name := api.StartBatch(geminitest.Job{Ago: 2*time.Hour + time.Duration(i)*10*time.Second, Delivery: geminitest.Delivery{Never: true}})
			if i >= 100 { // the rest was delivered
				w.deliver("batch.succeeded", name)
			}
		}
		w.messages()
		w.setFault(func(_ context.Context, call string, do func() error) error {
			clock.sample()
			return do()
		})
		for i, want := range []Summary{{Delivered: n - 100, Missed: 100, HandedOver: 50}, {Delivered: n - 50, Missed: 50, HandedOver: 50}, {Delivered: n}} {
			w.took("RunQuery")
			clock.start()
			s := w.pass(r)
			clock.sample()
			queries := w.took("RunQuery")
			t.Logf("%s of %d jobs: %s; %d calls of the API, %d queries", []string{"first pass", "second pass", "third pass"}[i], n, clock, s.Calls, queries)
			if s.Delivered != want.Delivered || s.Missed != want.Missed || s.HandedOver != want.HandedOver || !s.Complete {
				t.Errorf("unexpected summary: %+v", s)
			}
			if most := int64((n+99)/100 + 1); s.Calls > most {
				t.Errorf("%d calls, want at most %d", s.Calls, most)
			}
			if most := []int{(n+14)/15 + 3, 50/15 + 5, 2}[i]; queries > most {
				t.Errorf("pass %d: %d queries, want at most %d", i, queries, most)
			}
		}
	})
}

// A pass with many registered jobs that run calls the API once for each, eight at a
// time.
func TestManyRegisteredJobs(t *testing.T) {
	inCrowd(t, func(w *world, api *geminitest.API, r *Reconciler, n int) {
		clock := new(stopwatch)
		for range n {
			w.start(api.StartInteraction(geminitest.Job{For: 1000 * time.Hour}))
		}
		w.pass(r)
		time.Sleep(time.Hour)
		w.setFault(func(_ context.Context, _ string, do func() error) error {
			clock.sample()
			return do()
		})
		w.took("RunQuery")
		clock.start()
		s := w.pass(r)
		clock.sample()
		t.Logf("a pass of %d registered jobs: %s; %d calls of the API, %d queries", n, clock, s.Calls, w.took("RunQuery"))
		if s.Jobs != n || s.Pending != n || s.Calls != int64(n)+2 || !s.Complete {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// A stopwatch measures real time and memory, in a bubble too: it reads clocks that the
// bubble does not replace.
type stopwatch struct {
	began  int64
	before uint64
	most   atomic.Uint64
	n      atomic.Int64
}

func (s *stopwatch) start() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	s.before, s.began = m.HeapAlloc, cpuTime()
	s.most.Store(m.HeapAlloc)
}

// sample measures the memory at every 50th call.
func (s *stopwatch) sample() {
	if s.n.Add(1)%50 != 0 {
		return
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	for most := s.most.Load(); m.HeapAlloc > most && !s.most.CompareAndSwap(most, m.HeapAlloc); most = s.most.Load() {
	}
}

func (s *stopwatch) String() string {
	return fmt.Sprintf("%v of CPU, at most %d MiB more than before", time.Duration(cpuTime()-s.began).Round(time.Millisecond), (s.most.Load()-s.before)>>20)
}
