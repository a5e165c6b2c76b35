package together_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/shared/together"
)

// A server answers each item with its double, after a time that the test chooses.
type server struct {
	together.Caller[int, int]
	takes func(items []int) time.Duration

	mu    sync.Mutex
	calls [][]int
	at    []time.Duration // since began
	began time.Time
}

func newServer(takes func(items []int) time.Duration) *server {
	s := &server{takes: takes, began: time.Now()}
	s.Call = s.call
	s.Fits = func(items []int, item int) bool { return !slices.Contains(items, item) }
	return s
}

func (s *server) call(ctx context.Context, items []int) (results []int, err error) {
	s.mu.Lock()
	s.calls = append(s.calls, items)
	s.at = append(s.at, time.Since(s.began))
	s.mu.Unlock()
	select {
	case <-time.After(s.takes(items)):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	for _, item := range items {
		results = append(results, 2*item)
	}
	return results, nil
}

// sends sends an item at a time, and returns a channel of its answer.
func (s *server) sends(ctx context.Context, at time.Duration, item int) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		time.Sleep(at - time.Since(s.began))
		result, err := s.Do(ctx, item)
		c <- answer{item, result, err, time.Since(s.began)}
	}()
	return c
}

type answer struct {
	item, result int
	err          error
	at           time.Duration
}

func (a answer) check(t *testing.T, at time.Duration, err error) {
	t.Helper()
	if !errors.Is(a.err, err) || a.at != at || err == nil && a.result != 2*a.item {
		t.Errorf("item %d: %d, %v after %v; want %v after %v", a.item, a.result, a.err, a.at, err, at)
	}
}

func always(d time.Duration) func([]int) time.Duration {
	return func([]int) time.Duration { return d }
}

const ms = time.Millisecond

func (s *server) check(t *testing.T, want string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var got []string
	for i, items := range s.calls {
		got = append(got, fmt.Sprintf("%v%v", s.at[i], items))
	}
	if text := strings.Join(got, " "); text != want {
		t.Errorf("calls %s, want %s", text, want)
	}
}

// Items that arrive one after another go out at once, with their callers' contexts.
func TestAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		s := newServer(always(ms))
		call := s.Call
		s.Call = func(ctx context.Context, items []int) ([]int, error) {
			if ctx.Value(key{}) != items[0] {
				t.Errorf("item %d has the context of %v", items[0], ctx.Value(key{}))
			}
			return call(ctx, items)
		}
		for i := range 3 {
			(<-s.sends(context.WithValue(t.Context(), key{}, i), 0, i)).check(t, time.Duration(i+1)*ms, nil)
		}
		s.check(t, "0s[0] 1ms[1] 2ms[2]")
	})
}

// Items that arrive while a call is under way go out together when it returns.
func TestTogether(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(always(ms))
		first := s.sends(t.Context(), 0, 1)
		second := s.sends(t.Context(), ms/4, 2)
		third := s.sends(t.Context(), ms/2, 3)
		fourth := s.sends(t.Context(), 3*ms/2, 4)
		(<-first).check(t, ms, nil)
		(<-second).check(t, 2*ms, nil)
		(<-third).check(t, 2*ms, nil)
		(<-fourth).check(t, 3*ms, nil)
		s.check(t, "0s[1] 1ms[2 3] 2ms[4]")
	})
}

// Items of a crowd go out together, although no call is under way: the callers of a
// shared call are ready to make the next one at the same time.
func TestCrowd(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const callers, tries = 8, 20 // the scheduler may begin with the one that yields, rarely
	synctest.Test(t, func(t *testing.T) {
		s := newServer(always(ms))
		for range tries {
			s.calls = nil
			var all sync.WaitGroup
			for i := range callers {
				all.Go(func() { s.Do(t.Context(), i) })
			}
			all.Wait()
			if len(s.calls) == 1 {
				return
			}
		}
		t.Errorf("%d callers never made one call: %v", callers, s.calls)
	})
}

// Callers that make another call as soon as theirs has returned join the next one.
func TestJoinAgain(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const tries = 20 // as above
	var last []int
	for range tries {
		synctest.Test(t, func(t *testing.T) {
			s := newServer(always(ms))
			var all sync.WaitGroup
			for item, at := range map[int]time.Duration{1: 0, 2: ms / 2, 3: ms / 2, 4: 3 * ms / 2} {
				all.Go(func() {
					time.Sleep(at)
					s.Do(t.Context(), item)
					if item == 2 || item == 3 {
						s.Do(t.Context(), item+3)
					}
				})
			}
			all.Wait()
			last = s.calls[2]
		})
		if len(last) == 3 {
			return
		}
	}
	t.Errorf("the third call is always %v, want items 4, 5 and 6", last)
}

// A call that stalls holds up the next for Patience, and no other.
func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(items []int) time.Duration {
			if items[0] == 1 {
				return time.Hour
			}
			return ms
		})
		s.sends(t.Context(), 0, 1)
		second := s.sends(t.Context(), ms, 2)
		third := s.sends(t.Context(), 2*ms, 3)
		fourth := s.sends(t.Context(), 5*ms, 4)
		(<-second).check(t, ms+together.Patience+ms, nil)
		(<-third).check(t, ms+together.Patience+ms, nil)
		(<-fourth).check(t, 6*ms, nil)
		s.check(t, "0s[1] 3ms[2 3] 5ms[4]")
		time.Sleep(2 * time.Hour)
	})
}

