// Package send signs events as Gemini does and posts them: once, many times, or
// until they are accepted.
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

// Options say what to send.
type Options struct {
	Type        string // of events; empty: all types in turn
	Body        []byte // sent instead of events; nil: none
	Count       int    // of deliveries; 0: one of each type in each scheme
	Concurrency int    // deliveries at a time, at least 1
	Retry       bool   // until accepted, for up to 24 hours
	FirstPause  time.Duration
	JSON        bool
}

// Run sends what o asks for to t and reports it on standard output. It returns
// terminal.ErrReported if a delivery was not accepted.
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
	_ = deliveries.Wait() // no error: the report has the failures
	if !s.report.summary() {
		return terminal.ErrReported
	}
	return nil
}

func (o *Options) body(eventType string) []byte {
	if o.Body != nil {
		return o.Body
	}
	return webhooktest.NewEvent(eventType)
}

type sender struct {
	Options
	client *http.Client
	report *report
}

// deliver sends a delivery, with Retry until it is accepted. Each attempt is signed
// anew, as Standard Webhooks asks: the id stays, the timestamp is the attempt's.
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

func (s *sender) attempt(ctx context.Context, a *delivery.Attempt) delivery.Answer {
	r, err := a.Request()
	if err != nil {
		return delivery.Answer{Err: err}
	}
	return delivery.Post(ctx, s.client, r)
}
