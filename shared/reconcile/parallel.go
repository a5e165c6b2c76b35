package reconcile

import (
	"sync"
)

// each calls do for each of some values, a few at a time.
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

// errorCount counts errors in a row. It is safe for concurrent use.
type errorCount struct {
	mu          sync.Mutex
	row         int
	one, latest error
}

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

func (c *errorCount) enough() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.row >= maxFailures
}

func (c *errorCount) first() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.one
}

func (c *errorCount) last() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}
