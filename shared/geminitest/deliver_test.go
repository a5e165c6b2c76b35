package geminitest

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// A receiver verifies the deliveries to it, and records them.
type receiver struct {
	t      *testing.T
	verify func(http.Header, []byte) error // set before the first delivery
	answer func() int                      // nil: 204

	mu  sync.Mutex
	got []received
}

type received struct {
	at    time.Time
	id    string
	event map[string]any
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, _ := io.ReadAll(req.Body)
	if err := r.verify(req.Header, body); err != nil {
		r.t.Errorf("delivered %s: %v", body, err)
	}
	var event map[string]any
	if err := json.Unmarshal(body, &event); err != nil {
		r.t.Error(err)
	}
	r.mu.Lock()
	r.got = append(r.got, received{time.Now(), req.Header.Get("Webhook-Id"), event})
	r.mu.Unlock()
	if r.answer != nil {
		w.WriteHeader(r.answer())
	}
}

// all returns the deliveries so far, in the order of arrival.
func (r *receiver) all() []received {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

// types returns the types of their events.
func (r *receiver) types() (types []string) {
	for _, d := range r.all() {
		types = append(types, d.event["type"].(string))
	}
	return types
}

// keyring is a webhook.Keyring of keys that do not change.
type keyring[K any] []K

func (r keyring[K]) Find(_ context.Context, match func(K) bool) (bool, error) {
	return slices.ContainsFunc(r, match), nil
}

// static lets deliveries to registered webhooks arrive at a receiver. It adds a
// webhook and returns its id.
func static(t *testing.T, a *API) (r *receiver, id string) {
	id = a.Add("https://example.com/static")
	key, err := webhook.ParseSigningKey([]byte(a.Secrets(id)[0]))
	if err != nil {
		t.Fatal(err)
	}
	verifier := &webhook.Static{Keys: keyring[webhook.SigningKey]{key}}
	r = &receiver{t: t, verify: func(h http.Header, body []byte) error {
		_, err := verifier.Verify(context.Background(), h, body)
		return err
	}}
	a.Deliveries = InMemory(r)
	return r, id
}

// At the end of a job, the webhook that is subscribed to the event gets a genuine
// delivery at once. It contains the job's name and its results. Ends without an event
// have no delivery.
func TestEvents(t *testing.T) {
	failed := Error{8, "Quota exceeded."}
	for _, test := range []struct {
		kind  string
		as    Job
		event string
		data  func(name string) map[string]any
	}{
		{KindBatch, Job{}, "batch.succeeded", func(name string) map[string]any {
			return map[string]any{"data.id": name, "data.output_file_uri": "files/batch-" + LastSegment(name)}
		}},
		{KindBatch, Job{Inline: true}, "batch.succeeded", func(name string) map[string]any {
			return map[string]any{"data.id": name, "data.output_file_uri": nil}
		}},
		{KindBatch, Job{End: BatchFailed, Error: failed}, "batch.failed", func(string) map[string]any {
			return map[string]any{"data.error_code": "8", "data.error_message": failed.Message}
		}},
		{KindBatch, Job{End: BatchExpired}, "batch.expired", nil},
		{KindBatch, Job{End: BatchCancelled}, "", nil}, // it cannot be subscribed to
		{KindInteraction, Job{}, "interaction.completed", func(name string) map[string]any {
			return map[string]any{"data.id": name, "user_metadata": nil}
		}},
		{KindInteraction, Job{End: InteractionFailed}, "interaction.failed", nil},
		{KindInteraction, Job{End: InteractionRequiresAction}, "interaction.requires_action", nil},
		{KindInteraction, Job{End: InteractionIncomplete}, "", nil},
		{KindVideo, Job{}, "video.generated", func(name string) map[string]any {
			file := "files/" + LastSegment(name)
			return map[string]any{"data.id": name, "data.file_name": file, "data.output_file_uri": base + "/v1beta/" + file + ":download?alt=media"}
		}},
		{KindVideo, Job{End: VideoFailed}, "", nil},
		{KindVideo, Job{End: VideoFiltered}, "", nil},
	} {
		bubble(t, func(t *testing.T, a *API, _ client) {
			r, _ := static(t, a)
			start := map[string]func(Job) string{KindBatch: a.StartBatch, KindInteraction: a.StartInteraction, KindVideo: a.StartVideo}
			test.as.For = time.Hour
			ends := time.Now().Add(time.Hour)
			name := start[test.kind](test.as)
			time.Sleep(2 * time.Hour)
			if test.event == "" {
				if got := r.types(); got != nil {
					t.Errorf("%s %s: delivered %v", test.kind, test.as.End, got)
				}
				return
			}
			if got := r.types(); !slices.Equal(got, []string{test.event}) || !r.all()[0].at.Equal(ends) {
				t.Fatalf("%s %s: delivered %v", test.kind, test.as.End, r.all())
			}
			want(t, r.all()[0].event, map[string]any{"version": "v1", "timestamp": ends.UTC().Format(time.RFC3339)})
			if test.data != nil {
				want(t, r.all()[0].event, test.data(name))
			}
			if state := a.Jobs()[0]; state.Event != test.event || len(state.Sent) != 1 || state.Sent[0].Status != 200 || state.Running {
				t.Errorf("state %+v", state)
			}
		})
	}
}

// Webhooks that are not subscribed or not enabled get no delivery.
func TestSubscribed(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, c client) {
		r, id := static(t, a)
		a.Disable(id)
		other := a.Add("https://example.com/other")
		c.ok("PATCH", "/webhooks/"+other, `{"subscribed_events":["video.generated"]}`)
		a.StartBatch(Job{})
		a.StartInteraction(Job{})
		time.Sleep(time.Hour)
		if got := r.types(); got != nil {
			t.Errorf("delivered %v", got)
		}
	})
}

