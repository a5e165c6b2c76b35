// Package refresh caches values that change at their source: keys and secrets. It has
// no background work, because an idle instance has no CPU. The request that needs a
// value refreshes it:
//
//   - Values younger than [TTL] are used without revalidation.
//   - Older values are revalidated on use. If that fails, they are used until they
//     are older than [Cache.StaleIfError].
//   - If no value matches and the values are more than a minute old, Find refreshes
//     them and tries again. So a new value is found after at most a minute, and a storm
//     of misses causes one refresh a minute.
//   - Concurrent callers share one refresh of at most two seconds. After a failure
//     there is a back-off of one second, doubling to one minute.
//   - Find waits for at most two refreshes, or until ctx ends. Refreshes during which
//     the process was frozen do not count.
//
// A refresh counts as frozen if it took more than three seconds, one more than its
// timeout: the platform stopped the process in between, as it does with an idle
// instance. The failure of a frozen refresh starts no back-off.
package refresh

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// TTL is the time for which cached values are used without revalidation. A value that
// is withdrawn at its source is accepted for up to this time if the source is
// available.
const TTL = 5 * time.Minute

const (
	// negativeTTL is the time after a refresh for which a miss is definite: a value
	// that does not match is not current. It limits a storm of forgeries to one
	// refresh in this time.
	negativeTTL = time.Minute

	// fetchTimeout is the timeout of one refresh. A delivery may be waiting for it.
	fetchTimeout = 2 * time.Second

	// frozenAfter is the maximum duration of a refresh in a process that gets CPU
	// time. The platform freezes an idle instance: it gets no CPU while wall time
	// passes. If a refresh took longer, its deadline passed during a freeze, and the
	// source is probably not at fault. The second beyond fetchTimeout is for a busy instance,
	// which notices the deadline late.
	frozenAfter = fetchTimeout + time.Second

	// The back-off after a failed refresh starts at minBackoff and doubles up to
	// maxBackoff.
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// ErrNone is the error of a Fetch if the source has no values. It makes the cache
// drop the values in memory. A Fetch that returns no values and no error is treated in
// the same way.
var ErrNone = errors.New("no current values")

// ErrPartial is wrapped by the error of a Fetch that also returns values: the values
// are current, but the source has more, which Fetch could not use or left out because
// of a limit of its own. The error names the cause. Without values it is a failure like
// any other error.
var ErrPartial = errors.New("incomplete values")

// A Cache holds the values that Fetch returns. Set its exported fields before first
// use and do not change them afterwards. It is safe for concurrent use.
type Cache[T any] struct {
	// Name names the values in errors and in the log, for example "signing secret".
	Name string

	// Fetch returns all current values from the source, newest first. The cache makes
	// one call at a time, with a timeout of two seconds and independent of any
	// request's cancellation. Fetch is required. If it returns an error, the cache
	//   - stores the returned values and logs the error, if the error wraps ErrPartial
	//     and there are values;
	//   - drops the values in memory, if the error wraps ErrNone;
	//   - otherwise keeps the values in memory and ignores the returned ones.
	Fetch func(context.Context) ([]T, error)

	// StaleIfError is the time for which values are used while every attempt to
	// revalidate them fails, counted from the refresh that fetched them. If it is at
	// most TTL, or zero, values are used for TTL.
	StaleIfError time.Duration

	// Source is closed by Close. It may be nil.
	Source io.Closer

	// Log receives one record for each refresh that failed, frozen or not, or that was
	// partial. It is required.
	Log *slog.Logger

	current atomic.Pointer[snapshot[T]] // nil until the first success

	mu       sync.Mutex // guards the fields below
	flight   *flight    // the current refresh; nil if no refresh is running
	last     *flight    // the last refresh that ended; nil before the first
	failures int        // since the last success
	err      error      // of the last failure
	retryAt  time.Time  // end of the back-off
}

// snapshot holds the result of one refresh.
type snapshot[T any] struct {
	values  []T
	partial error        // wraps ErrPartial; nil if values are complete
	fetched time.Time    // start of the refresh: the values may be that old
	matched atomic.Int32 // index of the value that matched last, which is tried first
}

// flight is one refresh, shared by all callers that wait for it.
type flight struct {
	second bool // started for callers after the previous refresh had failed
	done   chan struct{}

	// The following fields are set before done is closed.
	err    error
	frozen bool // the process was frozen during the refresh
}

// Find reports whether match returns true for one of the values. It uses values that
// are within the TTL, or revalidated, or within StaleIfError while revalidation
// fails.
//
// A false without an error is definite: no value matches, and the values were fetched
// within the last minute. If the values are older, Find first refreshes them. It
// returns an error if that refresh fails, because the source may have a value that
// matches. After a partial refresh a miss is never definite: Find returns an error
// that wraps ErrPartial. Find calls match several times for a value if it refreshes
// the values.
func (c *Cache[T]) Find(ctx context.Context, match func(T) bool) (bool, error) {
	seen, _ := c.load(ctx, TTL)
	if seen.find(match) {
		return true, nil
	}
	now, err := c.load(ctx, negativeTTL)
	if now != seen && now.find(match) {
		return true, nil
	}
	switch {
	case err == nil && now == nil: // dropped since it was fetched
		err = fmt.Errorf("%s: %w", c.Name, ErrNone)
	case err == nil:
		err = now.partial
	}
	return false, err
}

// Warm fetches the values, unless those in memory are within the TTL, so that the
// first request does not wait for them.
func (c *Cache[T]) Warm(ctx context.Context) error {
	_, err := c.load(ctx, TTL)
	return err
}

// Close closes Source. No method may be called after Close.
func (c *Cache[T]) Close() error {
	if c.Source == nil {
		return nil
	}
	return c.Source.Close()
}

// load returns the values, after a refresh if they are older than maxAge. If the
// refresh fails, load returns its error, and the values if they are within
// StaleIfError, else nil.
func (c *Cache[T]) load(ctx context.Context, maxAge time.Duration) (*snapshot[T], error) {
	seen := c.current.Load()
	if seen.age() <= maxAge {
		return seen, nil
	}
	err := c.refresh(ctx, seen)
	now := c.current.Load()
	if err == nil && now.age() > maxAge { // the refresh succeeded, but was frozen before it ended
		err = c.refresh(ctx, now)
		now = c.current.Load()
	}
	if err != nil && now.age() > c.StaleIfError {
		now = nil
	}
	return now, err
}

// refresh replaces the snapshot seen, or waits until another caller has replaced it.
//
// A failed refresh counts for a caller only if it began after the call and was not
// frozen. Otherwise the caller waits for a second refresh, shared with all callers in
// the same position. A caller that joined a second refresh accepts its failure. So a
// storm of callers starts at most two refreshes for each back-off.
func (c *Cache[T]) refresh(ctx context.Context, seen *snapshot[T]) error {
	f, joined, err := c.join(ctx, seen)
	if f == nil {
		return err
	}
	err = c.wait(ctx, f)
	if err == nil || ctx.Err() != nil || !f.frozen && (f.second || !joined) {
		return err
	}
	if f, err = c.follow(ctx, f); f == nil {
		return err
	}
	return c.wait(ctx, f)
}

// wait waits until f ends, and returns its error. It fails early if ctx ends.
func (c *Cache[T]) wait(ctx context.Context, f *flight) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", c.Name, ctx.Err())
	}
}

