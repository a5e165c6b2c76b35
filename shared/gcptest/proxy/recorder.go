package proxy

import (
	"context"
	"sync"
)

// A Recorder records the methods of calls, and passes the calls to a fault that may
// change at any time. Its method Handle is a [Handler]. The zero value has no fault.
// It is safe for concurrent use, also by several proxies.
type Recorder struct {
	mu    sync.Mutex
	calls []string
	fault Handler
}

// Handle records a call and passes it to the fault. If there is no fault, it forwards
// the call.
func (r *Recorder) Handle(ctx context.Context, method string, forward func() error) error {
	r.mu.Lock()
	r.calls = append(r.calls, method)
	r.mu.Unlock()
	return r.HandleUnrecorded(ctx, method, forward)
}

// HandleUnrecorded is like [Recorder.Handle], but does not record the call.
func (r *Recorder) HandleUnrecorded(ctx context.Context, method string, forward func() error) error {
	r.mu.Lock()
	fault := r.fault
	r.mu.Unlock()
	if fault == nil {
		return forward()
	}
	return fault(ctx, method, forward)
}

// Interfere sets the fault for calls that begin from now on; nil means no fault.
func (r *Recorder) Interfere(fault Handler) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.fault = fault
}

// Calls returns the methods of the calls since the previous call of Calls, in order.
func (r *Recorder) Calls() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}
