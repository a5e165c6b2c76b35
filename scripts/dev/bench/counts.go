package main

import (
	"context"
	"maps"
	"path"
	"sync"
	"sync/atomic"

	"github.com/geminihook/geminihook/shared/gcptest/proxy"
)

// A Count is what a delivery costs one receiver in calls, at one concurrency.
type Count struct {
	Receiver    string             `json:"receiver"`
	Concurrency int                `json:"concurrency"`
	Calls       float64            `json:"calls"` // per delivery
	Methods     map[string]float64 `json:"methods"`
}

// countCalls counts on the wire.
func (b *bench) countCalls(ctx context.Context) ([]Count, error) {
	b.say("counting calls")
	c := &counter{calls: make(map[string]float64)}
	p, err := b.newProject(ctx, c.between)
	if err != nil {
		return nil, err
	}
	defer p.close()
	f, err := b.deploy(ctx, p)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	var counts []Count
	for _, concurrency := range concurrencies {
		for _, r := range f {
			count, err := b.count(ctx, c, r, concurrency)
			if err != nil {
				return nil, err
			}
			counts = append(counts, count)
		}
	}
	return counts, nil
}

// count counts the calls of a receiver that has its connections and its secret.
func (b *bench) count(ctx context.Context, c *counter, r *process, concurrency int) (Count, error) {
	if _, err := b.sender.load(ctx, r, concurrency, times(concurrency)); err != nil {
		return Count{}, err
	}
	c.take()
	s, err := b.sender.load(ctx, r, concurrency, times(10*concurrency))
	if err != nil {
		return Count{}, err
	}
	count := Count{Receiver: r.name, Concurrency: concurrency, Methods: make(map[string]float64)}
	for method, calls := range c.take() {
		perDelivery := calls / float64(len(s.latencies))
		count.Methods[path.Base(method)] = perDelivery
		count.Calls += perDelivery
	}
	return count, nil
}

// times holds n times.
func times(n int) (more func() bool) {
	var done atomic.Int64
	return func() bool { return done.Add(1) <= int64(n) }
}

// A counter counts calls by method. It is safe for concurrent use.
type counter struct {
	mu    sync.Mutex
	calls map[string]float64
}

// between puts a proxy that counts before a server.
func (c *counter) between(addr string) (instead string, stop func(), err error) {
	p, err := proxy.Start(addr, func(_ context.Context, method string, forward func() error) error {
		c.mu.Lock()
		c.calls[method]++
		c.mu.Unlock()
		return forward()
	})
	if err != nil {
		return "", nil, err
	}
	return p.Addr, func() { p.Close() }, nil
}

// take returns the calls since the last time.
func (c *counter) take() map[string]float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	calls := maps.Clone(c.calls)
	clear(c.calls)
	return calls
}
