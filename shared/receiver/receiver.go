// Package receiver is the http.Handler of both endpoints: it reads a request,
// verifies it, claims it, publishes it, and answers.
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
	// MaxBody bounds a body, in bytes. Gemini's are thin, a few hundred bytes; Standard
	// Webhooks recommends less than 20 kB.
	MaxBody = 1 << 20

	// DefaultVerifyTimeout bounds reading the body and verifying it, which may wait for
	// keys or secrets. The platform leaves a request ten seconds between SIGTERM and
	// SIGKILL: this bound, the next one and the two seconds that the ledger has for its
	// mark are less than that together.
	DefaultVerifyTimeout = 2500 * time.Millisecond

	// DefaultProcessTimeout bounds processing a verified delivery: claim and publish.
	DefaultProcessTimeout = 5 * time.Second

	// DefaultLimit is how many requests are served at a time: as many as the platform
	// sends to one instance. Without this limit, too many concurrent requests would all
	// time out, and their bodies would exhaust memory.
	DefaultLimit = 80
)

// A Gate decides who may call at all, by the token in the URL.
type Gate interface {
	Check(ctx context.Context, token string) error
}

// A Verifier tells genuine deliveries from forged ones.
type Verifier interface {
	Verify(ctx context.Context, header http.Header, body []byte) (*webhook.Delivery, error)
}

// A Ledger calls do for a delivery that has not been processed yet.
type Ledger interface {
	Once(ctx context.Context, d *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error)
}

// A Publisher hands a delivery downstream, and returns when it is safe there.
type Publisher interface {
	Publish(ctx context.Context, d *webhook.Delivery) (webhook.Receipt, error)
}

// A Receiver receives the deliveries of one endpoint. Its fields are not to be
// changed in use. It is safe for concurrent use.
type Receiver struct {
	Endpoint  string // for the log
	Gate      Gate   // nil where the URL needs no token
	Verifier  Verifier
	Ledger    Ledger
	Publisher Publisher
	Log       *slog.Logger

	// Zero means the defaults.
	VerifyTimeout  time.Duration
	ProcessTimeout time.Duration
	Limit          int

	serving atomic.Int64 // requests under way, bounded by Limit
}

// ServeHTTP answers one request, and then logs one line about it.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	start := time.Now()
	deadline := start.Add(cmp.Or(r.VerifyTimeout, DefaultVerifyTimeout))
	connection := http.NewResponseController(w)
	_ = connection.SetReadDeadline(deadline) // a writer that cannot is a test's
	res := r.receive(w, req, deadline)
	a := answerTo(res.err)
	a.write(w)
	if !res.read {
		_ = connection.Flush() // net/http first reads the rest of the body: it is part of the latency
	}
	r.log(req, &res, a, time.Since(start))
}

// result is what became of a request.
type result struct {
	read     bool              // the body, as far as it came
	delivery *webhook.Delivery // nil unless genuine
	receipt  webhook.Receipt
	step     webhook.Step // that was reached: if err is set, the one that failed
	err      error
}

// receive walks a request through. Nothing stops when the sender hangs up: its
// retry finds the delivery done. A panic is a fault of ours like any other.
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

// verify reads the body and verifies it, the cheapest checks first. If the body takes
// more than half of the time and the keys then are not there in the rest, that is the
// body's fault: a stranger could make every refresh of the keys look like an outage
// otherwise.
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
	began := time.Now() // the gate's time is ours
	body, err := readBody(w, req)
	if err != nil {
		return err
	}
	slow := time.Since(began) > cmp.Or(r.VerifyTimeout, DefaultVerifyTimeout)/2
	res.step = webhook.StepSignature // what can fail there by our fault is a keyring
	res.delivery, err = r.Verifier.Verify(ctx, req.Header, body)
	if slow && ctx.Err() != nil && errors.Is(err, context.DeadlineExceeded) {
		return webhook.Refuse(webhook.BodySlow, "too little time was left for the keys: %v", err)
	}
	return err
}

// readBody reads the body into one piece of memory, without a copy if its length is
// known beforehand. Its time ends at the connection's read deadline.
func readBody(w http.ResponseWriter, req *http.Request) ([]byte, error) {
	if req.ContentLength > MaxBody {
		return nil, webhook.Refuse(webhook.BodyTooLarge, "%d bytes, of at most %d", req.ContentLength, MaxBody)
	}
	body, err := readAll(http.MaxBytesReader(w, req.Body, MaxBody), req.ContentLength)
	switch {
	case err == nil:
		_ = http.NewResponseController(w).SetReadDeadline(time.Time{}) // else it would end the connection in the middle of the work
		return body, nil
	case errors.As(err, new(*http.MaxBytesError)):
		return nil, webhook.Refuse(webhook.BodyTooLarge, "more than %d bytes", MaxBody)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, webhook.Refuse(webhook.BodySlow, "")
	}
	return nil, webhook.Refuse(webhook.BodyIncomplete, "body broke off")
}

func readAll(r io.Reader, length int64) ([]byte, error) {
	if length < 0 {
		return io.ReadAll(r)
	}
	body := make([]byte, length)
	_, err := io.ReadFull(r, body)
	return body, err
}
