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

// patience is how long a run waits for results after the last job has ended: longer than
// the reconciler's grace and a few passes.
const patience = 4 * time.Hour

// Conditions are what the stand-in cannot know of the API.
type Conditions struct {
	Limit   int           // calls a minute that the API allows; zero: any number
	Latency time.Duration // from the end of a job to the first attempt at its delivery
}

// virtually runs the jobs of a plan one way, on virtual time. A call takes no time.
func virtually(t *testing.T, w way, plan []job, at pace, under Conditions) (f Figures) {
	t.Helper()
	t.Setenv("FIRESTORE_EMULATOR_HOST", "") // the clients would dial them, and no bubble goes on while a socket waits
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

// play starts each job when its time has come, and returns the time at which the last
// one ends.
// The first attempt at a delivery follows after the latency.
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

// limiter refuses calls after so many in a minute.
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

// countKinds counts the jobs of a plan, by kind.
func countKinds(plan []job) map[string]int {
	counts := make(map[string]int)
	for _, j := range plan {
		counts[j.kind]++
	}
	return counts
}
