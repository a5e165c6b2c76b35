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
		panic(err) // it is valid
	}
	return &sender{
		secret: secret,
		key:    key,
		body:   webhooktest.NewEvent("video.generated"),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 128}},
	}
}

// deliver sends a delivery with an id. It returns the status, and the latency until the
// answer was read; signing is not part of that.
func (s *sender) deliver(ctx context.Context, url, id string) (status int, latency time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(s.body))
	if err != nil {
		return 0, 0, err
	}
	now := time.Now()
	req.Header = webhooktest.Header(id, now, webhook.SignV1(s.key, id, webhooktest.Timestamp(now), s.body))
	begin := time.Now()
	resp, err := s.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode, time.Since(begin), err
}

// An idSource returns the id of the next delivery, or "" after the last one. It is safe
// for concurrent use.
type idSource func() string

// during returns new ids for a time, at least one.
func during(d time.Duration) idSource {
	var begun atomic.Bool
	end := time.Now().Add(d)
	return func() string {
		if begun.Swap(true) && !time.Now().Before(end) {
			return ""
		}
		return webhooktest.NewID()
	}
}

// each returns each of ids once.
func each(ids []string) idSource {
	var next atomic.Int64
	return func() string {
		if i := int(next.Add(1)) - 1; i < len(ids) {
			return ids[i]
		}
		return ""
	}
}

func newIDs(n int) []string {
	ids := make([]string, n)
	for i := range ids {
		ids[i] = webhooktest.NewID()
	}
	return ids
}

// load sends deliveries, at of them at once, until next has no more ids. All of them must
// be accepted. It returns their latencies.
func (s *sender) load(ctx context.Context, r *process, at int, next idSource) ([]time.Duration, error) {
	var (
		mu  sync.Mutex
		all []time.Duration
	)
	workers, ctx := errgroup.WithContext(ctx)
	for range at {
		workers.Go(func() error {
			var mine []time.Duration
			for id := next(); id != ""; id = next() {
				status, latency, err := s.deliver(ctx, r.url, id)
				if err == nil && status != http.StatusNoContent {
					err = fmt.Errorf("status %d, want 204", status)
				}
				if err != nil {
					return err
				}
				mine = append(mine, latency)
			}
			mu.Lock()
			defer mu.Unlock()
			all = append(all, mine...)
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, r.fail(err)
	}
	return all, nil
}

// burst sends copies of one new delivery at once. It returns the time until the last
// answer, and the statuses. At least one copy must be accepted, except by the textbook,
// all of whose transactions may run out of attempts.
func (s *sender) burst(ctx context.Context, r *process) (last time.Duration, statuses []int, err error) {
	id := webhooktest.NewID()
	statuses = make([]int, copies)
	senders, ctx := errgroup.WithContext(ctx)
	begin := time.Now()
	for i := range copies {
		senders.Go(func() (err error) {
			statuses[i], _, err = s.deliver(ctx, r.url, id)
			return err
		})
	}
	if err := senders.Wait(); err != nil {
		return 0, nil, r.fail(err)
	}
	last = time.Since(begin)
	if r.name != textbook && count(statuses, http.StatusNoContent) == 0 {
		return 0, nil, r.fail(fmt.Errorf("no copy was accepted: statuses %v", statuses))
	}
	return last, statuses, nil
}
