// Package refresh keeps values in memory that change at their source: keys and
// secrets. It has no background, because an idle instance has no CPU: values are
// refreshed by the request that needs them.
package refresh

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// FreshFor is how long values are taken on trust. It is also how long a value
// that was withdrawn at its source goes on being accepted.
const FreshFor = 5 * time.Minute

const (
	// settledFor is how long after a refresh a value that is not among ours is
	// definitely not in force. A storm of forgeries costs one refresh in that time.
	settledFor = time.Minute

	// fetchTimeout bounds one refresh, for which a delivery may be waiting.
	fetchTimeout = 2 * time.Second

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

	// UsableFor is how long values go on being used while refreshing them fails.
	UsableFor time.Duration

	Log *slog.Logger

	current atomic.Pointer[snapshot[T]] // nil until the first success

	mu       sync.Mutex // guards the rest
	flight   *flight    // the refresh under way
	failures int        // since the last success
	err      error      // of the last failure
	retryAt  time.Time  // no refresh before
}

// snapshot is what one refresh brought.
type snapshot[T any] struct {
	values  []T
	partial error // wraps ErrPartial; nil if values are all there are
	fetched time.Time
	matched atomic.Int32 // the value that matched last is tried first
}

// flight is a refresh under way, shared by all who wait for it.
type flight struct {
	done chan struct{}
	err  error // set before done is closed
}

// Find reports whether match holds for one of the values. A match among values in
// memory is a match. No match is definite only where a refresh has succeeded
// within the last minute; otherwise Find refreshes first, and returns an error
// where that fails: the fault is then ours, not the sender's. After a refresh that was
// partial, no match is never definite: Find returns an error that wraps ErrPartial.
func (c *Cache[T]) Find(ctx context.Context, match func(T) bool) (bool, error) {
	seen, _ := c.load(ctx, FreshFor)
	if seen.find(match) {
		return true, nil
	}
	now, err := c.load(ctx, settledFor)
	if now != seen && now.find(match) {
		return true, nil
	}
	if err == nil && now != nil {
		err = now.partial
	}
	return false, err
}

// Warm fetches the values, unless they are there, so that the first request finds
// them in memory.
func (c *Cache[T]) Warm(ctx context.Context) error {
	_, err := c.load(ctx, FreshFor)
	return err
}

// load returns the values, refreshed where they are older than maxAge. Where that
// fails it returns the error beside the values that are still usable, nil if none.
func (c *Cache[T]) load(ctx context.Context, maxAge time.Duration) (*snapshot[T], error) {
	seen := c.current.Load()
	if seen.age() <= maxAge {
		return seen, nil
	}
	err := c.refresh(ctx, seen)
	now := c.current.Load()
	if err != nil && now.age() > c.UsableFor {
		now = nil
	}
	return now, err
}

// refresh replaces the snapshot seen, or waits until somebody else has.
func (c *Cache[T]) refresh(ctx context.Context, seen *snapshot[T]) error {
	f, err := c.join(ctx, seen)
	if f == nil {
		return err
	}
	select {
	case <-f.done:
		return f.err
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", c.Name, ctx.Err())
	}
}

// join returns the refresh under way, starting it if need be. It returns none
// where there is nothing to wait for, because one has just ended.
func (c *Cache[T]) join(ctx context.Context, seen *snapshot[T]) (*flight, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.flight != nil:
	case c.current.Load() != seen: // refreshed, or dropped, in between
		return nil, c.err
	case time.Now().Before(c.retryAt):
		return nil, c.err
	default:
		c.flight = &flight{done: make(chan struct{})}
		go c.run(context.WithoutCancel(ctx), c.flight)
	}
	return c.flight, nil
}

// run does one refresh and lets go whoever waits for it.
func (c *Cache[T]) run(ctx context.Context, f *flight) {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	values, partial, err := c.fetch(ctx)
	if err != nil {
		c.Log.ErrorContext(ctx, "refresh failed", "of", c.Name, "error", err)
	}
	if partial != nil {
		c.Log.ErrorContext(ctx, "refresh partial", "of", c.Name, "error", partial)
		partial = fmt.Errorf("%s: %w", c.Name, partial)
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	c.flight = nil
	if err != nil {
		c.failed(fmt.Errorf("%s: %w", c.Name, err))
	} else {
		c.current.Store(&snapshot[T]{values: values, partial: partial, fetched: time.Now()})
		c.failures, c.err, c.retryAt = 0, nil, time.Time{}
	}
	f.err = c.err
	close(f.done)
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

func (c *Cache[T]) failed(err error) {
	if errors.Is(err, ErrNone) {
		c.current.Store(nil)
	}
	backoff := min(minBackoff<<min(c.failures, 6), maxBackoff)
	c.failures++
	c.err, c.retryAt = err, time.Now().Add(backoff)
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
