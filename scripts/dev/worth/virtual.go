package main

import (
	"context"
	"crypto/ed25519"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// patience bounds a run's wait for results after the end of the last job. It is longer
// than the reconciler's grace and several passes.
const patience = 4 * time.Hour

// Conditions are properties of the API that are not known, and so are varied.
type Conditions struct {
	Limit   int           // calls per minute that the API allows; 0: no limit
	Latency time.Duration // from a job's end to the first attempt at its delivery
}

// virtually runs a plan's jobs in one way, on virtual time. A call takes no time.
func virtually(t *testing.T, w way, plan []job, at pace, under Conditions) (f Figures) {
	t.Helper()
	t.Setenv("FIRESTORE_EMULATOR_HOST", "") // else the clients use sockets, and virtual time stops while a socket waits
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	synctest.Test(t, func(t *testing.T) {
		if err := inBubble(w, plan, at, under, &f); err != nil {
			t.Fatal(err)
		}
	})
	return f
}

func inBubble(w way, plan []job, at pace, under Conditions, f *Figures) error {
	api := geminitest.New(apiKey)
	defer api.Close()
	if under.Limit > 0 {
		api.Trouble = limiter(under.Limit)
	}
	cloud := newCloud()
	conn, stop, err := cloud.inMemory()
	if err != nil {
		return err
	}
	defer stop()
	ctx, end := context.WithCancel(context.Background())
	defer end()
	s := &side{
		meter: newMeter(geminitest.InMemory(api)), pace: at, api: mustParse("https://generativelanguage.googleapis.com"), cloud: conn,
		signing: webhooktest.NewSecret(), public: api.Keys.Ed25519(0).Public().(ed25519.PublicKey),
		hooks: http.NewServeMux(), hooksURL: mustParse("https://hooks.example/"), ctx: ctx,
	}
	if w.hooked {
		api.AddWithSecret(s.hooksURL.JoinPath(staticPath).String(), s.signing)
	}
	api.Deliveries = geminitest.InMemory(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		cloud.requests.Add(1)
		s.hooks.ServeHTTP(w, r)
	}))
	begin, err := w.open(s)
	if err != nil {
		return err
	}
	last := play(api, plan, w, under.Latency, s.hooksURL, begin)
	for s.count() < len(plan) && time.Since(last) < patience {
		time.Sleep(time.Minute)
	}
	end()
	s.running.Wait()
	*f = s.figures(w.name, countKinds(plan))
	f.Under, f.Cloud = under, cloud.billed()
	return nil
}

// play starts each job at its time, calls begin with it, and returns the end of the
// last job. A job's first delivery follows its end after latency.
func play(api *geminitest.API, plan []job, w way, latency time.Duration, hooks *url.URL, begin func(started)) (last time.Time) {
	from := time.Now()
	for _, j := range plan {
		time.Sleep(time.Until(from.Add(j.start)))
		as := j.Job
		if !w.faulty {
			as.Delivery = geminitest.Delivery{}
		}
		as.Delivery.After = latency
		if w.hooked && j.dynamic {
			as.Webhook = &geminitest.WebhookConfig{URIs: []string{hooks.JoinPath(dynamicPath).String()}}
		}
		s := started{Kind: j.kind, Ends: time.Now().Add(j.For)}
		switch j.kind {
		case geminitest.KindBatch:
			s.Name = api.StartBatch(as)
		case geminitest.KindInteraction:
			s.Name = api.StartInteraction(as)
		default:
			s.Name = api.StartVideo(as)
		}
		begin(s)
		if s.Ends.After(last) {
			last = s.Ends
		}
	}
	return last
}

// limiter returns a fault injector that answers 429 to calls over a limit per minute.
func limiter(perMinute int) func(call string) geminitest.Fault {
	var mu sync.Mutex
	var minute time.Time
	made := 0
	return func(string) geminitest.Fault {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now().Truncate(time.Minute); !now.Equal(minute) {
			minute, made = now, 0
		}
		if made++; made > perMinute {
			return geminitest.Fault{Status: http.StatusTooManyRequests, RetryAfter: -1}
		}
		return geminitest.Fault{}
	}
}

// countKinds counts a plan's jobs by kind.
func countKinds(plan []job) map[string]int {
	counts := make(map[string]int)
	for _, j := range plan {
		counts[j.kind]++
	}
	return counts
}