// join returns the current refresh, and whether it was already running. If no refresh
// is running, join starts one, except if a refresh has just ended or the back-off has
// not: then it returns no flight, and the error of the last refresh.
func (c *Cache[T]) join(ctx context.Context, seen *snapshot[T]) (f *flight, joined bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.flight != nil:
		return c.flight, true, nil
	case c.current.Load() != seen: // refreshed or dropped since the caller loaded it
		return nil, false, c.err
	case time.Now().Before(c.retryAt):
		return nil, false, c.err
	}
	return c.begin(ctx, false), false, nil
}

// follow returns the refresh after one that failed. It starts that refresh if
// necessary, regardless of the back-off. If that refresh has ended too, follow
// returns no flight, and its error.
func (c *Cache[T]) follow(ctx context.Context, failed *flight) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.flight != nil:
		return c.flight, nil
	case c.last != failed:
		return nil, c.err
	}
	return c.begin(ctx, true), nil
}

// begin starts a refresh. c.mu must be held, and c.flight must be nil.
func (c *Cache[T]) begin(ctx context.Context, second bool) *flight {
	c.flight = &flight{second: second, done: make(chan struct{})}
	go c.run(context.WithoutCancel(ctx), c.flight)
	return c.flight
}

// run does one refresh and wakes the callers that wait for it.
func (c *Cache[T]) run(ctx context.Context, f *flight) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	values, partial, err := c.fetch(ctx)
	took := time.Since(began)
	f.frozen = took > frozenAfter
	switch {
	case err != nil && f.frozen: // the source did not fail: a warning, which raises no alert
		err = fmt.Errorf("%w: frozen for part of %v", err, took.Round(time.Millisecond))
		c.Log.WarnContext(ctx, "refresh interrupted", "of", c.Name, "error", err)
	case err != nil:
		c.Log.ErrorContext(ctx, "refresh failed", "of", c.Name, "reason", reason(err), "error", err)
	case partial != nil:
		c.Log.ErrorContext(ctx, "refresh partial", "of", c.Name, "error", partial)
		partial = fmt.Errorf("%s: %w", c.Name, partial)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight, c.last = nil, f
	if err != nil {
		c.failed(f, fmt.Errorf("%s: %w", c.Name, err))
	} else {
		c.current.Store(&snapshot[T]{values: values, partial: partial, fetched: began})
		c.failures, c.err, c.retryAt = 0, nil, time.Time{}
	}
	f.err = c.err
	close(f.done)
}

