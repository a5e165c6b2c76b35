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

// The platform freezes an idle instance. To the code a freeze is wall time that
// passes within one step: here, a Fetch that returns long after its deadline.

// frozenFor freezes the fetches whose numbers are given, each for d, and has them
// end as end says. The others are answered at once.
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

// wantFetchesAt checks when fetches began, in seconds since the start.
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

// find calls Find for "a" as a delivery does, with time of its own.
func find(t *testing.T, c *refresh.Cache[string]) (bool, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
	defer cancel()
	return c.Find(ctx, is("a"))
}

// A warm-up is frozen while it fetches. The first delivery after the thaw comes
// before the fetch has ended, and must get values all the same.
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

// A delivery that comes when the frozen fetch has ended meets no back-off.
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

// A freeze neither lengthens nor resets the back-off of the failures around it.
func TestFreezeBetweenFailures(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.err = errDown
		s.frozenFor(30*time.Second, deadline, 3)
		for time.Since(s.started) < 50*time.Second {
			find(t, c)
			time.Sleep(100 * time.Millisecond)
		}
		// After the thaw the back-off of the failure before it starts again: 2 s.
		wantFetchesAt(t, s, 0, 1, 3, 33, 35, 39, 47)
	})
}

// However many wait for a frozen refresh, one more is made for all of them.
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

// Two freezes in a row cost a caller that came after the first nothing but time.
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

// A caller has time of its own, and does not begin a refresh after it.
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

// Values are as old as the refresh that brought them, however late it ended.
func TestValuesThatWereFrozen(t *testing.T) {
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

// A refresh that was under way before a caller came may fail for a reason that is
// gone. A plain failure like that gives the caller one of its own.
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

// The values that the failure dropped are looked for, too.
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

// A storm during an outage in which each refresh takes a while begins two refreshes
// for each back-off, and no more.
func TestStormDuringASlowOutage(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.takes, s.err = time.Second, errDown
		var all sync.WaitGroup
		for time.Since(s.started) < 60*time.Second {
			all.Go(func() {
				if ok, err := find(t, c); ok || err == nil {
					t.Errorf("%v, %v; want a fault", ok, err)
				}
			})
			time.Sleep(50 * time.Millisecond)
		}
		all.Wait()
		wantFetchesAt(t, s, 0, 1, 3, 4, 7, 8, 13, 14, 23, 24, 41, 42)
	})
}

// A freeze is no failure of the source, for which an alert watches the log.
func TestLogOfAFreeze(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		log := logOf(c)
		s.frozenFor(30*time.Second, deadline, 1)
		c.Warm(t.Context())
		wantMatch(t, c, "a")
		wantLogged(t, log, 1, `level=WARN msg="refresh interrupted" of=values`, "frozen for part of 30s")
	})
}
