package reconcile

import (
	"sync"
)

// each calls do for each value, up to parallel of them at the same time, and returns
// when all calls have returned.
func each[T any](all []T, do func(T)) {
	var (
		slots = make(chan struct{}, parallel)
		wait  sync.WaitGroup
	)
	for _, one := range all {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			do(one)
		})
	}
	wait.Wait()
}

// errorCount counts consecutive errors. The zero value is ready to use. It is safe for
// concurrent use.
type errorCount struct {
	mu          sync.Mutex
	row         int   // consecutive errors; stays at maxFailures once it is reached
	one, latest error // the first and the last error
}

// add counts an error. A nil error sets the count to 0, unless it has reached
// maxFailures: a call that was still running must not restart a step that has ended.
func (c *errorCount) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		if c.row < maxFailures {
			c.row = 0
		}
		return
	}
	if c.one == nil {
		c.one = err
	}
	c.latest = err
	c.row++
}

// enough reports whether maxFailures consecutive errors have been counted.
func (c *errorCount) enough() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.row >= maxFailures
}

// first returns the first error, or nil.
func (c *errorCount) first() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.one
}

// last returns the last error, or nil.
func (c *errorCount) last() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}
