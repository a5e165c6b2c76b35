package refresh_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/refresh"
)

// The platform freezes an idle instance. The code sees a freeze as wall time that
// passes within one step. In these tests that step is a Fetch that returns long after
// its deadline.

// frozenFor freezes the fetches with the given numbers, each for d, and makes them
// return the result of end. The other fetches return at once.
func (s *source) frozenFor(d time.Duration, end func(context.Context) ([]string, error), numbers ...int) {
	s.fetch = func(ctx context.Context) ([]string, error) {
		if !slices.Contains(numbers, s.count()) {
			return slices.Clone(s.values), s.err
		}
		time.Sleep(d)
		return end(ctx)
	}
}

func deadline(ctx context.Context) ([]string, error) { return nil, ctx.Err() }

// wantFetchesAt checks the start times of the fetches, in seconds since the start.
func wantFetchesAt(t *testing.T, s *source, seconds ...time.Duration) {
	t.Helper()
	for i := range seconds {
		seconds[i] *= time.Second
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.fetches, seconds) {
		t.Errorf("fetches at %v, want %v", s.fetches, seconds)
	}
}

// find calls Find for "a" with a timeout, as a delivery does.
func find(t *testing.T, c *refresh.Cache[string]) (bool, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	return c.Find(ctx, is("a"))
}

// A warm-up is frozen during its fetch. The first delivery after the freeze arrives
// before the fetch has ended, and gets values.
func TestFirstDeliveryAfterAThaw(t *testing.T) {
	for name, end := range map[string]func(context.Context) ([]string, error){
		"its deadline":     deadline,
		"an error":         func(context.Context) ([]string, error) { return nil, errDown },
		"a panic":          func(context.Context) ([]string, error) { panic("oh") },
		"none":             func(context.Context) ([]string, error) { return nil, refresh.ErrNone },
		"values and error": func(context.Context) ([]string, error) { return []string{"x"}, errDown },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
				s.frozenFor(30*time.Second, end, 1)
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				go c.Warm(ctx)
				time.Sleep(30*time.Second - time.Millisecond)
				if ok, err := find(t, c); !ok || err != nil {
					t.Errorf("%v, %v; want a match", ok, err)
				}
				wantFetchesAt(t, s, 0, 30)
			})
		})
	}
}

// A delivery that arrives after the frozen fetch has ended meets no back-off.
func TestNoBackoffAfterAThaw(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.frozenFor(30*time.Second, deadline, 1)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		c.Warm(ctx)
		time.Sleep(29 * time.Second)
		wantMatch(t, c, "a")
		wantFetchesAt(t, s, 0, 30)
	})
}

// A freeze neither lengthens nor resets the back-off of the failures before it.
func TestFreezeBetweenFailures(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.err = errDown
		s.frozenFor(30*time.Second, deadline, 3)
		for time.Since(s.started) < 50*time.Second {
			find(t, c)
			time.Sleep(100 * time.Millisecond)
		}
		// After the freeze the back-off of the failure before it starts again: 2 s.
		wantFetchesAt(t, s, 0, 1, 3, 33, 35, 39, 47)
	})
}

// After a frozen refresh there is one more refresh for all callers that waited for
// it.
func TestStormAtAThaw(t *testing.T) {
	for _, after := range []error{nil, errDown} {
		run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
			s.err = after
			s.frozenFor(30*time.Second, deadline, 1)
			go c.Warm(t.Context())
			time.Sleep(29 * time.Second)
			var all sync.WaitGroup
			for range 200 {
				all.Go(func() {
					if ok, err := find(t, c); ok != (after == nil) || !errors.Is(err, after) {
						t.Errorf("%v, %v; want %v", ok, err, after)
					}
				})
			}
			all.Wait()
			wantFetchesAt(t, s, 0, 30)
		})
	}
}

