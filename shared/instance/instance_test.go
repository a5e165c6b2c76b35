package instance

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func get(h http.Handler) int {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", nil))
	return w.Code
}

var teapot = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) })

// A failed build logs one line, and the next request tries again. A successful build
// is kept.
func TestBuild(t *testing.T) {
	var builds int
	broken := errors.New("ROUTES: not set")
	var logged strings.Builder
	h := &Handler{
		Log: slog.New(slog.NewTextHandler(&logged, nil)),
		Build: func(ctx context.Context) (*Function, error) {
			builds++
			if builds < 3 {
				return nil, broken
			}
			return &Function{Handler: teapot}, ctx.Err()
		},
	}
	for i, want := range []int{503, 503, http.StatusTeapot, http.StatusTeapot} {
		if got := get(h); got != want {
			t.Errorf("request %d: answered %d, want %d", i, got, want)
		}
	}
	if builds != 3 {
		t.Errorf("built %d times, want 3", builds)
	}
	if text := logged.String(); strings.Count(text, "\n") != 2 || strings.Count(text, broken.Error()) != 2 || strings.Count(text, " step=build ") != 2 {
		t.Errorf("logged\n%s", text)
	}
	if text := logged.String(); strings.Count(text, " msg=delivery ") != 2 {
		t.Errorf("logged\n%s", text)
	}
	logged.Reset()
	if h.function, h.Line, builds = nil, "pass", 0; get(h) != 503 || !strings.Contains(logged.String(), " msg=pass ") {
		t.Errorf("logged\n%s", logged.String())
	}
}

// If the build fails, a request is answered even if its body never arrives.
func TestHalfSentBody(t *testing.T) {
	h := &Handler{
		Log:   slog.New(slog.DiscardHandler),
		Build: func(context.Context) (*Function, error) { return nil, errors.New("ROUTES: not set") },
	}
	server := httptest.NewServer(h)
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	io.WriteString(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
	answer, err := io.ReadAll(conn) // until it is closed
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 503") {
		t.Errorf("answered %q, %v", answer, err)
	}
}

// Concurrent requests share one build. Cancelling a request does not cancel the
// build.
func TestBuildOnce(t *testing.T) {
	var builds atomic.Int32
	h := &Handler{
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Build: func(ctx context.Context) (*Function, error) {
			builds.Add(1)
			return &Function{Handler: teapot}, ctx.Err()
		},
	}
	gone, hangUp := context.WithCancel(t.Context())
	hangUp()
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequestWithContext(gone, http.MethodPost, "/", nil))
			if w.Code != http.StatusTeapot {
				t.Errorf("answered %d", w.Code)
			}
		})
	}
	all.Wait()
	if n := builds.Load(); n != 1 {
		t.Errorf("built %d times, want once", n)
	}
}

// The channel of quiet is closed when the last request has ended, also by a panic.
func TestQuiet(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	h := &Handler{Build: func(context.Context) (*Function, error) {
		return &Function{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			entered <- struct{}{}
			<-leave
			panic(http.ErrAbortHandler)
		})}, nil
	}}
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			defer func() { recover() }()
			get(h)
		})
		<-entered
	}
	quiet := h.quiet()
	select {
	case <-quiet:
		t.Error("quiet with two requests under way")
	default:
	}
	leave <- struct{}{}
	select {
	case <-quiet:
		t.Error("quiet with a request under way")
	default:
	}
	leave <- struct{}{}
	<-quiet
	all.Wait()
}

// A request that arrives after the last one has ended, and before the process exits, does
// not reach the function: the exit would cut it, perhaps between the publish and the mark
// of a delivery. A request that arrives before is served, although SIGTERM came.
func TestRequestAfterQuiet(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	served := 0
	h := &Handler{Build: func(context.Context) (*Function, error) {
		return &Function{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			if served++; served == 1 {
				entered <- struct{}{}
				<-leave
			}
			w.WriteHeader(http.StatusTeapot)
		})}, nil
	}}
	var current sync.WaitGroup
	current.Go(func() { get(h) })
	<-entered
	quiet := h.quiet()
	if got := get(h); got != http.StatusTeapot {
		t.Errorf("a request beside the last one was answered %d", got)
	}
	close(leave)
	current.Wait()
	<-quiet
	if got := get(h); got != http.StatusServiceUnavailable || served != 2 {
		t.Errorf("a request after the last one was answered %d; the function has served %d, want 2", got, served)
	}

	idle := &Handler{Build: func(context.Context) (*Function, error) { return &Function{Handler: teapot}, nil }}
	<-idle.quiet()
	if got := get(idle); got != http.StatusServiceUnavailable {
		t.Errorf("a request to an instance that was idle at SIGTERM was answered %d", got)
	}
}

// All warm-ups run, even if others fail.
func TestWarm(t *testing.T) {
	var warmed atomic.Int32
	h := &Handler{Build: func(context.Context) (*Function, error) {
		one := func(context.Context) error { warmed.Add(1); return errors.New("down") }
		return &Function{Handler: teapot, Warm: []func(context.Context) error{one, one, one}}, nil
	}}
	h.warm()
	if n := warmed.Load(); n != 3 {
		t.Errorf("%d warmed up, want 3", n)
	}
	(&Handler{Build: func(context.Context) (*Function, error) { return nil, errors.New("broken") }}).warm()
}
