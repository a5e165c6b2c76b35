// Package together lets callers that arrive at the same time share one call, for example
// one write request to a database. A caller that arrives alone does not wait.
package together

import (
	"context"
	"fmt"
	"runtime"
	"runtime/debug"
	"sync"
	"time"
)

// Patience is the maximum time that an item waits until its call is sent. Without it, a
// call that stalls would delay all that arrive after it. Patience is about the duration
// of one call to a nearby server.
const Patience = 2 * time.Millisecond

// A Caller makes calls of one kind, each for one or more items. If no call is under way,
// an item is sent at once. Items that arrive while a call is under way are sent together
// when it returns, or after [Patience].
//
// It is safe for concurrent use, but its fields must not change after the first call of
// Do. It keeps no item after its call has returned, and has no goroutine while no call is
// under way.
type Caller[Item, Result any] struct {
	// Call makes a call and returns a result for each item, in the order of the items.
	// It is required and must be safe for concurrent use: calls overlap if one takes
	// longer than Patience, or if an item does not fit. An error applies to all items;
	// the failure of one item belongs in its result.
	//
	// An item that is sent at once and alone uses its caller's context. Any other call,
	// even with one item, has a context without values that ends at the latest deadline
	// of the callers. It has no deadline if one of them has none.
	Call func(ctx context.Context, items []Item) ([]Result, error)

	// Fits reports whether item may share a call with items, of which there is at least
	// one. If it may not, it is sent at once, in a call of its own. So Fits sets the
	// maximum size of a call. It is required, must be fast, and must not call Do: the
	// Caller is locked during the call.
	Fits func(items []Item, item Item) bool

	mu   sync.Mutex
	last *call[Item, Result] // the call that was sent last, until it returns
	next *call[Item, Result] // the call that has not been sent yet

	shared bool // the call that was sent last has several items
}

// A call is one call of a Caller.
type call[Item, Result any] struct {
	items   []Item
	latest  time.Time   // deadline of the callers
	endless bool        // a caller has no deadline
	timer   *time.Timer // sends the call after Patience; nil if its first caller sends it

	done    chan struct{} // closed when the fields below are set
	results []Result
	err     error
}

// Do calls Call with the item, alone or with other items, and returns the item's result.
//
// If the item is sent at once and alone, Do returns when Call returns, and panics if it
// panics. Otherwise Do returns ctx's error when ctx ends: the call goes on, with the
// item in it, and its outcome is unknown. If that call panics, Do returns an error with
// the panic's value and stack, to each of the items' callers.
func (c *Caller[Item, Result]) Do(ctx context.Context, item Item) (result Result, err error) {
	s, i, crowd := c.join(ctx, item)
	if s == nil {
		return c.alone(ctx, item)
	}
	if s.timer == nil && i == 0 {
		if crowd {
			// If a shared call has just returned, its other callers are ready to run.
			// They join this call now. Otherwise it would be sent with one item.
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
		case <-s.done: // both, for example after a freeze: the outcome is known
		default:
			return result, ctx.Err()
		}
	}
	if s.err != nil {
		return result, s.err
	}
	return s.results[i], nil
}

// join adds an item to the next call. It returns that call, the item's index in it, and
// whether the call before it was shared. It returns nil if the item does not fit.
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

// goOut sends a call unless it was sent before, and returns the number of its items. If
// the call has one item and no timer, its caller sends it.
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

// returned sends the next call if it waits for s.
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

// run makes a shared call, for whose end its callers wait.
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

// alone makes a call with one item, in the goroutine of its caller.
func (c *Caller[Item, Result]) alone(ctx context.Context, item Item) (result Result, err error) {
	results, err := c.call(ctx, []Item{item})
	if err != nil {
		return result, err
	}
	return results[0], nil
}

// call calls Call, and returns an error if the number of results is wrong.
func (c *Caller[Item, Result]) call(ctx context.Context, items []Item) ([]Result, error) {
	results, err := c.Call(ctx, items)
	if err == nil && len(results) != len(items) {
		err = fmt.Errorf("%d results for %d items", len(results), len(items))
	}
	return results, err
}
