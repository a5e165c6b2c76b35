// Package refresh keeps values in memory that change at their source: keys and
// secrets. It has no background, because an idle instance has no CPU: values are
// refreshed by the request that needs them.
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

// TTL is how long values are used without revalidation at their source. So a value
// that was withdrawn at its source is accepted for as long, while the source answers.
const TTL = 5 * time.Minute

const (
	// negativeTTL is how long after a refresh a miss is definite: no match then means
	// that the value is not in force. A storm of forgeries costs one refresh in that
	// time.
	negativeTTL = time.Minute

	// fetchTimeout bounds one refresh, for which a delivery may be waiting.
	fetchTimeout = 2 * time.Second

	// frozenAfter is how long a refresh can last while the process gets CPU time. The
	// platform freezes an idle instance, and wall time passes meanwhile: a refresh
	// that took longer has its deadline to blame, and says nothing about the source. The
	// second beyond the timeout is for a busy instance, which notices it late.
	frozenAfter = fetchTimeout + time.Second

	// After a failure the next refresh is due in minBackoff, doubling to maxBackoff.
	minBackoff = time.Second
	maxBackoff = time.Minute
)

// ErrNone is what a Fetch returns where the source itself says that there are no
// values: those in memory are dropped rather than used on.
var ErrNone = errors.New("none in force")

// ErrPartial is wrapped by the error of a Fetch that returns values beside it: these are
// in force, but the source has more, which Fetch could not use or left out because of a
// bound of ours. The error says which.
var ErrPartial = errors.New("not all of those in force")

// A Cache keeps the values that Fetch returns. Fill in its exported fields before
// the first use and leave them alone from then on. It is safe for concurrent use.
type Cache[T any] struct {
	// Name says what the values are, in errors and in the log: "signing secret".
	Name string

	// Fetch asks the source for all values in force, newest first. It is called by
	// one goroutine at a time, with two seconds, and not cancelled by any request.
	// Values beside an error are dropped, unless that wraps ErrPartial: then they are
	// stored as after a success, and the error is logged.
	Fetch func(context.Context) ([]T, error)

	// StaleIfError is how long values are used, counted from the refresh that fetched
	// them, while every attempt to revalidate them fails. At most TTL, zero included,
	// means that they are used for TTL only.
	StaleIfError time.Duration

	// Source is what Close closes; nil if Fetch needs nothing of the kind.
	Source io.Closer

	Log *slog.Logger

	current atomic.Pointer[snapshot[T]] // nil until the first success

	mu       sync.Mutex // guards the rest
	flight   *flight    // the refresh under way, nil if none
	last     *flight    // the refresh that ended last, nil if none has
	failures int        // since the last success
	err      error      // of the last failure
	retryAt  time.Time  // no refresh before
}

// snapshot is what one refresh brought.
type snapshot[T any] struct {
	values  []T
	partial error        // wraps ErrPartial; nil if values are all there are
	fetched time.Time    // when the refresh began: values may be as old as that
	matched atomic.Int32 // the value that matched last is tried first
}

// flight is a refresh under way, shared by all who wait for it.
type flight struct {
	second bool // begun for callers that the refresh before it had failed
	done   chan struct{}

	// Set before done is closed.
	err    error
	frozen bool // the process was, while it lasted
}

// Find reports whether match holds for one of the values. A match among values in
// memory is a match if they are within the TTL, or revalidated, or within StaleIfError
// while that fails. No match is definite only within the negative TTL, one minute after
// a successful refresh; otherwise Find refreshes first, and returns an error if that
// fails: the fault is then ours, not the sender's. After a refresh that was partial, no
// match is never definite: Find returns an error that wraps ErrPartial.
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

// Warm fetches the values, unless those in memory are within the TTL, so that the first
// request finds them in memory.
func (c *Cache[T]) Warm(ctx context.Context) error {
	_, err := c.load(ctx, TTL)
	return err
}

// Close closes the source. No method may be called after it.
func (c *Cache[T]) Close() error {
	if c.Source == nil {
		return nil
	}
	return c.Source.Close()
}

// load returns the values, refreshed if they are older than maxAge. If that fails it
// returns the error beside the values that are within StaleIfError, nil if none are.
func (c *Cache[T]) load(ctx context.Context, maxAge time.Duration) (*snapshot[T], error) {
	seen := c.current.Load()
	if seen.age() <= maxAge {
		return seen, nil
	}
	err := c.refresh(ctx, seen)
	now := c.current.Load()
	if err == nil && now.age() > maxAge { // it brought them, and was frozen before it ended
		err = c.refresh(ctx, now)
		now = c.current.Load()
	}
	if err != nil && now.age() > c.StaleIfError {
		now = nil
	}
	return now, err
}

// refresh replaces the snapshot seen, or waits until another caller has.
//
// A failure counts for a caller only if the refresh began after the caller came and
// was not frozen. Otherwise the caller waits for one refresh more, which it shares
// with all others in its place. One that joined a second refresh is content with
// its failure: a storm of callers begins at most two refreshes for each back-off.
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

func (c *Cache[T]) wait(ctx context.Context, f *flight) error {
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", c.Name, ctx.Err())
	}
}

// join returns the refresh under way, and whether it was before; if none is, join
// begins one. It returns none if there is nothing to wait for, because one has just
// ended.
func (c *Cache[T]) join(ctx context.Context, seen *snapshot[T]) (f *flight, joined bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.flight != nil:
		return c.flight, true, nil
	case c.current.Load() != seen: // refreshed, or dropped, in between
		return nil, false, c.err
	case time.Now().Before(c.retryAt):
		return nil, false, c.err
	}
	return c.begin(ctx, false), false, nil
}

// follow returns the refresh after one that failed, and begins it if need be,
// whatever the back-off. It returns none, and its error, if that has ended too.
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

// begin begins a refresh. c.mu is held, and none is under way.
func (c *Cache[T]) begin(ctx context.Context, second bool) *flight {
	c.flight = &flight{second: second, done: make(chan struct{})}
	go c.run(context.WithoutCancel(ctx), c.flight)
	return c.flight
}

// run does one refresh and releases the callers that wait for it.
func (c *Cache[T]) run(ctx context.Context, f *flight) {
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	values, partial, err := c.fetch(ctx)
	took := time.Since(began)
	f.frozen = took > frozenAfter
	switch {
	case err != nil && f.frozen: // no fault of the source, and none to be alerted to
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

// reason is the machine's word for a failure of a refresh.
func reason(err error) string {
	if errors.Is(err, ErrNone) {
		return "none_in_force"
	}
	return "source_failed"
}

// fetch calls Fetch. A panic in it, in a goroutine of its own, would end the
// process. partial is the error that wraps ErrPartial, which is no failure.
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

// failed keeps a failure and starts the back-off. A refresh that was frozen starts
// none. A second one does not lengthen it: it starts that of the failure before it
// again.
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

// age is how long ago the snapshot was fetched; for none at all, longer than any
// bound.
func (s *snapshot[T]) age() time.Duration {
	if s == nil {
		return 1<<63 - 1
	}
	return time.Since(s.fetched)
}

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