// The event of a job with a webhook config goes to its URLs, signed by v1a, with its
// metadata, and not to registered webhooks. The URLs of a config get cancellations
// too.
func TestWebhookConfig(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, c client) {
		r, id := static(t, a)
		verifier := &webhook.Dynamic{Keys: keyring[webhook.PublicKey]{{Key: a.Keys.Ed25519(0).Public()}}}
		r.verify = func(h http.Header, body []byte) error {
			_, err := verifier.Verify(context.Background(), h, body)
			return err
		}
		a.EchoWebhookConfig = true
		config := &WebhookConfig{URIs: []string{"https://example.com/a", "https://example.com/b"}, UserMetadata: map[string]any{"group": "nightly"}}
		name := a.StartBatch(Job{For: time.Hour, Webhook: config})
		want(t, c.ok("GET", "/"+name, ""), map[string]any{"metadata.webhookConfig.userMetadata.group": "nightly"})
		c.ok("POST", "/"+name+":cancel", "")
		time.Sleep(time.Hour)
		if got := r.types(); !slices.Equal(got, []string{"batch.cancelled", "batch.cancelled"}) || r.all()[0].id == r.all()[1].id {
			t.Fatalf("delivered %v", r.all())
		}
		want(t, r.all()[0].event, map[string]any{"user_metadata.group": "nightly", "data.id": name})
		if a.IDs()[0] != id {
			t.Error("the registered webhook is gone")
		}
	})
}

// An interaction can require an action several times.
func TestContinue(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, _ client) {
		r, _ := static(t, a)
		id := a.StartInteraction(Job{For: time.Hour, End: InteractionRequiresAction})
		time.Sleep(2 * time.Hour)
		a.Continue(id, time.Hour, InteractionRequiresAction)
		time.Sleep(2 * time.Hour)
		a.Continue(id, time.Hour, "")
		time.Sleep(2 * time.Hour)
		if got := r.types(); !slices.Equal(got, []string{"interaction.requires_action", "interaction.requires_action", "interaction.completed"}) {
			t.Errorf("delivered %v", got)
		}
	})
}

// A rejected delivery is repeated for 24 hours with the same webhook-id. The pause
// doubles each time.
func TestRetries(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, _ client) {
		r, _ := static(t, a)
		r.answer = func() int { return 503 }
		start := time.Now()
		a.StartBatch(Job{})
		time.Sleep(100 * time.Hour)
		for i, d := range r.all() {
			if after := d.at.Sub(start); d.id != r.all()[0].id || after != 5*time.Second*(1<<i-1) {
				t.Errorf("attempt %d after %v, %s", i, after, d.id)
			}
		}
		if n := len(r.all()); n != 15 || r.all()[14].at.Sub(start) > keepTrying {
			t.Errorf("%d attempts", n)
		}
	})
}

