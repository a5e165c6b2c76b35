// Package receiver is the http.Handler of the two webhook endpoints: static
// (project-level webhooks) and dynamic (per-request webhooks). It reads a request,
// verifies and claims the delivery, publishes it, and answers.
package receiver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	// MaxBody is the maximum size of a body, in bytes. Gemini's bodies have a few
	// hundred bytes; Standard Webhooks recommends less than 20 kB.
	MaxBody = 1 << 20

	// DefaultVerifyTimeout is the timeout of checking the URL token, reading the body
	// and verifying it, which may include fetching keys or secrets. Together with
	// DefaultProcessTimeout and the ledger's two seconds for marking or releasing a
	// claim it is 9.5 seconds: less than the ten seconds between the platform's SIGTERM
	// and SIGKILL.
	DefaultVerifyTimeout = 2500 * time.Millisecond

	// DefaultProcessTimeout is the timeout of processing a verified delivery:
	// claiming and publishing it.
	DefaultProcessTimeout = 5 * time.Second

	// DefaultLimit is the maximum number of concurrent requests. The platform sends
	// no more to one instance. Without this limit, too many concurrent requests would
	// all time out, and their bodies would exhaust memory.
	DefaultLimit = 80
)

// A Gate checks the token in the URL before the body is read.
type Gate interface {
	// Check returns nil if token is valid. It fails with a *webhook.Refusal if it is
	// not, and with another error if the valid tokens are not known. token is the value
	// of the URL's query parameter token; it is empty if the parameter is absent.
	Check(ctx context.Context, token string) error
}

// A Verifier distinguishes genuine deliveries from forged ones.
type Verifier interface {
	// Verify returns the delivery if it is genuine. It fails with a *webhook.Refusal
	// if it is not, and with another error if the keys are not known.
	Verify(ctx context.Context, header http.Header, body []byte) (*webhook.Delivery, error)
}

// A Ledger records which deliveries were processed.
type Ledger interface {
	// Once calls do if d was not processed before, and returns do's receipt and error.
	// It fails with webhook.ErrUnmarked if do succeeded but the record of that could
	// not be written. It fails without calling do if d was processed before
	// (webhook.ErrDuplicate or ErrMismatch), if another attempt at the same delivery,
	// perhaps in this instance, has not finished (*webhook.BusyError), or with any
	// other error if the record could not be acquired. If do fails with
	// webhook.ErrNotPublished, the next attempt may start at once; after any other
	// error, when the lease has expired.
	Once(ctx context.Context, d *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error)
}

// A Publisher publishes deliveries.
type Publisher interface {
	// Publish publishes d and waits until it is acknowledged.
	Publish(ctx context.Context, d *webhook.Delivery) (webhook.Receipt, error)
}

// A Receiver receives the deliveries of one endpoint. Verifier, Ledger, Publisher and Log
// are required. Do not change its fields during use. It is safe for concurrent use.
type Receiver struct {
	Endpoint  string // the endpoint's name in the log
	Gate      Gate   // nil if the URL needs no token
	Verifier  Verifier
	Ledger    Ledger
	Publisher Publisher
	Log       *slog.Logger // receives one record for each request

	// Zero means DefaultVerifyTimeout, DefaultProcessTimeout and DefaultLimit.
	VerifyTimeout  time.Duration
	ProcessTimeout time.Duration
	Limit          int

	serving atomic.Int64 // number of current requests
}

// ServeHTTP answers one request and then logs one line about it. The status depends on
// the error:
//
//	nil                                                   204
//	webhook.ErrDuplicate, ErrMismatch, ErrUnmarked        204
//	webhook.ErrMalformed                                  400
//	webhook.ErrUnauthorized, ErrForged, ErrAudience,
//	  ErrStale                                            401
//	webhook.ErrMethod                                     405, with Allow: POST
//	webhook.ErrTooLarge                                   413
//	webhook.ErrSlowBody                                   503
//	webhook.ErrOverloaded                                 503, with Retry-After: 1
//	*webhook.BusyError                                    503, with Retry-After: the rest of the lease
//	any other error, a panic                              503
//
// Gemini retries a delivery after any answer other than 2xx. Answers of 4xx mean that
// the request is at fault; 503 means that a retry may succeed. If the sender
// disconnects, processing continues: a cancellation or deadline of the request's
// context is ignored.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	start := time.Now()
	deadline := start.Add(cmp.Or(r.VerifyTimeout, DefaultVerifyTimeout))
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(deadline) // fails only for a test's ResponseWriter
	res := r.receive(w, req, deadline)
	a := answerTo(res.err)
	a.write(w)
	if !res.read {
		_ = connection.Flush() // net/http first reads the rest of the body, which counts for the latency
	}
	r.log(req, &res, a, time.Since(start))
}

