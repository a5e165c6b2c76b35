package proxy

import (
	"context"
	"sync"
)

// A Recorder remembers the methods of the calls that its Handle, a [Handler], is given, and
// sends them through a fault that may change at any time. Its zero value has none. It is
// safe for concurrent use, and one may serve several proxies.
type Recorder struct {
	mu    sync.Mutex
	calls []string
	fault Handler
}

// Handle records a call and sends it through the fault.
func (r *Recorder) Handle(ctx context.Context, method string, forward func() error) error {
	r.mu.Lock()
	r.calls = append(r.calls, method)
	r.mu.Unlock()
	return r.HandleUnrecorded(ctx, method, forward)
}

// HandleUnrecorded sends a call through the fault, or on if there is none.
func (r *Recorder) HandleUnrecorded(ctx context.Context, method string, forward func() error) error {
	r.mu.Lock()
	fault := r.fault
	r.mu.Unlock()
	if fault == nil {
		return forward()
	}
	return fault(ctx, method, forward)
}

// Interfere sends the calls that begin from now on through a fault; nil ends that.
func (r *Recorder) Interfere(fault Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// Calls returns the methods of the calls since Calls was last called.
func (r *Recorder) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}
