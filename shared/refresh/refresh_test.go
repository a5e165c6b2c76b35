package refresh_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/shared/refresh"
)

// source is the source of a cache. Its fields change only between fetches.
type source struct {
	values []string
	err    error
	takes  time.Duration
	fetch  func(context.Context) ([]string, error) // replaces the fields above

	mu      sync.Mutex
	started time.Time
	fetches []time.Duration // start times, relative to started
}

func (s *source) Fetch(ctx context.Context) ([]string, error) {
	s.mu.Lock()
	s.fetches = append(s.fetches, time.Since(s.started))
	s.mu.Unlock()
	if s.fetch != nil {
		return s.fetch(ctx)
	}
	if s.takes > 0 {
		time.Sleep(s.takes)
	}
	return slices.Clone(s.values), s.err
}

func (s *source) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fetches)
}

const staleIfError = time.Hour

// run runs a test in a bubble, with a cache of a source that has the values "a" and
// "b".
func run(t *testing.T, test func(*testing.T, *source, *refresh.Cache[string])) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &source{values: []string{"a", "b"}, started: time.Now()}
		test(t, s, &refresh.Cache[string]{
			Name:         "values",
			Fetch:        s.Fetch,
			StaleIfError: staleIfError,
			Log:          slog.New(slog.DiscardHandler),
		})
	})
}

var errDown = errors.New("down")

// is returns a match function for one value.
func is(want string) func(string) bool {
	return func(value string) bool { return value == want }
}

// wantMatch, wantMiss and wantFault check the three results of Find.
func wantMatch(t *testing.T, c *refresh.Cache[string], value string) {
	t.Helper()
	if ok, err := c.Find(t.Context(), is(value)); !ok || err != nil {
		t.Errorf("Find %q: %v, %v; want a match", value, ok, err)
	}
}

func wantNone(t *testing.T, c *refresh.Cache[string], value string) {
	t.Helper()
	if ok, err := c.Find(t.Context(), is(value)); ok || err != nil {
		t.Errorf("Find %q: %v, %v; want a definite no", value, ok, err)
	}
}

func wantFault(t *testing.T, c *refresh.Cache[string], value string, want error) {
	t.Helper()
	ok, err := c.Find(t.Context(), is(value))
	if ok || !errors.Is(err, want) {
		t.Errorf("Find %q: %v, %v; want %v", value, ok, err, want)
	} else if !strings.HasPrefix(err.Error(), "values: ") {
		t.Errorf("%v does not name the values", err)
	}
}

func wantFetches(t *testing.T, s *source, want int) {
	t.Helper()
	if got := s.count(); got != want {
		t.Errorf("%d fetches, want %d", got, want)
	}
}

// logOf returns the log of c from now on.
func logOf(c *refresh.Cache[string]) *bytes.Buffer {
	var log bytes.Buffer
	c.Log = slog.New(slog.NewTextHandler(&log, nil))
	return &log
}

// wantLogged checks the number of lines in the log and that it contains all parts.
// Then it empties the log.
func wantLogged(t *testing.T, log *bytes.Buffer, lines int, parts ...string) {
	t.Helper()
	text := log.String()
	if strings.Count(text, "\n") != lines || slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) }) {
		t.Errorf("log: %s; want %d lines with %q", text, lines, parts)
	}
	log.Reset()
}

func TestTTLOfFiveMinutes(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		wantMatch(t, c, "a")
		wantFetches(t, s, 1)
		time.Sleep(5 * time.Minute)
		wantMatch(t, c, "b")
		wantFetches(t, s, 1)
		time.Sleep(time.Nanosecond)
		wantMatch(t, c, "a")
		wantFetches(t, s, 2)
		wantMatch(t, c, "a")
		wantFetches(t, s, 2)
	})
}

// A value that is withdrawn at its source is accepted for the TTL, and no longer.
func TestWithdrawnValue(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		wantMatch(t, c, "b")
		s.values = []string{"a"}
		time.Sleep(5 * time.Minute)
		wantMatch(t, c, "b")
		time.Sleep(time.Nanosecond)
		wantNone(t, c, "b")
		wantFetches(t, s, 2)
	})
}

func TestNegativeTTLOfAMinute(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		wantNone(t, c, "x")
		wantFetches(t, s, 1)
		time.Sleep(time.Minute)
		wantNone(t, c, "x")
		wantFetches(t, s, 1)
		time.Sleep(time.Nanosecond)
		wantNone(t, c, "x")
		wantFetches(t, s, 2)
	})
}