// result is the result of a request.
type result struct {
	read     bool              // reading the body was attempted
	delivery *webhook.Delivery // nil unless genuine
	receipt  webhook.Receipt
	step     webhook.Step // the last step reached; if err is not nil, the step that failed
	err      error
}

// receive processes a request. It continues if the sender disconnects, because the
// retry then finds the delivery done. It converts a panic to an error, which is
// answered 503.
func (r *Receiver) receive(w http.ResponseWriter, req *http.Request, deadline time.Time) (res result) {
	defer func() {
		if p := recover(); p != nil {
			res.err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	defer r.serving.Add(-1)
	if r.serving.Add(1) > int64(cmp.Or(r.Limit, DefaultLimit)) {
		return result{step: webhook.StepLimit, err: webhook.Refuse(webhook.TooManyRequests, "")}
	}
	ctx := context.WithoutCancel(req.Context())
	if res.err = r.verify(ctx, w, req, deadline, &res); res.err != nil {
		return res
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(r.ProcessTimeout, DefaultProcessTimeout))
	defer cancel()
	res.step = webhook.StepClaim
	res.receipt, res.err = r.Ledger.Once(ctx, res.delivery, func(ctx context.Context) (webhook.Receipt, error) {
		res.step = webhook.StepPublish
		receipt, err := r.Publisher.Publish(ctx, res.delivery)
		if err == nil {
			res.step = webhook.StepMark
		}
		return receipt, err
	})
	return res
}

// verify checks and reads a request and verifies it, the cheapest checks first.
//
// If reading the body takes more than half of the timeout, and the rest is not enough
// for fetching the keys, the error is ErrSlowBody. Otherwise anyone could make each
// refresh of the keys look like an outage by sending a slow body.
func (r *Receiver) verify(ctx context.Context, w http.ResponseWriter, req *http.Request, deadline time.Time, res *result) error {
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	res.step = webhook.StepMethod
	if req.Method != http.MethodPost {
		return webhook.Refuse(webhook.NotPOST, "")
	}
	if r.Gate != nil {
		res.step = webhook.StepGate
		if err := r.Gate.Check(ctx, req.URL.Query().Get("token")); err != nil {
			return err
		}
	}
	res.read, res.step = true, webhook.StepBody
	began := time.Now() // exclude the gate's time, for which the sender is not responsible
	body, err := readBody(w, req)
	if err != nil {
		return err
	}
	slow := time.Since(began) > cmp.Or(r.VerifyTimeout, DefaultVerifyTimeout)/2
	res.step = webhook.StepSignature // a failure of ours here is always the keyring's, so it has this step
	res.delivery, err = r.Verifier.Verify(ctx, req.Header, body)
	if slow && ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return webhook.Refuse(webhook.BodySlow, "too little time was left for the keys: %v", err)
	}
	return err
}

// readBody reads the body into memory, without a copy if its length is known in
// advance. Its deadline is the connection's read deadline.
func readBody(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	if req.ContentLength > MaxBody {
		return nil, webhook.Refuse(webhook.BodyTooLarge, "%d bytes, more than the maximum of %d", req.ContentLength, MaxBody)
	}
	body, err := readAll(http.MaxBytesReader(w, req.Body, MaxBody), req.ContentLength)
	switch {
	case err == nil:
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // otherwise the deadline would close the connection during processing
		return body, nil
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, webhook.Refuse(webhook.BodyTooLarge, "more than %d bytes", MaxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, webhook.Refuse(webhook.BodySlow, "")
	}
	return nil, webhook.Refuse(webhook.BodyIncomplete, "connection closed mid-body")
}

// readAll reads length bytes from r, or all bytes if length is negative.
func readAll(r io.Reader, length int64) ([]byte, error) {
	if length < 0 {
		return io.ReadAll(r)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return body, err
}
