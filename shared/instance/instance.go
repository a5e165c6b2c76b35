// Package instance is the life of one instance of a function: a handler that builds
// itself on the first request, warming up beside it, and finishing what is under way
// on SIGTERM.
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
	// warmTimeout bounds the calls of a warm-up, which nothing waits for. The build
	// before them has no bound.
	warmTimeout = 10 * time.Second

	// drainTimeout is a little less than the ten seconds that the platform leaves
	// between SIGTERM and SIGKILL.
	drainTimeout = 9500 * time.Millisecond

	// readTimeout is how long a request may take to arrive, body included. It holds
	// from the first moment: net/http reads up to 256 KiB of an unread body before it
	// sends an early answer, and the framework's server sets no deadline.
	readTimeout = 2500 * time.Millisecond
)

// A Function is a handler, and what makes its first request fast.
type Function struct {
	Handler http.Handler

	// Warm open connections and fetch what the handler keeps in memory. A failure
	// is nothing but a slower first request.
	Warm []func(context.Context) error
}

// Start returns the handler of a function. Where the process runs for this function,
// by its name, as it does when deployed, Start also begins to warm up and to listen
// for SIGTERM. Neither blocks, and neither can fail.
//
// Elsewhere, in tests and where several functions share a process, it does not:
// settings may not be there yet, and one drain would end the other's requests.
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

// A Handler serves a function that is built on the first request. It is safe for
// concurrent use.
type Handler struct {
	// Build makes the function. While it fails, requests are answered 503 and the
	// next one tries again; a function once built is kept.
	Build func(context.Context) (*Function, error)
	Log   *slog.Logger

	// Line is the message of the log line of a request that found no function; empty
	// means "delivery". It is set before the first request.
	Line string

	building sync.Mutex
	function *Function

	counting sync.Mutex
	requests int           // under way
	idle     chan struct{} // closed when requests comes down to zero; nil unless draining
}

// ServeHTTP serves a request, which has 2.5 seconds to arrive, and sends the answer on
// its way before the request counts as finished: the process may end right after.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.begin()
	defer h.end()
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(time.Now().Add(readTimeout)) // a writer that cannot is a test's
	h.serve(w, r)
	_ = connection.Flush()
}

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

// warm builds the function and runs its warm-ups side by side. What fails is left
// to the first request, which says why.
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

// drain ends the process on SIGTERM, when no request is under way. The framework by
// itself would end at once.
func (h *Handler) drain(term <-chan os.Signal) {
	<-term
	select {
	case <-h.quiet():
	case <-time.After(drainTimeout):
	}
	os.Exit(0)
}

// quiet returns a channel that is closed once no request is under way.
func (h *Handler) quiet() <-chan struct{} {
	h.counting.Lock()
	defer h.counting.Unlock()
	idle := make(chan struct{})
	if h.requests == 0 {
		close(idle)
	} else {
		h.idle = idle
	}
	return idle
}

func (h *Handler) begin() {
	h.counting.Lock()
	defer h.counting.Unlock()
	h.requests++
}

func (h *Handler) end() {
	h.counting.Lock()
	defer h.counting.Unlock()
	h.requests--
	if h.requests == 0 && h.idle != nil {
		close(h.idle)
		h.idle = nil
	}
}