// Consecutive failures disable a webhook, which ends its deliveries. Events of jobs
// that end while it is disabled are not delivered, even if it is enabled later.
func TestDisabled(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, c client) {
		r, id := static(t, a)
		var status atomic.Int64
		status.Store(503)
		r.answer = func() int { return int(status.Load()) }
		a.DisableAfter = 3
		a.StartBatch(Job{})
		time.Sleep(12 * time.Second) // two failures: after 0 s and 5 s
		status.Store(204)
		time.Sleep(time.Hour) // a success resets the count
		status.Store(503)
		a.StartVideo(Job{})
		time.Sleep(12 * time.Second)
		want(t, c.ok("GET", "/webhooks/"+id, ""), map[string]any{"state": "enabled"})
		time.Sleep(24 * time.Hour)
		want(t, c.ok("GET", "/webhooks/"+id, ""), map[string]any{"state": "disabled_due_to_failed_deliveries"})
		if n := len(r.all()); n != 6 {
			t.Errorf("%d attempts", n)
		}
		status.Store(204)
		a.StartInteraction(Job{})
		time.Sleep(time.Minute)
		c.ok("PATCH", "/webhooks/"+id, `{"state":"enabled"}`)
		time.Sleep(24 * time.Hour)
		a.StartBatch(Job{End: BatchFailed})
		time.Sleep(time.Minute)
		if got := r.types()[6:]; !slices.Equal(got, []string{"batch.failed"}) {
			t.Errorf("delivered %v", got)
		}
	})
}

// A delivery can be missing, duplicated, or late and so out of order.
func TestDeliveryFaults(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, _ client) {
		r, _ := static(t, a)
		start := time.Now()
		a.StartBatch(Job{Delivery: Delivery{Never: true}})
		lost := a.StartVideo(Job{For: time.Hour})
		a.StartInteraction(Job{Delivery: Delivery{After: 2 * time.Hour}})
		a.StartBatch(Job{End: BatchExpired, Delivery: Delivery{Twice: true}})
		if !a.Lose(lost) || a.Lose("models/m/operations/x") {
			t.Error("Lose stops the wrong job")
		}
		time.Sleep(24 * time.Hour)
		if got := r.types(); !slices.Equal(got, []string{"batch.expired", "batch.expired", "interaction.completed"}) {
			t.Fatalf("delivered %v", got)
		}
		if r.all()[0].id != r.all()[1].id || r.all()[2].at.Sub(start) != 2*time.Hour {
			t.Errorf("delivered %v", r.all())
		}
	})
}

// The unknown properties of events can be chosen.
func TestEventForms(t *testing.T) {
	for want, form := range map[string]func(string) string{
		"models/veo/operations/x": Whole, "operations/x": Operation, "x": LastSegment,
	} {
		if got := form("models/veo/operations/x"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := Operation("batches/x"); got != "batches/x" {
		t.Error(got)
	}
	bubble(t, func(t *testing.T, a *API, _ client) {
		r, _ := static(t, a)
		a.EventID = LastSegment
		a.ChangeEvent = func(event map[string]any) {
			data := event["data"].(map[string]any)
			data["video_uri"] = data["output_file_uri"]
			delete(data, "output_file_uri")
		}
		name := a.StartVideo(Job{})
		time.Sleep(time.Minute)
		want(t, r.all()[0].event, map[string]any{
			"data.id": LastSegment(name), "data.output_file_uri": nil,
			"data.video_uri": base + "/v1beta/files/" + LastSegment(name) + ":download?alt=media"})
	})
}

// Close cancels deliveries that are due later, and one in progress. The bubble fails
// if a goroutine still runs.
func TestClose(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, _ client) {
		r, _ := static(t, a)
		r.answer = func() int { time.Sleep(10 * time.Second); return 503 }
		a.StartVideo(Job{For: 100 * time.Hour})
		a.StartBatch(Job{})
		time.Sleep(time.Second)
		a.Close()
		a.StartBatch(Job{})
		time.Sleep(200 * time.Hour)
		if got := r.types(); len(got) != 1 {
			t.Errorf("delivered %v", got)
		}
	})
}