// Two freezes in a row delay a caller that arrived after the first, but cause no
// error.
func TestFrozenTwice(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.frozenFor(30*time.Second, deadline, 1, 2)
		go c.Warm(t.Context())
		time.Sleep(30*time.Second - time.Millisecond)
		go find(t, c)
		time.Sleep(30 * time.Second)
		if ok, err := find(t, c); !ok || err != nil {
			t.Errorf("%v, %v; want a match", ok, err)
		}
		wantFetchesAt(t, s, 0, 30, 60)
	})
}

// A caller does not start a second refresh after its own deadline.
func TestNoSecondRefreshWithoutTime(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.takes, s.err = time.Second, errDown
		go c.Warm(t.Context())
		time.Sleep(time.Millisecond)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second-2*time.Millisecond)
		defer cancel()
		if ok, err := c.Find(ctx, is("a")); ok || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, %v; want its own deadline", ok, err)
		}
		time.Sleep(10 * time.Second)
		wantFetchesAt(t, s, 0)
	})
}

// The age of values is counted from the start of the refresh, even if it was frozen.
func TestAgeOfFrozenValues(t *testing.T) {
	for _, tt := range []struct {
		frozen  time.Duration
		fetches int
	}{{30 * time.Second, 1}, {6 * time.Minute, 2}} {
		run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
			s.frozenFor(tt.frozen, func(context.Context) ([]string, error) { return []string{"withdrawn", "a"}, nil }, 1)
			go c.Warm(t.Context())
			time.Sleep(tt.frozen - time.Millisecond)
			if ok, err := find(t, c); !ok || err != nil {
				t.Errorf("%v, %v; want a match", ok, err)
			}
			wantFetches(t, s, tt.fetches)
			if tt.fetches == 2 {
				wantNone(t, c, "withdrawn")
			}
		})
	}
}

// A refresh that began before a call may have failed for a cause that has passed. The
// caller gets a refresh of its own.
func TestRefreshOfItsOwn(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.frozenFor(time.Second, func(context.Context) ([]string, error) { return nil, errDown }, 1)
		go c.Warm(t.Context())
		time.Sleep(time.Second - time.Millisecond)
		if ok, err := find(t, c); !ok || err != nil {
			t.Errorf("%v, %v; want a match", ok, err)
		}
		wantFetchesAt(t, s, 0, 1)
	})
}

// The caller's own refresh also finds the values that the failed refresh dropped.
func TestRefreshOfItsOwnAfterNone(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		wantMatch(t, c, "a")
		time.Sleep(6 * time.Minute)
		s.frozenFor(time.Second, func(context.Context) ([]string, error) { return nil, refresh.ErrNone }, 2)
		go c.Warm(t.Context())
		time.Sleep(time.Millisecond)
		if ok, err := find(t, c); !ok || err != nil {
			t.Errorf("%v, %v; want a match", ok, err)
		}
		wantFetches(t, s, 3)
	})
}

// During an outage with slow failures, a storm starts at most two refreshes for each
// back-off.
func TestStormDuringASlowOutage(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.takes, s.err = time.Second, errDown
		var all sync.WaitGroup
		for time.Since(s.started) < 60*time.Second {
			all.Go(func() {
				if ok, err := find(t, c); ok || err == nil {
					t.Errorf("%v, %v; want an error", ok, err)
				}
			})
			time.Sleep(50 * time.Millisecond)
		}
		all.Wait()
		wantFetchesAt(t, s, 0, 1, 3, 4, 7, 8, 13, 14, 23, 24, 41, 42)
	})
}

// A freeze is logged as a warning, because the source did not fail and there is an
// alert for errors.
func TestLogOfAFreeze(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		log := logOf(c)
		s.frozenFor(30*time.Second, deadline, 1)
		c.Warm(t.Context())
		wantMatch(t, c, "a")
		wantLogged(t, log, 1, `level=WARN msg="refresh interrupted" of=values`, "frozen for part of 30s")
	})
}