// An item that does not fit goes out at once.
func TestDoesNotFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(always(ms))
		s.sends(t.Context(), 0, 1)
		second := s.sends(t.Context(), ms/4, 2)
		same := s.sends(t.Context(), ms/2, 2)
		(<-same).check(t, 3*ms/2, nil)
		(<-second).check(t, 2*ms, nil)
		s.check(t, "0s[1] 500µs[2] 1ms[2]")
	})
}

// A caller leaves at its own deadline. The call goes on for the others, to the latest
// deadline, and has no end if one of them has none.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(always(time.Hour))
		first := s.sends(until(t, time.Second), 0, 1)
		early := s.sends(until(t, 10*ms), ms, 2)
		late := s.sends(until(t, 2*time.Second), ms, 3)
		(<-early).check(t, 10*ms, context.DeadlineExceeded)
		(<-first).check(t, time.Second, context.DeadlineExceeded)
		(<-late).check(t, 2*time.Second, context.DeadlineExceeded)
	})
	synctest.Test(t, func(t *testing.T) {
		s := newServer(always(time.Minute))
		s.sends(until(t, time.Hour), 0, 1)
		early := s.sends(until(t, 10*ms), ms, 2)
		endless := s.sends(t.Context(), ms, 3)
		(<-early).check(t, 10*ms, context.DeadlineExceeded)
		(<-endless).check(t, ms+together.Patience+time.Minute, nil)
	})
}

// until returns a context that ends after d.
func until(t *testing.T, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

// A caller whose context is over before its call goes out does not hold the others up.
func TestNoTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		over, cancel := context.WithCancel(t.Context())
		cancel()
		s := newServer(always(ms))
		s.sends(t.Context(), 0, 1)
		(<-s.sends(over, ms/2, 2)).check(t, ms/2, context.Canceled)
		(<-s.sends(t.Context(), ms/2, 3)).check(t, 2*ms, nil)
	})
}

// A caller whose context has ended gets its result if there is one.
func TestResultAtTheDeadline(t *testing.T) {
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(1))
	const tries, preempted = 40, 4 // the caller may run before there is a result, rarely
	lost := 0
	for range tries {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			s := newServer(always(ms))
			call := s.Call
			s.Call = func(ctx context.Context, items []int) ([]int, error) {
				results, err := call(ctx, items)
				if items[0] == 2 {
					cancel()
				}
				return results, err
			}
			s.sends(t.Context(), 0, 1)
			if a := <-s.sends(ctx, ms/2, 2); a.err != nil {
				lost++
			}
		})
	}
	if lost > preempted {
		t.Errorf("%d of %d results were lost", lost, tries)
	}
}

// An error is that of all items, and a panic is an error unless the caller is alone. The
// next call is not harmed.
func TestFailures(t *testing.T) {
	failure := errors.New("failure")
	for name, test := range map[string]struct {
		fail func() ([]int, error)
		want string
	}{
		"error":        {func() ([]int, error) { return nil, failure }, "failure"},
		"panic":        {func() ([]int, error) { panic("broken") }, "panic: broken"},
		"wrong number": {func() ([]int, error) { return []int{1}, nil }, "1 results for 2 items"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer(always(ms))
				call := s.Call
				s.Call = func(ctx context.Context, items []int) ([]int, error) {
					if len(items) == 2 {
						return test.fail()
					}
					return call(ctx, items)
				}
				s.sends(t.Context(), 0, 1)
				second, third := s.sends(t.Context(), ms/2, 2), s.sends(t.Context(), ms/2, 3)
				for _, a := range []answer{<-second, <-third} {
					if a.err == nil || !strings.HasPrefix(a.err.Error(), test.want) {
						t.Errorf("item %d: %v, want %s", a.item, a.err, test.want)
					}
				}
				(<-s.sends(t.Context(), 2*ms, 4)).check(t, 3*ms, nil)
			})
		})
	}
}

func TestPanicAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newServer(func(items []int) time.Duration {
			if items[0] == 1 {
				panic("broken")
			}
			return ms
		})
		func() {
			defer func() {
				if p := recover(); p != "broken" {
					t.Errorf("panic %v", p)
				}
			}()
			s.Do(t.Context(), 1)
		}()
		(<-s.sends(t.Context(), 0, 2)).check(t, ms, nil)
	})
}

// Whatever the times, each item is in one call, has its own result, and waits for no
// longer than Patience.
func TestRandom(t *testing.T) {
	for seed := range uint64(200) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			sent := make(map[int]time.Duration)
			s := newServer(func(items []int) time.Duration { return time.Duration(items[0]*7919%6000) * time.Microsecond })
			call := s.Call
			s.Call = func(ctx context.Context, items []int) ([]int, error) {
				for _, item := range items {
					if waited := time.Since(s.began) - sent[item]; waited > together.Patience {
						t.Errorf("seed %d: item %d waited for %v", seed, item, waited)
					}
				}
				return call(ctx, items)
			}
			var answers []<-chan answer
			for item := range 60 {
				sent[item] = time.Duration(random.IntN(10000)) * time.Microsecond
			}
			for item := range 60 {
				answers = append(answers, s.sends(t.Context(), sent[item], item))
			}
			for _, c := range answers {
				if a := <-c; a.err != nil || a.result != 2*a.item {
					t.Errorf("seed %d: item %d: %d, %v", seed, a.item, a.result, a.err)
				}
			}
			all := slices.Sorted(slices.Values(slices.Concat(s.calls...)))
			if len(all) != 60 || len(slices.Compact(all)) != 60 {
				t.Errorf("seed %d: %v", seed, s.calls)
			}
			if len(s.calls) == 60 {
				t.Errorf("seed %d: no call was shared", seed)
			}
		})
	}
}
