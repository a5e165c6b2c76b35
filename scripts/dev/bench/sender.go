package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A sender signs deliveries of one event and posts them over connections that it keeps.
type sender struct {
	secret string
	key    webhook.SigningKey
	body   []byte
	client *http.Client
}

func newSender() *sender {
	secret := webhooktest.NewSecret()
	key, err := webhook.ParseSigningKey([]byte(secret))
	if err != nil {
		panic(err) // it is one
	}
	return &sender{
		secret: secret,
		key:    key,
		body:   webhooktest.NewEvent("video.generated"),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}},
	}
}

// delivery returns a request that delivers an id.
func (s *sender) delivery(ctx context.Context, url, id string) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(s.body))
	if err != nil {
		return nil, err
	}
	now := time.Now()
	req.Header = webhooktest.Header(id, now, webhook.SignV1(s.key, id, webhooktest.Timestamp(now), s.body))
	return req, nil
}

// do sends a request, and returns the answer's status when the answer is read.
func (s *sender) do(req *http.Request) (status int, err error) {
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, err
}

// deliver sends a new delivery, which must be accepted, and returns how long that took.
func (s *sender) deliver(ctx context.Context, url string) (time.Duration, error) {
	req, err := s.delivery(ctx, url, webhooktest.NewID())
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	status, err := s.do(req)
	took := time.Since(begin)
	if err == nil && status != http.StatusNoContent {
		err = fmt.Errorf("answered %d", status)
	}
	return took, err
}

// A sample is what a receiver did.
type sample struct {
	latencies  []time.Duration
	cpuSeconds float64 // of the receiver
}

// load delivers, from as many workers as concurrency says, each as long as more holds.
func (s *sender) load(ctx context.Context, r *process, concurrency int, more func() bool) (sample, error) {
	var (
		mu  sync.Mutex
		all []time.Duration
	)
	workers, ctx := errgroup.WithContext(ctx)
	for range concurrency {
		workers.Go(func() error {
			var mine []time.Duration
			for more() {
				took, err := s.deliver(ctx, r.url)
				if err != nil {
					return err
				}
				mine = append(mine, took)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return sample{}, r.fail(err)
	}
	return sample{latencies: all}, nil
}

// during holds for a time, and once in any case.
func during(d time.Duration) (more func() bool) {
	var begun atomic.Bool
	end := time.Now().Add(d)
	return func() bool { return !begun.Swap(true) || time.Now().Before(end) }
}

// burst sends copies of one new delivery at once, and returns the time to the last answer, and how many answers there
// were by status. At least one copy must be accepted, and the others may be told to come again. The textbook may run out
// of attempts with all of them.
func (s *sender) burst(ctx context.Context, r *process, copies int) (took time.Duration, answers map[int]int, err error) {
	id := webhooktest.NewID()
	statuses := make([]int, copies)
	senders, ctx := errgroup.WithContext(ctx)
	begin := time.Now()
	for i := range copies {
		senders.Go(func() error {
			req, err := s.delivery(ctx, r.url, id)
			if err == nil {
				statuses[i], err = s.do(req)
			}
			return err
		})
	}
	if err := senders.Wait(); err != nil {
		return 0, nil, r.fail(err)
	}
	took = time.Since(begin)
	answers = make(map[int]int)
	for _, status := range statuses {
		answers[status]++
	}
	if r.name != textbook && answers[http.StatusNoContent] == 0 {
		return 0, nil, r.fail(fmt.Errorf("no copy was accepted: %v", statuses))
	}
	return took, answers, nil
}
