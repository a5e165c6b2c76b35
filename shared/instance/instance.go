// Package instance manages the life of a function's instance. If the function is
// deployed, [Start] begins at once, in the background, to build its handler from the
// settings (Handler.Build) and to warm it up; otherwise, or if that fails, the handler
// is built on the first request. After SIGTERM a deployed function completes the
// current requests, and those that arrive before the last of them has ended.
package instance

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const (
	// warmTimeout is the timeout of the warm-up's calls. No request waits for them.
	// The build before them has no timeout.
	warmTimeout = 10 * time.Second

	// drainTimeout is a little less than the ten seconds between the platform's
	// SIGTERM and SIGKILL.
	drainTimeout = 9500 * time.Millisecond

	// readTimeout is the maximum time for a request to arrive, body included. Without
	// it, an early response could be delayed indefinitely: net/http first reads up to
	// 256 KiB of an unread body, and the framework's server sets no deadline.
	readTimeout = 2500 * time.Millisecond
)

// A Function is a handler with its warm-up.
type Function struct {
	Handler http.Handler // serves all requests

	// Warm opens connections and fetches values that the handler caches. The elements
	// run concurrently with each other, and may run concurrently with requests. They
	// share one timeout of ten seconds, which begins before the build. If one fails,
	// the first request is slower.
	Warm []func(context.Context) error
}

// Start returns the handler of the function called name. If FUNCTION_TARGET is name,
// as in a deployed function, Start also starts the build and the warm-up in the
// background, and a drain on SIGTERM: the process ends with exit status 0 after the
// current requests, and at the latest after 9.5 seconds. Start does not block and cannot
// fail. After Start only Line may be set, before the first request: Build may run
// already.
//
// Otherwise, as in tests and in a process with several functions, Start does neither.
// The settings may not be set yet, and one function's drain would end the other's
// requests.
func Start(name string, log *slog.Logger, build func(context.Context) (*Function, error)) *Handler {
	h := &Handler{Build: build, Log: log}
	if os.Getenv("FUNCTION_TARGET") == name {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		go h.drain(term)
		go h.warm()
	}
	return h
}

// A Handler serves a function that it builds on the first request, or that [Start]
// built before. Build and Log are required. Set the exported fields before the first
// request; after Start only Line. It is safe for concurrent use.
type Handler struct {
	// Build builds the function. If it fails, the request is answered 503, and the
	// next request tries again. After a success Build is not called again. Calls do
	// not overlap. The context of Build has no deadline and is not cancelled.
	Build func(context.Context) (*Function, error)

	// Log receives a record for each request that is answered 503 because the build
	// failed. A build that fails in the warm-up is not logged: the first request tries
	// again.
	Log *slog.Logger

	// Line is the message of the function's log lines, of which it writes one for each
	// request. A failed build is logged with the same message. Empty means "delivery".
	Line string

	building sync.Mutex
	function *Function

	counting sync.Mutex
	requests int           // number of current requests
	idle     chan struct{} // closed when requests reaches zero; nil unless draining
}

// ServeHTTP serves a request, which must arrive within 2.5 seconds. After that time its
// read deadline has passed, unless the function sets another one: reads of the body
// fail, and net/http cancels the request's context. So a function that takes longer
// must use context.WithoutCancel. ServeHTTP flushes the response before it counts the
// request as finished, because the process may end right afterwards. If the process is
// about to end after SIGTERM, it answers 503 without a log line: the end of the process
// would cut the request anywhere, for example between the publish and the mark of a
// delivery.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if !h.begin() {
		http.Error(w, http.StatusText(http.StatusServiceUnavailable), http.StatusServiceUnavailable)
		return
	}
	defer h.end()
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(readTimeout)) // fails only for a test's ResponseWriter
	h.serve(w, r)
	_ = connection.Flush()
}

// serve calls the function's handler. If the build fails, it answers 503 and logs the
// error.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request) {
	f, err := h.get(r.Context())
	if err != nil {
		const status = http.StatusServiceUnavailable
		http.Error(w, http.StatusText(status), status)
		h.Log.ErrorContext(r.Context(), cmp.Or(h.Line, "delivery"), "outcome", "unavailable", "status", status, "step", "build", "error", err.Error())
		return
	}
	f.Handler.ServeHTTP(w, r)
}

// get returns the function, and builds it if necessary. The build is not cancelled
// with ctx.
func (h *Handler) get(ctx context.Context) (*Function, error) {
	h.building.Lock()
	defer h.building.Unlock()
	if h.function == nil {
		f, err := h.Build(context.WithoutCancel(ctx))
		if err != nil {
			return nil, err
		}
		h.function = f
	}
	return h.function, nil
}

// warm builds the function and runs its warm-ups concurrently. It ignores errors: the
// first request makes the same calls and logs their errors.
func (h *Handler) warm() {
	ctx, cancel := context.WithTimeout(context.Background(), warmTimeout)
	defer cancel()
	f, err := h.get(ctx)
	if err != nil {
		return
	}
	var all sync.WaitGroup
	for _, warm := range f.Warm {
		all.Go(func() { _ = warm(ctx) })
	}
	all.Wait()
}

// drain waits for SIGTERM, then for the current requests, and ends the process.
// Without it, the framework's server ends at once.
func (h *Handler) drain(term <-chan os.Signal) {
	<-term
	select {
	case <-h.quiet():
	case <-time.After(drainTimeout):
	}
	os.Exit(0)
}

// quiet returns a channel that is closed as soon as there are no current requests. From
// then on, begin fails.
func (h *Handler) quiet() <-chan struct{} {
	h.counting.Lock()
	defer h.counting.Unlock()
	idle := make(chan struct{})
	h.idle = idle
	if h.ending() {
		close(idle)
	}
	return idle
}

// begin counts a request as current. It returns false if the process is about to end.
func (h *Handler) begin() bool {
	h.counting.Lock()
	defer h.counting.Unlock()
	if h.ending() {
		return false
	}
	h.requests++
	return true
}

// end counts a request as finished, and closes idle after the last one.
func (h *Handler) end() {
	h.counting.Lock()
	defer h.counting.Unlock()
	h.requests--
	if h.ending() {
		close(h.idle)
	}
}

// ending reports whether the drain has found no current requests, so that the process ends
// now. The caller holds counting.
func (h *Handler) ending() bool { return h.idle != nil && h.requests == 0 }