func TestRotationIsDetectedAtOnce(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		wantMatch(t, c, "a")
		s.values = []string{"new", "a", "b"}
		time.Sleep(time.Minute + 1)
		wantMatch(t, c, "new")
		wantMatch(t, c, "a")
		wantFetches(t, s, 2)
	})
}

// A storm of 200 forgeries a second causes one refresh a minute.
func TestStormOfMisses(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		for time.Since(s.started) < 10*time.Minute {
			wantNone(t, c, "x")
			time.Sleep(5 * time.Millisecond)
		}
		wantFetches(t, s, 10)
		for i := 1; i < len(s.fetches); i++ {
			if apart := s.fetches[i] - s.fetches[i-1]; apart <= time.Minute {
				t.Errorf("two refreshes %v apart", apart)
			}
		}
	})
}

// During an outage the back-off limits the refreshes of a storm, and no caller gets a
// definite miss.
func TestStormDuringAnOutage(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.err = errDown
		for time.Since(s.started) < 200*time.Second {
			wantFault(t, c, "x", errDown)
			time.Sleep(100 * time.Millisecond)
		}
		want := []time.Duration{0, 1, 3, 7, 15, 31, 63, 123, 183}
		for i := range want {
			want[i] *= time.Second
		}
		if !slices.Equal(s.fetches, want) {
			t.Errorf("fetches at %v, want %v", s.fetches, want)
		}
	})
}

func TestBackoffStartsAnewAfterASuccess(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.err = errDown
		for range 4 {
			wantFault(t, c, "a", errDown)
			time.Sleep(time.Minute)
		}
		s.err = nil
		wantMatch(t, c, "a")
		time.Sleep(5*time.Minute + 1)
		s.err = errDown
		n := s.count()
		wantMatch(t, c, "a")
		time.Sleep(time.Second - 1)
		wantMatch(t, c, "a")
		wantFetches(t, s, n+1)
		time.Sleep(time.Nanosecond)
		wantMatch(t, c, "a")
		wantFetches(t, s, n+2)
	})
}

func TestBackoffAfterAFailureIsOverWithASuccess(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.err = errDown
		wantFault(t, c, "a", errDown)
		s.err = nil
		wantFault(t, c, "a", errDown) // not due
		wantFetches(t, s, 1)
		time.Sleep(time.Second)
		wantMatch(t, c, "a")
		wantNone(t, c, "x")
		time.Sleep(time.Minute + 1)
		wantNone(t, c, "x")
		wantFetches(t, s, 3)
	})
}

func TestOneFlightForAll(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.takes = time.Second
		var all sync.WaitGroup
		for i := range 50 {
			all.Go(func() {
				if i%2 == 0 {
					wantMatch(t, c, "b")
				} else {
					wantNone(t, c, "x")
				}
				if waited := time.Since(s.started); waited != time.Second {
					t.Errorf("waited %v", waited)
				}
			})
		}
		all.Wait()
		wantFetches(t, s, 1)
	})
}

// Callers that arrived during a failing refresh share a second one.
func TestOneSecondFlightForAll(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.takes, s.err = time.Second, errDown
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() { wantFault(t, c, "a", errDown) })
			time.Sleep(10 * time.Millisecond)
		}
		all.Wait()
		wantFetches(t, s, 2)
		wantFault(t, c, "a", errDown) // the back-off is running
		wantFetches(t, s, 2)
	})
}

func TestWaiterWhoseContextEnds(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.takes = time.Second
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		ok, err := c.Find(ctx, is("a"))
		if ok || !errors.Is(err, context.DeadlineExceeded) || !strings.HasPrefix(err.Error(), "values: ") {
			t.Errorf("%v, %v; want its own deadline", ok, err)
		}
		if waited := time.Since(s.started); waited != 100*time.Millisecond {
			t.Errorf("waited %v", waited)
		}
		// The refresh continued without the waiter.
		time.Sleep(time.Second)
		wantMatch(t, c, "a")
		wantFetches(t, s, 1)
	})
}

// A waiter with an expired context gets stale values, within StaleIfError.
func TestWaiterWhoseContextEndsUsesStaleValues(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		wantMatch(t, c, "a")
		s.takes = time.Second
		time.Sleep(6 * time.Minute)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if ok, err := c.Find(ctx, is("a")); !ok || err != nil {
			t.Errorf("%v, %v; want a match", ok, err)
		}
		if ok, err := c.Find(ctx, is("x")); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v; want its own cancellation", ok, err)
		}
		time.Sleep(time.Second)
		wantFetches(t, s, 2)
	})
}

