package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/command"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// deliver sends what the options ask for. It fails silently, since its output has
// said why, where a delivery was not taken.
func deliver(ctx context.Context, o *options, t *target) error {
	types := webhooktest.Types
	switch {
	case o.eventType != "":
		types = []string{o.eventType}
	case o.bodyFile != "":
		types = []string{""}
	}
	n := o.n
	if n == 0 {
		n = len(types) * len(t.schemes)
	}
	s := &sender{options: o, client: newClient(o.concurrency), report: newReport(o, n)}
	defer s.report.begin()()

	next := make(chan *attempt)
	var workers sync.WaitGroup
	for range min(o.concurrency, n) {
		workers.Go(func() {
			for a := range next {
				s.deliver(ctx, a)
			}
		})
	}
	for i := 0; i < n && ctx.Err() == nil; i++ {
		scheme := t.schemes[i/len(types)%len(t.schemes)]
		next <- t.attempt(scheme, o.bodyFor(types[i%len(types)]))
	}
	close(next)
	workers.Wait()
	if !s.report.summary() {
		return command.ErrSilent
	}
	return nil
}

func (o *options) bodyFor(eventType string) []byte {
	if o.bodyFile != "" {
		return o.body
	}
	return webhooktest.NewEvent(eventType)
}

type sender struct {
	options *options
	client  *http.Client
	report  *report
}

// deliver sends a delivery, with -retry until it is taken. Each attempt is signed
// anew, as Standard Webhooks asks: the id stays, the timestamp is the attempt's.
func (s *sender) deliver(ctx context.Context, a *attempt) {
	start := time.Now()
	for n := 1; ; n++ {
		a.timestamp = webhooktest.Timestamp(time.Now())
		got := s.attempt(ctx, a)
		again := pause(s.options.firstPause, n, got.retryAfter())
		if got.ok() || !s.options.retry || ctx.Err() != nil || time.Since(start)+again > giveUpAfter {
			s.report.result(a, got, 0)
			return
		}
		s.report.result(a, got, again)
		select {
		case <-time.After(again):
		case <-ctx.Done():
			s.report.result(a, answer{err: ctx.Err()}, 0)
			return
		}
	}
}

func (s *sender) attempt(ctx context.Context, a *attempt) answer {
	r, err := a.request()
	if err != nil {
		return answer{err: err}
	}
	return post(ctx, s.client, r)
}
