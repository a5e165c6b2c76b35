package inspector

import (
	"context"
	"crypto/rand"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/geminihook/geminihook/shared/receiver"
)

// maxBytes bounds the recorded part of a body, in bytes. It is one byte more than the
// receiver accepts, so that a body over the limit is recognised.
const maxBytes = receiver.MaxBody + 1

// executionHeader is the header in which Google's front end sets a request's id. The
// function logs the id, which joins the log line to the request.
const executionHeader = "Function-Execution-Id"

// NoFunction is the endpoint of requests to a path without a function.
const NoFunction = ""

// Watch returns a handler that calls next, which serves an endpoint, and shows the
// request and its answer on the page. It changes only the request's execution id.
func (in *Inspector) Watch(endpoint string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		execution := rand.Text()
		d := &delivery{
			received: time.Now(), endpoint: endpoint, method: r.Method, path: r.URL.Path, query: r.URL.RawQuery,
			header: r.Header.Clone(), length: r.ContentLength,
		}
		d.header.Set("Host", r.Host)
		in.Deliveries.begin(d, execution)

		body := &recorded{ReadCloser: r.Body}
		r.Body = body
		r.Header.Set(executionHeader, execution)
		answer := &answerRecorder{ResponseWriter: w, status: http.StatusOK}
		defer func() { // in a defer, because the proxy panics if the sender disconnects
			d.latency = time.Since(d.received)
			d.status, d.retryAfter = answer.status, w.Header().Get("Retry-After")
			_ = http.NewResponseController(w).Flush() // so that the sender does not wait for the checks

			d.body, d.ended, d.broke = body.taken()
			d.checks, d.refusal = in.Checks.of(context.WithoutCancel(r.Context()), d)
			in.Deliveries.answer(d, execution)
		}()
		next.ServeHTTP(answer, r)
	})
}

// A recorded body records the bytes that are read from it, at most maxBytes.
type recorded struct {
	io.ReadCloser

	mu    sync.Mutex // the proxy may still read the body after the answer
	kept  []byte
	ended bool
	broke bool
}

func (b *recorded) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	room := min(n, maxBytes-len(b.kept))
	b.kept = append(b.kept, p[:room]...)
	b.ended = b.ended || err == io.EOF
	b.broke = b.broke || err != nil && err != io.EOF
	return n, err
}

func (b *recorded) taken() (kept []byte, ended, broke bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.kept[:len(b.kept):len(b.kept)], b.ended, b.broke
}

// An answerRecorder records the status.
type answerRecorder struct {
	http.ResponseWriter
	status int
}

func (a *answerRecorder) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController reach the original writer.
func (a *answerRecorder) Unwrap() http.ResponseWriter { return a.ResponseWriter }
