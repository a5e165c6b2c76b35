package main

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A sender signs deliveries of one event and posts them over reused connections.
type sender struct {
	secret string
	sign   webhooktest.Signer
	body   []byte
	client *http.Client
}

func newSender() *sender {
	secret := webhooktest.NewSecret()
	return &sender{
		secret: secret,
		sign:   webhooktest.SignV1(secret),
		body:   webhooktest.NewEvent("video.generated"),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}},
	}
}

// deliver sends a delivery with an id. It returns the status, and the latency until the
// answer is read, without the time for signing.
func (s *sender) deliver(ctx context.Context, r *process, id string) (status int, latency time.Duration, err error) {
	m := webhooktest.Message{ID: id, Timestamp: webhooktest.Timestamp(time.Now()), Body: s.body, Sign: s.sign}
	req, err := m.Request(ctx, r.url)
	if err != nil {
		return 0, 0, err
	}
	begin := time.Now()
	resp, err := webhooktest.Do(s.client, req)
	if err != nil {
		return 0, 0, err
	}
	return resp.StatusCode, time.Since(begin), nil
}

// accept sends a delivery that must be accepted. Like Gemini, it retries after a 503,
// which a receiver on a slow machine may answer, but at most nine times. The latency is
// the sum of all attempts.
func (s *sender) accept(ctx context.Context, r *process, id string) (latency time.Duration, err error) {
	for attempt := 1; ; attempt++ {
		status, took, err := s.deliver(ctx, r, id)
		latency += took
		switch {
		case err != nil, status == http.StatusNoContent:
			return latency, err
		case status != http.StatusServiceUnavailable, attempt == 10:
			return latency, fmt.Errorf("status %d, want 204", status)
		}
	}
}

// during returns a function that returns new ids for a duration, at least one, and then
// "".
func during(d time.Duration) (next func() string) {
	var begun atomic.Bool
	end := time.Now().Add(d)
	return func() string {
		if begun.Swap(true) && !time.Now().Before(end) {
			return ""
		}
		return webhooktest.NewID()
	}
}

// numbered returns a function that returns n ids with a prefix, and then "".
func numbered(prefix string, n int) (next func() string) {
	var used atomic.Int64
	return func() string {
		if i := used.Add(1); i <= int64(n) {
			return fmt.Sprintf("%s-%d", prefix, i)
		}
		return ""
	}
}

// load sends deliveries with a concurrency of at until next returns "". All must be
// accepted. It returns their latencies.
func (s *sender) load(ctx context.Context, r *process, at int, next func() string) (latencies []time.Duration, err error) {
	var mu sync.Mutex
	workers, ctx := errgroup.WithContext(ctx)
	for range at {
		workers.Go(func() error {
			for id := next(); id != ""; id = next() {
				latency, err := s.accept(ctx, r, id)
				if err != nil {
					return r.fail(err)
				}
				mu.Lock()
				latencies = append(latencies, latency)
				mu.Unlock()
			}
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	return latencies, nil
}

// burst sends all copies of one new delivery at once. It returns the time until the
// last answer, and the number of answers by status.
func (s *sender) burst(ctx context.Context, r *process) (last time.Duration, answers map[int]int, err error) {
	var mu sync.Mutex
	answers = make(map[int]int)
	id := webhooktest.NewID()
	begin := time.Now()
	senders, ctx := errgroup.WithContext(ctx)
	for range copies {
		senders.Go(func() error {
			status, _, err := s.deliver(ctx, r, id)
			mu.Lock()
			defer mu.Unlock()
			answers[status]++
			return err
		})
	}
	if err := senders.Wait(); err != nil {
		return 0, nil, r.fail(err)
	}
	return time.Since(begin), answers, nil
}