// reason is the value of the log field reason for a failed refresh.
func reason(err error) string {
	if errors.Is(err, ErrNone) {
		return "none_in_force"
	}
	return "source_failed"
}

// fetch calls Fetch. It recovers from a panic, which would end the process because
// this is not a request's goroutine. partial is an error that wraps ErrPartial; it
// does not count as a failure.
func (c *Cache[T]) fetch(ctx context.Context) (values []T, partial, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	values, err = c.Fetch(ctx)
	switch {
	case err == nil && len(values) == 0:
		err = ErrNone
	case errors.Is(err, ErrPartial) && len(values) > 0:
		partial, err = err, nil
	}
	return values, partial, err
}

// failed records a failure and starts the back-off. A frozen refresh starts no
// back-off. A second refresh does not double the back-off: it restarts that of the
// failure before it.
func (c *Cache[T]) failed(f *flight, err error) {
	if errors.Is(err, ErrNone) {
		c.current.Store(nil)
	}
	c.err = err
	if f.frozen {
		c.retryAt = time.Time{}
		return
	}
	if !f.second || c.failures == 0 {
		c.failures++
	}
	c.retryAt = time.Now().Add(min(minBackoff<<min(c.failures-1, 6), maxBackoff))
}

// age returns the time since the snapshot was fetched. For a nil snapshot it is
// longer than any limit.
func (s *snapshot[T]) age() time.Duration {
	if s == nil {
		return 1<<63 - 1
	}
	return time.Since(s.fetched)
}

// find reports whether match returns true for one of the values. It starts with the
// value that matched last. A nil snapshot has no values.
func (s *snapshot[T]) find(match func(T) bool) bool {
	if s == nil {
		return false
	}
	first := int(s.matched.Load())
	for i := range s.values {
		i = (first + i) % len(s.values)
		if match(s.values[i]) {
			s.matched.Store(int32(i))
			return true
		}
	}
	return false
}