// A refresh is shared: if the request that started it is cancelled, the refresh
// continues until its own timeout of two seconds. It keeps the values of the
// request's context, for the log.
func TestRefreshIsDetachedFromItsRequest(t *testing.T) {
	type key struct{}
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		var deadline time.Duration
		s.fetch = func(ctx context.Context) ([]string, error) {
			at, _ := ctx.Deadline()
			deadline = time.Until(at)
			if ctx.Value(key{}) != "carried" {
				t.Error("the fetch's context lacks the request's values")
			}
			time.Sleep(time.Second)
			return []string{"a"}, ctx.Err()
		}
		ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "carried"))
		time.AfterFunc(time.Millisecond, cancel)
		if ok, err := c.Find(ctx, is("a")); ok || !errors.Is(err, context.Canceled) {
			t.Errorf("%v, %v; want its own cancellation", ok, err)
		}
		time.Sleep(time.Second)
		wantMatch(t, c, "a")
		wantFetches(t, s, 1)
		if deadline != 2*time.Second {
			t.Errorf("the refresh has %v", deadline)
		}
	})
}

func TestRefreshEndsAfterTwoSeconds(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.fetch = func(ctx context.Context) ([]string, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		}
		wantFault(t, c, "a", context.DeadlineExceeded)
		if waited := time.Since(s.started); waited != 2*time.Second {
			t.Errorf("waited %v", waited)
		}
	})
}

func TestStaleIfError(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		wantMatch(t, c, "a")
		s.err = errDown
		for range 59 {
			time.Sleep(time.Minute)
			wantMatch(t, c, "b")
		}
		wantFault(t, c, "x", errDown)
		time.Sleep(time.Minute)
		wantMatch(t, c, "a") // exactly an hour
		time.Sleep(time.Nanosecond)
		wantFault(t, c, "a", errDown)
		wantFault(t, c, "x", errDown)
		time.Sleep(time.Minute)
		s.err = nil
		wantMatch(t, c, "a")
	})
}

// During an outage there is never a definite miss.
func TestOutageIsNeverADefiniteMiss(t *testing.T) {
	for name, fetch := range map[string]func(context.Context) ([]string, error){
		"error":            func(context.Context) ([]string, error) { return nil, errDown },
		"values and error": func(context.Context) ([]string, error) { return []string{"a", "x"}, errDown },
		"hang": func(ctx context.Context) ([]string, error) {
			<-ctx.Done()
			return nil, errDown
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
				s.fetch = fetch
				wantFault(t, c, "x", errDown) // from the start
				time.Sleep(time.Minute)
				s.fetch = nil
				wantNone(t, c, "x")
				s.fetch = fetch
				time.Sleep(time.Minute + 1)
				for range 100 {
					wantFault(t, c, "x", errDown)
					time.Sleep(10 * time.Second)
				}
			})
		})
	}
}

// If the source has no values, the values in memory are dropped. A miss is then an
// error, because the sender is not at fault.
func TestNoneDropsTheValues(t *testing.T) {
	for name, fetch := range map[string]func(context.Context) ([]string, error){
		"ErrNone":    func(context.Context) ([]string, error) { return nil, refresh.ErrNone },
		"wrapped":    func(context.Context) ([]string, error) { return nil, errors.Join(errDown, refresh.ErrNone) },
		"empty list": func(context.Context) ([]string, error) { return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
				wantMatch(t, c, "a")
				s.fetch = fetch
				time.Sleep(5*time.Minute + 1)
				for range 20 {
					wantFault(t, c, "a", refresh.ErrNone)
					wantFault(t, c, "x", refresh.ErrNone)
					time.Sleep(time.Second)
				}
				if n := s.count(); n != 6 { // at 0, 1, 3, 7 and 15 s
					t.Errorf("%d fetches", n)
				}
				s.fetch = nil
				time.Sleep(time.Minute)
				wantMatch(t, c, "a")
				wantNone(t, c, "x")
			})
		})
	}
}

// The log line of a failure has a reason for alert filters. It distinguishes a source
// without values from a source that fails.
func TestReasonIsLogged(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		log := logOf(c)
		for _, test := range []struct {
			err  error
			want string
		}{
			{fmt.Errorf("the secret: %w", refresh.ErrNone), "none_in_force"},
			{errDown, "source_failed"},
		} {
			s.err = test.err
			wantFault(t, c, "a", test.err)
			wantLogged(t, log, 1, `msg="refresh failed" of=values reason=`+test.want+" error=")
			time.Sleep(time.Hour)
		}
	})
}

