// Package together lets callers that arrive at the same time share one call.
package together

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// Patience is how long an item waits at most until its call goes out. It bounds the
// harm of a call that stalls: the calls after it are late by that much. A call to a
// server nearby takes about as long.
const Patience = 2 * time.Millisecond

// A Caller makes calls of one kind, each for one item or more. An item that arrives
// while no call is under way goes out at once, so a lone caller waits for nothing. Items
// that arrive while a call is under way go out together as soon as it has returned, or
// after [Patience].
//
// Its fields are not to be changed in use. It is safe for concurrent use. It holds no
// item for longer than the call takes, and has no goroutine while no call is under way.
type Caller[Item, Result any] struct {
	// Call makes a call and returns a result for each item, in the items' order. An
	// error is that of all its items. An item's own failure belongs in its result.
	//
	// The context ends at the latest deadline of the items' callers, and has no end if one
	// of them has no deadline. A lone caller's is its own; that of a shared call has no
	// values.
	Call func(ctx context.Context, items []Item) ([]Result, error)

	// Fits reports whether item may be in one call with items, of which there is at
	// least one. An item that may not goes out at once, in a call of its own.
	Fits func(items []Item, item Item) bool

	mu   sync.Mutex
	last *call[Item, Result] // the one that went out last, until it returns
	next *call[Item, Result] // the one that has not gone out yet

	shared bool // the last one is or was shared
}

// A call is one call of a Caller.
type call[Item, Result any] struct {
	items   []Item
	latest  time.Time   // deadline of the callers
	endless bool        // a caller has no deadline
	timer   *time.Timer // has it go out; nil if its first caller does

	done    chan struct{} // closed when the fields below are set
	results []Result
	err     error
}

// Do calls Call for an item, alone or together with others, and returns the item's
// result.
//
// It returns the error of ctx if that ends first. Then the outcome is unknown: a shared
// call goes on for the others, with the item in it. If Call panics, a lone caller gets
// the panic, and the callers of a shared call get an error.
func (c *Caller[Item, Result]) Do(ctx context.Context, item Item) (result Result, err error) {
	s, i, crowd := c.join(ctx, item)
	if s == nil {
		return c.alone(ctx, item)
	}
	if s.timer == nil && i == 0 {
		if crowd {
			// Others of the crowd are ready to run if a call of theirs has just returned:
			// they join now. Otherwise one would go ahead, and the others wait for it.
			runtime.Gosched()
		}
		if c.goOut(s) == 1 {
			defer c.returned(s)
			return c.alone(ctx, item)
		}
	}
	select {
	case <-s.done:
	case <-ctx.Done():
		select {
		case <-s.done: // both, such as after a freeze: the outcome is known
		default:
			return result, ctx.Err()
		}
	}
	if s.err != nil {
		return result, s.err
	}
	return s.results[i], nil
}

// join adds an item to the next call. It returns that call and the item's index, and
// whether the call before it was shared. It returns no call if the item does not fit in.
func (c *Caller[Item, Result]) join(ctx context.Context, item Item) (s *call[Item, Result], i int, crowd bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch s = c.next; {
	case s == nil:
		s = &call[Item, Result]{done: make(chan struct{})}
		if c.last != nil {
			s.timer = time.AfterFunc(Patience, func() { c.goOut(s) })
		}
		c.next = s
	case !c.Fits(s.items, item):
		return nil, 0, false
	}
	deadline, ok := ctx.Deadline()
	s.endless = s.endless || !ok
	if deadline.After(s.latest) {
		s.latest = deadline
	}
	s.items = append(s.items, item)
	return s, len(s.items) - 1, c.shared
}

// goOut has a call go out, unless it has gone out, and returns how many items it has.
// One that has only its first caller is left to that.
func (c *Caller[Item, Result]) goOut(s *call[Item, Result]) (items int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.next != s {
		return len(s.items)
	}
	c.last, c.next, c.shared = s, nil, len(s.items) > 1
	if s.timer != nil {
		s.timer.Stop()
	}
	if s.timer != nil || len(s.items) > 1 {
		go c.run(s)
	}
	return len(s.items)
}

// returned has the next call go out, if s is the one that it waits for.
func (c *Caller[Item, Result]) returned(s *call[Item, Result]) {
	c.mu.Lock()
	var next *call[Item, Result]
	if c.last == s {
		c.last, next = nil, c.next
	}
	c.mu.Unlock()
	if next != nil {
		c.goOut(next)
	}
}

// run makes a call that its callers wait for.
func (c *Caller[Item, Result]) run(s *call[Item, Result]) {
	ctx, cancel := context.Background(), context.CancelFunc(func() {})
	if !s.endless {
		ctx, cancel = context.WithDeadline(ctx, s.latest)
	}
	defer cancel()
	defer c.returned(s)
	defer runtime.Gosched() // its callers may join the next call
	defer close(s.done)
	defer func() {
		if p := recover(); p != nil {
			s.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	s.results, s.err = c.call(ctx, s.items)
}

// alone makes a call for one item in its caller's place.
func (c *Caller[Item, Result]) alone(ctx context.Context, item Item) (result Result, err error) {
	results, err := c.call(ctx, []Item{item})
	if err != nil {
		return result, err
	}
	return results[0], nil
}

// call is Call, which must return a result for each item.
func (c *Caller[Item, Result]) call(ctx context.Context, items []Item) ([]Result, error) {
	results, err := c.Call(ctx, items)
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("%d results of %d items", len(results), len(items))
	}
	return results, err
}
