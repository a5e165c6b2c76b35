// Package send signs events as Gemini does and posts them to a receiver, once,
// repeatedly, or until they are accepted.
package send

import (
	"context"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Options select the deliveries to send.
type Options struct {
	Type        string        // the events' type; empty means all types in turn
	Body        []byte        // sent instead of generated events; nil means generate events
	Count       int           // deliveries; 0 means one of each type in each scheme
	Concurrency int           // maximum number of deliveries in flight, at least 1
	Retry       bool          // retry until accepted, for up to 24 hours
	FirstPause  time.Duration // with Retry: the pause after the first attempt, more than 0
	JSON        bool          // report in JSON lines
}

// Run sends deliveries to t and reports each on standard output. A delivery is accepted
// if the answer is 2xx. If a delivery is not accepted, Run returns
// terminal.ErrReported.
func Run(ctx context.Context, t *delivery.Target, o Options) error {
	types := webhooktest.Types
	switch {
	case o.Type != "":
		types = []string{o.Type}
	case o.Body != nil:
		types = []string{""}
	}
	n := o.Count
	if n == 0 {
		n = len(types) * len(t.Schemes)
	}
	s := &sender{Options: o, client: delivery.NewClient(o.Concurrency), report: newReport(o.JSON, n)}

	var deliveries errgroup.Group
	deliveries.SetLimit(o.Concurrency)
	for i := 0; i < n && ctx.Err() == nil; i++ {
		scheme := t.Schemes[i/len(types)%len(t.Schemes)]
		a := t.Attempt(scheme, o.body(types[i%len(types)]))
		deliveries.Go(func() error {
			s.deliver(ctx, a)
			return nil
		})
	}
	_ = deliveries.Wait() // always nil: failures are in the report
	if !s.report.summary() {
		return terminal.ErrReported
	}
	return nil
}

// body returns the body of a delivery: Body, or a new event of the type.
func (o *Options) body(eventType string) []byte {
	if o.Body != nil {
		return o.Body
	}
	return webhooktest.NewEvent(eventType)
}

// A sender sends the deliveries of one run.
type sender struct {
	Options
	client *http.Client
	report *report
}

// deliver sends a delivery, and with Retry repeats it until it is accepted. Each
// attempt has the same id and a new timestamp and signature, as Standard Webhooks
// requires.
func (s *sender) deliver(ctx context.Context, a *delivery.Attempt) {
	start := time.Now()
	for n := 1; ; n++ {
		a.Timestamp = webhooktest.Timestamp(time.Now())
		got := s.attempt(ctx, a)
		again := pause(s.FirstPause, n, got.RetryAfter())
		if got.OK() || !s.Retry || ctx.Err() != nil || time.Since(start)+again > giveUpAfter {
			s.report.result(a, got, 0)
			return
		}
		s.report.result(a, got, again)
		select {
		case <-time.After(again):
		case <-ctx.Done():
			s.report.result(a, delivery.Answer{Err: ctx.Err()}, 0)
			return
		}
	}
}

// attempt makes one attempt.
func (s *sender) attempt(ctx context.Context, a *delivery.Attempt) delivery.Answer {
	r, err := a.Request()
	if err != nil {
		return delivery.Answer{Err: err}
	}
	return delivery.Post(ctx, s.client, r)
}