// Dropped values stay dropped if the source fails afterwards.
func TestNoneStaysDroppedThroughAnOutage(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		wantMatch(t, c, "a")
		time.Sleep(5*time.Minute + 1)
		s.err = refresh.ErrNone
		wantFault(t, c, "a", refresh.ErrNone)
		s.err = errDown
		time.Sleep(time.Second)
		wantFault(t, c, "a", errDown)
		wantFault(t, c, "x", errDown)
	})
}

// Values returned with ErrPartial are used like any others, and there is no back-off.
// But a miss is never definite.
func TestPartial(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		log := logOf(c)
		s.err = fmt.Errorf("%w: version 3 is not usable", refresh.ErrPartial)
		if err := c.Warm(t.Context()); err != nil {
			t.Errorf("Warm: %v", err)
		}
		for range 100 {
			wantMatch(t, c, "a")
			wantMatch(t, c, "b")
			wantFault(t, c, "x", refresh.ErrPartial)
		}
		if _, err := c.Find(t.Context(), is("x")); !strings.Contains(err.Error(), "version 3") {
			t.Errorf("%v does not name the missing value", err)
		}
		time.Sleep(time.Minute)
		wantFault(t, c, "x", refresh.ErrPartial)
		wantFetches(t, s, 1)
		wantLogged(t, log, 1, "level=ERROR", "refresh partial", "of=values", "version 3")
		time.Sleep(time.Nanosecond) // a miss refreshes again after a minute, as usual
		wantFault(t, c, "x", refresh.ErrPartial)
		wantFetches(t, s, 2)

		// During an outage afterwards, the values are still used, and a miss has the
		// outage's error.
		s.err = errDown
		time.Sleep(5*time.Minute + 1)
		wantMatch(t, c, "a")
		wantFault(t, c, "x", errDown)

		// After a complete refresh a miss is definite.
		s.err = nil
		time.Sleep(time.Minute)
		wantMatch(t, c, "a")
		wantNone(t, c, "x")
	})
}

// A new value is found even if other values are missing.
func TestPartialRotation(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.err = refresh.ErrPartial
		wantMatch(t, c, "a")
		s.values = []string{"new", "a"}
		time.Sleep(time.Minute + 1)
		wantMatch(t, c, "new")
		wantFault(t, c, "b", refresh.ErrPartial)
		wantFetches(t, s, 2)
	})
}

// ErrPartial without values is a failure: the values in memory are still used.
func TestPartialWithoutValues(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		wantMatch(t, c, "a")
		s.values, s.err = nil, refresh.ErrPartial
		time.Sleep(5*time.Minute + 1)
		wantMatch(t, c, "a")
		wantFault(t, c, "x", refresh.ErrPartial)
		wantFetches(t, s, 2)
	})
}

func TestPanicInFetch(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.fetch = func(context.Context) ([]string, error) { panic("oh") }
		ok, err := c.Find(t.Context(), is("a"))
		if ok || err == nil || !strings.Contains(err.Error(), "oh") {
			t.Errorf("%v, %v; want the panic", ok, err)
		}
		time.Sleep(time.Second)
		s.fetch = nil
		wantMatch(t, c, "a")
		s.fetch = func(context.Context) ([]string, error) { panic(errDown) }
		time.Sleep(6 * time.Minute)
		wantMatch(t, c, "a")
	})
}

// The value that matched last is tried first, to save time if there are many.
func TestLastMatchedFirst(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.values = []string{"a", "b", "c"}
		tried := func(want string) string {
			var order []string
			if ok, err := c.Find(t.Context(), func(value string) bool {
				order = append(order, value)
				return value == want
			}); err != nil || ok != slices.Contains(s.values, want) {
				t.Errorf("Find %q: %v, %v", want, ok, err)
			}
			return strings.Join(order, "")
		}
		for _, step := range []struct{ find, want string }{
			{"a", "a"}, {"b", "ab"}, {"b", "b"}, {"x", "bca"}, {"b", "b"}, {"a", "bca"}, {"c", "abc"}, {"c", "c"}, {"b", "cab"},
		} {
			if got := tried(step.find); got != step.want {
				t.Errorf("Find %q tried %s, want %s", step.find, got, step.want)
			}
		}
		time.Sleep(5*time.Minute + 1)
		if got := tried("b"); got != "ab" {
			t.Errorf("after a refresh: %s, want the newest first", got)
		}
	})
}

