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

// maxBytes is how much of a body is kept: a byte more than the receiver accepts, to
// recognise a body that is over the limit.
const maxBytes = receiver.MaxBody + 1

// executionHeader is what the platform's front end names a request by. The function
// puts it into its log line, which is how the line finds the request again.
const executionHeader = "Function-Execution-Id"

// NoFunction is the endpoint of what is for none.
const NoFunction = ""

// Watch shows what goes through next, which serves an endpoint. It changes nothing
// but the execution id.
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
		defer func() { // the proxy panics where the sender has gone
			d.latency = time.Since(d.received)
			d.status, d.retryAfter = answer.status, w.Header().Get("Retry-After")
			_ = http.NewResponseController(w).Flush() // the sender waits for nothing of ours

			d.body, d.ended, d.broke = body.taken()
			d.checks, d.refusal = in.Checks.of(context.WithoutCancel(r.Context()), d)
			in.Deliveries.answer(d, execution)
		}()
		next.ServeHTTP(answer, r)
	})
}

// A recorded body keeps what is read of it, up to a byte over the limit.
type recorded struct {
	io.ReadCloser

	mu    sync.Mutex // it may still be read from when the answer is there
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

// An answerRecorder keeps the status.
type answerRecorder struct {
	http.ResponseWriter
	status int
}

func (a *answerRecorder) WriteHeader(status int) {
	a.status = status
	a.ResponseWriter.WriteHeader(status)
}

// Unwrap lets http.ResponseController through.
func (a *answerRecorder) Unwrap() http.ResponseWriter { return a.ResponseWriter }