// A miss within the negative TTL calls match only once for each value.
func TestMissCallsMatchOnce(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		calls := 0
		match := func(string) bool { calls++; return false }
		for range 2 { // first fetched just now, then within the negative TTL
			calls = 0
			if ok, err := c.Find(t.Context(), match); ok || err != nil || calls != 2 {
				t.Errorf("%v, %v, %d calls for two values", ok, err, calls)
			}
		}
	})
}

func TestWarm(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		s.err = errDown
		if err := c.Warm(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("Warm: %v", err)
		}
		s.err = nil
		time.Sleep(time.Second)
		for range 2 {
			if err := c.Warm(t.Context()); err != nil {
				t.Errorf("Warm: %v", err)
			}
		}
		wantMatch(t, c, "a")
		wantFetches(t, s, 2)
	})
}

// Each failed refresh logs one line, for any number of waiters. Nothing else is
// logged.
func TestLog(t *testing.T) {
	run(t, func(t *testing.T, s *source, c *refresh.Cache[string]) {
		log := logOf(c)
		s.takes, s.err = time.Second, errDown
		var all sync.WaitGroup
		for range 10 {
			all.Go(func() { wantFault(t, c, "a", errDown) })
		}
		all.Wait()
		wantFault(t, c, "a", errDown) // not due
		wantFetches(t, s, 2)
		wantLogged(t, log, 2, "level=ERROR", "of=values", "error=down")
		s.err = nil
		time.Sleep(time.Minute)
		wantMatch(t, c, "a")
		wantNone(t, c, "x")
		wantLogged(t, log, 0)
	})
}

// Many callers use a source that is slow, fails, drops or freezes at random. A value
// that is always current never gets a definite miss, a value that never existed never
// matches, and there is at most one fetch at a time.
func TestManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(3, 4))
		underWay := 0
		c := &refresh.Cache[string]{Name: "values", StaleIfError: staleIfError, Log: slog.New(slog.DiscardHandler)}
		c.Fetch = func(ctx context.Context) ([]string, error) {
			if underWay++; underWay != 1 {
				t.Errorf("%d fetches at once", underWay)
			}
			defer func() { underWay-- }()
			time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
			switch random.IntN(6) {
			case 0:
				return nil, errDown
			case 1:
				return nil, refresh.ErrNone
			case 2:
				return nil, nil
			case 3:
				panic("oh")
			}
			return []string{"a"}, ctx.Err()
		}
		var all sync.WaitGroup
		var mu sync.Mutex
		var matches, nos, faults int
		for g := range 20 {
			all.Go(func() {
				random := rand.New(rand.NewPCG(5, uint64(g)))
				for range 500 {
					ctx, cancel := context.WithTimeout(t.Context(), time.Duration(random.IntN(4000))*time.Millisecond)
					inForce, err := c.Find(ctx, is("a"))
					never, errNever := c.Find(ctx, is("x"))
					cancel()
					if !inForce && err == nil {
						t.Error("a definite miss for a current value")
					}
					if never {
						t.Error("a match for a value that never existed")
					}
					mu.Lock()
					if inForce {
						matches++
					}
					if errNever == nil {
						nos++
					}
					if err != nil {
						faults++
					}
					mu.Unlock()
					time.Sleep(time.Duration(random.IntN(60)) * time.Second)
				}
			})
		}
		all.Wait()
		if matches < 1000 || nos < 1000 || faults < 100 {
			t.Errorf("%d matches, %d misses, %d errors: one kind of result never occurred", matches, nos, faults)
		}
		time.Sleep(5 * time.Second) // until the last refresh has ended
	})
}

// The same with the real clock, for the race detector.
func TestConcurrentFind(t *testing.T) {
	var mu sync.Mutex
	n := 0
	c := &refresh.Cache[string]{Name: "values", StaleIfError: staleIfError, Log: slog.New(slog.DiscardHandler)}
	c.Fetch = func(context.Context) ([]string, error) {
		mu.Lock()
		defer mu.Unlock()
		n++
		return []string{"a", "b", "c"}, nil
	}
	var all sync.WaitGroup
	for _, value := range []string{"a", "b", "c", "x"} {
		for range 4 {
			all.Go(func() {
				for range 200 {
					if ok, err := c.Find(t.Context(), is(value)); err != nil || ok != (value != "x") {
						t.Errorf("Find %q: %v, %v", value, ok, err)
					}
				}
			})
		}
	}
	all.Wait()
	if n != 1 {
		t.Errorf("%d fetches", n)
	}
}
