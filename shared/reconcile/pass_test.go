package reconcile

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/webhook"
)

// If a batch has no delivery, its event is published after the grace, once, with the
// source of reconciled events.
func TestMissedBatch(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.api.add("a1", succeeded, 0)
		if s := w.pass(r); s.Pending != 1 || s.Missed != 0 || s.Jobs != 1 || !s.WebhookOK || s.WebhookState != "enabled" || s.Calls != 2 {
			t.Errorf("within the grace: %+v", s)
		}
		w.want()
		time.Sleep(time.Hour)
		w.log.take(t, "")
		if s := w.pass(r); s.Missed != 1 || s.HandedOver != 1 || s.Pending != 0 || s.Deferred != 0 {
			t.Errorf("after it: %+v", s)
		}
		got := w.messages()
		if len(got) != 1 || got[0].eventType != "batch.succeeded" || got[0].subject != "batches/a1" || got[0].scheme != "api" ||
			got[0].source != "//generativelanguage.googleapis.com/webhooks/reconciled" {
			t.Errorf("%+v", got)
		}
		lines := w.log.take(t, "missed job")
		if len(lines) != 1 || lines[0]["kind"] != "batch" || lines[0]["job"] != "batches/a1" || lines[0]["ce_type"] != "batch.succeeded" ||
			lines[0]["action"] != "handed_over" || lines[0]["ended"] == nil {
			t.Errorf("logged %v", lines)
		}
		w.took("RunQuery")
		for range 3 {
			if s := w.pass(r); s.Missed != 0 || s.Delivered != 1 {
				t.Errorf("afterwards: %+v", s)
			}
		}
		if n := w.took("RunQuery"); n != 3*2 { // the notes and the open jobs
			t.Errorf("%d queries in three passes, want 6: the records of a delivered batch are read again", n)
		}
		if s := w.pass(w.reconciler()); s.Missed != 0 || s.Delivered != 1 { // another instance
			t.Errorf("another instance: %+v", s)
		}
		w.want()
	})
}

// A job that Gemini delivered is not published, in whichever form the delivery names
// it. Its record is read once.
func TestDelivered(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.api.add("a1", succeeded, 2*time.Hour)
		w.api.add("a2", "BATCH_STATE_FAILED", 3*time.Hour)
		w.deliver("batch.succeeded", "batches/a1")
		w.deliver("batch.failed", "a2")
		w.messages()
		w.took("RunQuery")
		for i, want := range []int{3, 2, 2} {
			if s := w.pass(r); s.Delivered != 2 || s.Missed != 0 {
				t.Errorf("unexpected summary: %+v", s)
			}
			if n := w.took("RunQuery"); n != want {
				t.Errorf("pass %d: %d queries, want %d", i, n, want)
			}
		}
		w.want()
	})
}

// A record in state claimed does not count as a delivery.
func TestClaimedIsNotDelivered(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		r.Mode = Publish
		w.api.add("a1", succeeded, 2*time.Hour)
		body := []byte(`{"type":"batch.succeeded","data":{"id":"batches/a1"}}`)
		d := &webhook.Delivery{Endpoint: "static", ID: "x", Body: body, Event: webhook.ParseEvent(body)}
		_, err := w.ledger.Once(w.t.Context(), d, func(context.Context) (webhook.Receipt, error) { return webhook.Receipt{}, errBroken })
		if err != errBroken {
			t.Fatal(err)
		}
		w.pass(r)
		w.want("batch.succeeded batches/a1")
	})
}

func TestWindow(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.api.add("old", succeeded, 48*time.Hour+time.Minute)
		w.api.add("oldest", succeeded, 48*time.Hour-time.Minute)
		w.api.add("newest", succeeded, time.Hour)
		w.api.add("young", succeeded, time.Hour-time.Minute)
		w.api.add("cancelled", "BATCH_STATE_CANCELLED", 2*time.Hour)
		w.api.add("running", "BATCH_STATE_RUNNING", 2*time.Hour)
		w.api.batches = append(w.api.batches, gemini.Batch{Name: "batches/odd", State: "BATCH_STATE_PAUSED", Updated: time.Now()},
			gemini.Batch{Name: "files/x"}, gemini.Batch{Name: "batches/.."})
		s := w.pass(r)
		if s.Jobs != 5 || s.Pending != 2 || s.HandedOver != 2 || s.Reported != 3 {
			t.Errorf("unexpected summary: %+v", s)
		}
		w.want("batch.succeeded batches/oldest", "batch.succeeded batches/newest")
	})
}

// A batch is ours if one of its own URLs is ours, or if it has no URLs and our
// webhook is subscribed to its event.
func TestOwners(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		r.DynamicURL = mustURL("https://hooks.example/dynamic")
		w.api.webhooks[0].Events = []string{"batch.succeeded"}
		w.api.add("subscribed", succeeded, 2*time.Hour)
		w.api.add("not-subscribed", "BATCH_STATE_FAILED", 2*time.Hour)
		w.api.add("foreign", succeeded, 2*time.Hour)
		w.api.batches[0].URIs = []string{"https://other.example/"}
		w.api.add("dynamic", "BATCH_STATE_FAILED", 2*time.Hour)
		w.api.batches[0].URIs = []string{"https://hooks.example/dynamic?token=x"}
		if s := w.pass(r); s.Foreign != 1 || s.Jobs != 2 {
			t.Errorf("unexpected summary: %+v", s)
		}
		w.want("batch.succeeded batches/subscribed", "batch.failed batches/dynamic")

		// Without a project-level webhook, only batches with our URL are ours.
		r = w.reconciler()
		r.StaticURL, r.DynamicURL = nil, mustURL("https://hooks.example/dynamic")
		if s := w.pass(r); s.Jobs != 1 || s.Delivered != 1 || !s.WebhookOK || s.WebhookState != "" {
			t.Errorf("unexpected summary: %+v", s)
		}
		if n := w.took("Webhooks"); n != 1 {
			t.Errorf("%d calls of Webhooks, want 1, of the first pass", n)
		}
	})
}

func TestWebhookStates(t *testing.T) {
	for _, state := range []string{"enabled", "disabled", "disabled_due_to_failed_deliveries", "missing", "paused"} {
		inWorld(t, func(w *world) {
			r := w.reconciler()
			w.api.webhooks[0].State = state
			if state == "missing" {
				w.api.webhooks = []gemini.Webhook{{ID: "x", URI: "https://other.example/", State: "enabled", Events: allEvents}}
			}
			w.api.add("a", succeeded, 2*time.Hour)
			s := w.pass(r)
			if s.WebhookState != state || s.WebhookOK != (state == "enabled") {
				t.Errorf("webhook %s: unexpected summary: %+v", state, s)
			}
			if state != "missing" { // a disabled webhook has no deliveries, so its events are published here
				w.want("batch.succeeded batches/a")
			}
			if len(w.api.enabled) > 0 {
				t.Errorf("%s: the webhook was enabled although Reenable is false", state)
			}
			line := w.log.take(t, "pass")[0]
			if line["webhook_ok"] != (state == "enabled") || (line["level"] == "WARN") != (state != "enabled" || s.Missed > 0) {
				t.Errorf("%s: %v", state, line)
			}
		})
	}
}

// A webhook that Gemini disabled is enabled at most once in six hours, also by
// several instances. A webhook that a user disabled is never enabled.
func TestReenable(t *testing.T) {
	inWorld(t, func(w *world) {
		w.api.webhooks = []gemini.Webhook{{ID: "w7", URI: staticURL, State: gemini.DisabledByFailures, Events: allEvents}}
		for range 13 * 6 { // 13 hours: at 0, 6 and 12
			var both sync.WaitGroup
			for range 2 {
				r := w.reconciler()
				r.Reenable = true
				both.Go(func() { w.pass(r) })
			}
			both.Wait()
			time.Sleep(10 * time.Minute)
		}
		if !slices.Equal(w.api.enabled, []string{"w7", "w7", "w7"}) {
			t.Errorf("enabled %v", w.api.enabled)
		}
		w.api.webhooks[0].State, w.api.enabled = gemini.Disabled, nil
		time.Sleep(24 * time.Hour)
		r := w.reconciler()
		r.Reenable = true
		w.pass(r)
		if w.api.enabled != nil {
			t.Error("a webhook that a user disabled was enabled")
		}
	})
}

// Reading the list ends at a page that is too old, at a repeated token, and at
// maxPages. If a page fails, the pages before it count.
func TestPages(t *testing.T) {
	at := func(ago time.Duration, id string) gemini.Batch {
		end := time.Now().Add(-ago)
		return gemini.Batch{Name: "batches/" + id, State: succeeded, Created: end, Updated: end}
	}
	t.Run("old", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.api.pageSize = 2
			for _, hours := range []int{2, 90, 97, 98, 99, 100} {
				w.api.batches = append(w.api.batches, at(time.Duration(hours)*time.Hour, fmt.Sprint(hours)))
			}
			if s := w.pass(w.reconciler()); s.Truncated || w.took("Batches") != 2 {
				t.Errorf("unexpected summary: %+v", s)
			}
		})
	})
	for name, next := range map[string]func(string) string{
		"twice": func(string) string { return "again" },
		"bound": func(token string) string { return token + "x" },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				w.api.page = func(token string) gemini.BatchPage {
					return gemini.BatchPage{Next: next(token), Malformed: 1, Batches: []gemini.Batch{at(2*time.Hour, "same")}}
				}
				s := w.pass(w.reconciler())
				if n := w.took("Batches"); !s.Truncated || n != map[string]int{"twice": 2, "bound": maxPages}[name] || s.HandedOver != 1 || s.Reported != n {
					t.Errorf("%+v after %d pages", s, n)
				}
			})
		})
	}
	t.Run("failure", func(t *testing.T) {
		inWorld(t, func(w *world) {
			w.api.pageSize = 1
			w.api.add("second", succeeded, 2*time.Hour)
			w.api.add("first", succeeded, 2*time.Hour)
			var n int
			w.setFault(func(_ context.Context, call string, do func() error) error {
				if call == "Batches" {
					if n++; n == 2 {
						return gemini.ErrTooLarge
					}
				}
				return do()
			})
			if s := w.pass(w.reconciler()); s.Complete || !s.Truncated || s.HandedOver != 1 {
				t.Errorf("unexpected summary: %+v", s)
			}
			w.want("batch.succeeded batches/first")
		})
	})
}

// The API is called for a registered job after its grace, first in each pass, later
// at growing intervals.
func TestRegisteredJob(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.start("v1_abc..")
		w.api.interactions["v1_abc.."] = gemini.Interaction{Status: "in_progress", Updated: time.Now()}
		var asked []string
		start := time.Now()
		for range 12 * 6 { // 12 hours
			w.pass(r)
			if w.took("Interaction") > 0 {
				asked = append(asked, time.Since(start).Round(10*time.Minute).String())
			}
			time.Sleep(10*time.Minute - w.register.Patience)
		}
		if len(asked) < 13+9 || len(asked) > 13+14 || asked[0] != "1h0m0s" || asked[12] != "3h0m0s" {
			t.Errorf("API calls after %v", asked)
		}
		w.api.interactions["v1_abc.."] = gemini.Interaction{Status: "completed", Updated: time.Now().Truncate(time.Second)}
		for range 6 * 6 {
			w.pass(r)
			time.Sleep(10 * time.Minute)
		}
		w.want("interaction.completed v1_abc..")
		if open := w.open(); len(open) != 0 {
			t.Errorf("open jobs are %v", open)
		}
	})
}

// The API is not called for a registered job that was delivered.
func TestRegisteredAndDelivered(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.start("v1_abc..", videoName)
		w.pass(r)
		w.deliver("interaction.completed", "v1_abc..")
		w.deliver("video.generated", "s2a8kyx4kgcs")
		w.messages()
		time.Sleep(time.Hour)
		if s := w.pass(r); s.Delivered != 2 || s.Jobs != 2 || s.Calls != 2 {
			t.Errorf("unexpected summary: %+v", s)
		}
		w.want()
		if s := w.pass(r); s.Jobs != 0 {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// The API does not report when a video ended, so its grace counts from the first pass
// that saw the end.
func TestVideos(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.start("models/veo/operations/good", "models/veo/operations/filtered", "models/veo/operations/failed")
		w.pass(r)
		time.Sleep(time.Hour)
		w.api.operations["models/veo/operations/good"] = gemini.Operation{Done: true, Video: "https://x/files/f:download"}
		w.api.operations["models/veo/operations/filtered"] = gemini.Operation{Done: true, Filtered: 1}
		w.api.operations["models/veo/operations/failed"] = gemini.Operation{Done: true, Error: gemini.APIError{Code: "3"}}
		seen := time.Now()
		if s := w.pass(r); s.Pending != 3 || s.Missed != 0 {
			t.Errorf("unexpected summary: %+v", s)
		}
		w.want()
		time.Sleep(time.Hour)
		w.log.take(t, "")
		if s := w.pass(r); s.Missed != 1 || s.HandedOver != 3 {
			t.Errorf("video.failed, which Gemini never sends, counts as missed: %+v", s)
		}
		if lines := w.log.take(t, "event without a delivery"); len(lines) != 2 {
			t.Errorf("logged %v", lines)
		}
		for _, m := range w.messages() {
			if at := webhook.ParseEvent([]byte(m.data)).Time; at.Before(seen) || at.After(seen.Add(time.Minute)) {
				t.Errorf("%+v: ended %v, want about %v", m, at, seen)
			}
		}
	})
}

// A job is lost after five answers 404 or 403 over at least an hour, in passes in
// which another API call succeeded.
func TestLostJobs(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.start("v1_gone", "v1_back")
		w.pass(r)
		time.Sleep(time.Hour)
		revoked := true
		w.setFault(func(_ context.Context, call string, do func() error) error {
			if _, api := map[string]bool{"Webhooks": true, "Batches": true, "Interaction": true}[call]; api && revoked {
				return &gemini.StatusError{Status: 403}
			}
			return do()
		})
		for range 144 { // a day
			if s := w.pass(r); s.Lost != 0 || s.Complete {
				t.Fatalf("a revoked key: %+v", s)
			}
			time.Sleep(10 * time.Minute)
		}
		revoked = false
		w.log.take(t, "")
		lost := 0
		for i := range 10 * 6 {
			if i == 6 {
				w.api.interactions["v1_back"] = gemini.Interaction{Status: "in_progress"}
			}
			s := w.pass(r)
			if lost += s.Lost; lost > 0 && i < 6 {
				t.Errorf("lost after %d passes", i)
			}
			time.Sleep(10 * time.Minute)
		}
		lines := w.log.take(t, "lost job")
		if lost != 1 || len(lines) != 1 || lines[0]["job"] != "interactions/v1_gone" || lines[0]["kind"] != "interaction" || !strings.Contains(fmt.Sprint(lines[0]["status"]), "404") {
			t.Errorf("lost %d, logged %v", lost, lines)
		}
		if open := w.open(); len(open) != 1 || open["interactions/v1_back"].Misses != 0 {
			t.Errorf("open jobs are %+v", open)
		}
		w.want()
	})
}

// A required action that waits for longer than the retention of records is published
// once.
func TestLongAction(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.start("v1_a")
		w.api.interactions["v1_a"] = gemini.Interaction{Status: "requires_action", Updated: time.Now()}
		for i := range 10 * 24 * 2 {
			if i == 4*24*2 {
				w.forget()
			}
			w.pass(r)
			time.Sleep(30 * time.Minute)
		}
		w.want("interaction.requires_action v1_a")
		if len(w.open()) != 1 {
			t.Error("the job is not open any more")
		}
	})
}

// If no pass ran for longer than the retention of records, a delivered job looks like
// a missed one. In mode auto its event is held for a person to decide.
func TestSeenLate(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.start("v1_a", videoName, "models/veo/operations/failed")
		w.pass(r)
		w.api.interactions["v1_a"] = gemini.Interaction{Status: "completed", Updated: time.Now()}
		w.api.operations[videoName] = gemini.Operation{Done: true, Video: "u"}
		w.api.operations["models/veo/operations/failed"] = gemini.Operation{Done: true}
		w.deliver("interaction.completed", "v1_a")
		w.deliver("video.generated", videoName)
		w.messages()
		time.Sleep(100 * time.Hour)
		w.forget()
		w.pass(r)
		time.Sleep(2 * time.Hour)
		w.log.take(t, "")
		if s := w.pass(r); s.Held != 2 || s.HandedOver != 1 {
			t.Errorf("unexpected summary: %+v", s)
		}
		if lines := w.log.take(t, "missed job"); len(lines) != 2 || !strings.Contains(fmt.Sprint(lines[0]["reason"]), "look-back") {
			t.Errorf("logged %v", lines)
		}
		w.want("video.failed models/veo/operations/failed")
		r.Mode = Publish
		time.Sleep(2 * time.Hour)
		if s := w.pass(r); s.Held != 0 || s.HandedOver != 2 || len(w.open()) != 0 {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// A job that requires an action stays open, because it may require another one.
func TestRequiresAction(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.start("v1_a")
		act := func() {
			w.api.interactions["v1_a"] = gemini.Interaction{Status: "requires_action", Updated: time.Now().Truncate(time.Second)}
		}
		hours := func(n int) {
			for range n * 6 {
				w.pass(r)
				time.Sleep(10 * time.Minute)
			}
		}
		act()
		w.deliver("interaction.requires_action", "v1_a")
		w.messages()
		hours(4)
		w.want()
		act() // without a delivery
		hours(6)
		w.want("interaction.requires_action v1_a")
		act()
		hours(6)
		w.want("interaction.requires_action v1_a")
		w.api.interactions["v1_a"] = gemini.Interaction{Status: "failed", Updated: time.Now().Truncate(time.Second)}
		hours(6)
		w.want("interaction.failed v1_a")
		if len(w.open()) != 0 {
			t.Error("the job is still open after its end")
		}
	})
}

// If deliveries of a kind arrive and none names a known job, the events of the kind
// are held. The first delivery that names a known job ends this for good.
func TestHold(t *testing.T) {
	inWorld(t, func(w *world) {
		w.api.add("a1", succeeded, 2*time.Hour)
		w.deliver("batch.succeeded", "projects/1/batches/a1")
		w.start("v1_a")
		w.api.interactions["v1_a"] = gemini.Interaction{Status: "completed", Updated: time.Now()}
		w.messages()
		r := w.reconciler()
		s := w.pass(r)
		if s.Missed != 1 || s.Held != 1 || s.HandedOver != 0 {
			t.Errorf("unexpected summary: %+v", s)
		}
		lines := w.log.take(t, "missed job")
		if len(lines) != 1 || lines[0]["action"] != "held" || !strings.Contains(fmt.Sprint(lines[0]["reason"]), "data.id") {
			t.Errorf("logged %v", lines)
		}
		time.Sleep(2 * time.Hour)
		if s = w.pass(r); s.Held != 1 || s.HandedOver != 1 {
			t.Errorf("an event of another kind: %+v", s)
		}
		w.want("interaction.completed v1_a")

		// A delivery within the grace shows the form.
		w.api.add("a2", succeeded, time.Minute)
		w.deliver("batch.succeeded", "a2")
		w.messages()
		if s = w.pass(r); s.Held != 0 || s.HandedOver != 1 {
			t.Errorf("unexpected summary: %+v", s)
		}
		w.want("batch.succeeded a1") // in the form of the delivery
		time.Sleep(100 * time.Hour)  // its records have expired
		w.api.add("a3", succeeded, 2*time.Hour)
		w.deliver("batch.succeeded", "who/knows")
		w.messages()
		if s = w.pass(w.reconciler()); s.Held != 0 || s.HandedOver != 1 {
			t.Errorf("the stored form was not used: %+v", s)
		}
		w.want("batch.succeeded a3")
	})
}

// A Reconciler whose Mode was not set holds the events that Auto holds.
func TestModeZeroHolds(t *testing.T) {
	inWorld(t, func(w *world) {
		w.api.add("a1", succeeded, 2*time.Hour)
		w.deliver("batch.succeeded", "who/knows")
		r := w.reconciler()
		r.Mode = ""
		if s := w.pass(r); s.Missed != 1 || s.Held != 1 || s.HandedOver != 0 {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// If Gemini has never delivered an event of the kind, events are not held. Events
// that passes published do not count as deliveries.
func TestNoHold(t *testing.T) {
	inWorld(t, func(w *world) {
		for i := range 3 {
			w.api.add(fmt.Sprint("a", i), succeeded, 2*time.Hour)
			if s := w.pass(w.reconciler()); s.Held != 0 || s.HandedOver != 1 {
				t.Errorf("unexpected summary: %+v", s)
			}
		}
		w.deliver("batch.succeeded", "who/knows") // Gemini's first delivery
		w.api.add("a9", succeeded, 2*time.Hour)
		if s := w.pass(w.reconciler()); s.Held != 1 || s.HandedOver != 0 {
			t.Errorf("events of passes count as Gemini's deliveries: %+v", s)
		}
	})
}

// A record of another kind is not a delivery of a job with the same id.
func TestSameIDs(t *testing.T) {
	inWorld(t, func(w *world) {
		w.api.add("a1", succeeded, 2*time.Hour)
		w.deliver("video.generated", "a1")
		w.messages()
		w.pass(w.reconciler())
		w.want("batch.succeeded batches/a1")
	})
}

// If a form cannot be stored, its job is not settled, so that the next pass finds the
// form again.
func TestUnnotedForm(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.start("v1_a", "v1_b")
		w.pass(r)
		w.deliver("interaction.completed", "v1_a")
		w.api.add("a1", succeeded, 2*time.Hour)
		w.deliver("batch.succeeded", "a1")
		w.api.interactions["v1_b"] = gemini.Interaction{Status: "completed", Updated: time.Now()}
		w.messages()
		time.Sleep(time.Hour)
		w.api.interactions["v1_b"] = gemini.Interaction{Status: "completed", Updated: time.Now().Add(-time.Minute)}
		r.Register = noNotes{w.register}
		if s, _ := r.Run(w.t.Context()); s.Complete || s.Delivered != 2 {
			t.Errorf("unexpected summary: %+v", s)
		}
		r.Register = w.register
		time.Sleep(time.Hour)
		w.api.add("a2", succeeded, 2*time.Hour)
		if s := w.pass(r); s.Held != 0 || s.HandedOver != 2 {
			t.Errorf("unexpected summary: %+v", s)
		}
		w.want("batch.succeeded a2", "interaction.completed v1_b")
	})
}

// noNotes is a register in which NoteForm fails.
type noNotes struct{ Register }

func (noNotes) NoteForm(context.Context, jobs.Kind, string, string) error { return errBroken }

// If the ledger or the notes cannot be read, no event is published that may have been
// delivered.
func TestCaution(t *testing.T) {
	for name, change := range map[string]func(r *Reconciler){
		"records": func(r *Reconciler) { r.Mode, r.Ledger = Publish, brokenLedger{Ledger: r.Ledger, done: true} },
		"types":   func(r *Reconciler) { r.Ledger = brokenLedger{Ledger: r.Ledger, any: true} },
		"notes":   func(r *Reconciler) { r.Register = unreadNotes{r.Register} },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				r := w.reconciler()
				w.api.add("a1", succeeded, 2*time.Hour)
				change(r)
				if s, _ := r.Run(w.t.Context()); s.HandedOver != 0 || s.Complete || s.Held+s.Pending != 1 {
					t.Errorf("unexpected summary: %+v", s)
				}
				w.want()
			})
		})
	}
}

type brokenLedger struct {
	Ledger
	done, any, unmarked bool
}

func (l brokenLedger) Done(ctx context.Context, ids []string) ([]dedup.Record, error) {
	if l.done {
		return nil, errBroken
	}
	return l.Ledger.Done(ctx, ids)
}

func (l brokenLedger) Any(ctx context.Context, endpoints, types []string) (bool, error) {
	if l.any {
		return false, errBroken
	}
	return l.Ledger.Any(ctx, endpoints, types)
}

func (l brokenLedger) Once(ctx context.Context, d *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
	receipt, err := l.Ledger.Once(ctx, d, do)
	if l.unmarked && err == nil {
		err = fmt.Errorf("%w: on purpose", webhook.ErrUnmarked)
	}
	return receipt, err
}

type unreadNotes struct{ Register }

func (unreadNotes) Notes(context.Context) (jobs.Notes, error) { return jobs.Notes{}, errBroken }

// An event that was published counts as handed over, even if its record could not be
// marked done.
func TestUnmarked(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		r.Ledger = brokenLedger{Ledger: r.Ledger, unmarked: true}
		w.api.add("a1", succeeded, 2*time.Hour)
		if s := w.pass(r); s.HandedOver != 1 || s.Deferred != 0 {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// If publishing fails, a pass tries maxFailures events. The missing events are
// published in a later pass, however old the jobs are.
func TestNoTopic(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		for i := range 30 {
			id := fmt.Sprint("v1_", i)
			w.start(id)
			w.api.interactions[id] = gemini.Interaction{Status: "completed", Updated: time.Now()}
		}
		w.pass(r)
		time.Sleep(20 * time.Hour)
		w.setFault(func(_ context.Context, call string, do func() error) error {
			if call == "Publish" {
				return status.Error(codes.NotFound, "no topic")
			}
			return do()
		})
		w.took("Publish")
		if s := w.pass(r); s.Complete || s.Deferred != 30 || w.took("Publish") != maxFailures {
			t.Errorf("unexpected summary: %+v", s)
		}
		w.setFault(nil)
		time.Sleep(period)
		if s := w.pass(r); s.HandedOver != 30 {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// With a slow API, several passes together call for all jobs, even if no job ends.
func TestSlowAPI(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		slow := &slowAPI{API: r.API, asked: make(map[string]bool)}
		r.API = slow
		for i := range 200 {
			id := fmt.Sprint("v1_", i)
			w.start(id)
			w.api.interactions[id] = gemini.Interaction{Status: "in_progress"}
		}
		w.pass(r)
		time.Sleep(time.Hour)
		for range 12 {
			if s, _ := r.Run(w.t.Context()); s.Took > DefaultTimeout || s.Complete {
				t.Errorf("unexpected summary: %+v", s)
			}
			time.Sleep(8 * time.Minute)
		}
		if got := len(slow.asked); got != 200 {
			t.Errorf("API calls for %d of 200 jobs", got)
		}
	})
}

// A pass whose time ran out is not complete, even if no step failed: here the mark of an
// event, which has time of its own, ends after the pass's time.
func TestTimeRunsOut(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		r.Timeout = 10 * time.Second // five of which it waits for names of jobs
		w.api.add("a1", succeeded, 2*time.Hour)
		w.setFault(func(_ context.Context, call string, do func() error) error {
			switch published := len(w.messages()) > 0; {
			case call == "Publish":
				time.Sleep(4900 * time.Millisecond)
			case call == "Commit" && published:
				time.Sleep(300 * time.Millisecond)
			}
			return do()
		})
		w.log.take(t, "")
		if s, _ := r.Run(w.t.Context()); s.Complete || s.HandedOver != 1 || s.Took <= r.Timeout {
			t.Errorf("%+v", s)
		}
		failed := w.log.take(t, "step failed")
		if len(failed) != 1 || failed[0]["step"] != "pass" || !strings.Contains(fmt.Sprint(failed[0]["error"]), "not finished") {
			t.Errorf("logged %v", failed)
		}
	})
}

type slowAPI struct {
	API
	mu    sync.Mutex
	asked map[string]bool
}

func (s *slowAPI) Interaction(ctx context.Context, id string) (gemini.Interaction, error) {
	s.mu.Lock()
	s.asked[id] = true
	s.mu.Unlock()
	time.Sleep(5 * time.Second)
	return s.API.Interaction(ctx, id)
}

// Jobs that are answered 404 do not keep the API from being called for other jobs.
func TestUnknownJobs(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		for i := range 40 {
			w.start(fmt.Sprint("v1_unknown", i))
		}
		w.start("v1_a")
		w.api.interactions["v1_a"] = gemini.Interaction{Status: "completed", Updated: time.Now()}
		w.pass(r)
		time.Sleep(time.Hour)
		if s := w.pass(r); s.HandedOver != 1 || s.Foreign != 40 {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// A pass publishes at most 50 events, the oldest first. If there are more, it is
// truncated, which raises an alert.
func TestBoundOnHandingOver(t *testing.T) {
	inWorld(t, func(w *world) {
		for i := range 120 {
			w.api.add(fmt.Sprintf("a%03d", i), succeeded, 3*time.Hour-time.Duration(i)*time.Minute)
		}
		r := w.reconciler()
		for i, want := range []Summary{{Missed: 120, HandedOver: 50, Deferred: 70}, {Missed: 70, HandedOver: 50, Deferred: 20}, {Missed: 20, HandedOver: 20}} {
			s := w.pass(r)
			if s.Missed != want.Missed || s.HandedOver != want.HandedOver || s.Deferred != want.Deferred || s.Truncated != (i < 2) {
				t.Errorf("pass %d: unexpected summary: %+v", i, s)
			}
			for j, m := range w.messages() {
				if want := fmt.Sprintf("batches/a%03d", 50*i+j); m.subject != want {
					t.Errorf("message %d: %s, want %s", j, m.subject, want)
				}
			}
		}
	})
}

func TestReportMode(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		r.Mode = Report
		w.api.add("a1", succeeded, 2*time.Hour)
		w.start(videoName)
		w.api.operations[videoName] = gemini.Operation{Done: true}
		for range 24 {
			w.pass(r)
			time.Sleep(10 * time.Minute)
		}
		if s := w.pass(r); s.Missed != 1 || s.Reported != 2 || s.HandedOver != 0 {
			t.Errorf("unexpected summary: %+v", s)
		}
		w.want()
		if len(w.open()) != 1 {
			t.Error("a job that was only reported is closed within the look-back")
		}
		time.Sleep(48 * time.Hour)
		if w.pass(r); len(w.open()) != 0 {
			t.Error("a job that was only reported is not closed after the look-back")
		}
	})
}

// An event for a status without a documented event is reported once, and published
// only if PublishUnknown is set.
func TestUndocumented(t *testing.T) {
	for _, publish := range []bool{false, true} {
		inWorld(t, func(w *world) {
			r := w.reconciler()
			r.PublishUnknown = publish
			w.start("v1_a")
			w.api.interactions["v1_a"] = gemini.Interaction{Status: "incomplete", Updated: time.Now()}
			var total Summary
			for range 24 {
				s := w.pass(r)
				total.Reported += s.Reported
				total.HandedOver += s.HandedOver
				total.Missed += s.Missed
				time.Sleep(10 * time.Minute)
			}
			if publish {
				w.want("interaction.incomplete v1_a")
			} else {
				w.want()
			}
			if total.Missed != 0 || total.Reported+total.HandedOver != 1 || len(w.open()) != 0 {
				t.Errorf("%t: %+v, open %v", publish, total, w.open())
			}
		})
	}
}

func TestOddStatus(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		w.start("v1_a", "v1_cancelled")
		w.api.interactions["v1_a"] = gemini.Interaction{Status: "paused"}
		w.api.interactions["v1_cancelled"] = gemini.Interaction{Status: "cancelled", Updated: time.Now()}
		w.pass(r)
		time.Sleep(time.Hour)
		if s := w.pass(r); s.Reported != 1 || s.Pending != 1 || s.Delivered != 1 {
			t.Errorf("unexpected summary: %+v", s)
		}
		if open := w.open(); len(open) != 1 {
			t.Errorf("open jobs are %v", open)
		}
		w.want()
		// A job that never ends is lost when it is older than the API keeps jobs.
		time.Sleep(jobs.MaxAge)
		if s := w.pass(r); s.Lost != 1 || len(w.open()) != 0 {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// Overlapping passes publish an event once.
func TestOverlap(t *testing.T) {
	inWorld(t, func(w *world) {
		var wanted []string
		for i := range 20 {
			w.api.add(fmt.Sprint("a", i), succeeded, 2*time.Hour)
			wanted = append(wanted, fmt.Sprint("batch.succeeded batches/a", i))
		}
		w.start("v1_x")
		w.api.interactions["v1_x"] = gemini.Interaction{Status: "completed", Updated: time.Now()}
		w.pass(w.reconciler())
		time.Sleep(2 * time.Hour)
		var all sync.WaitGroup
		for range 3 {
			r := w.reconciler()
			all.Go(func() { w.pass(r) })
		}
		all.Wait()
		w.pass(w.reconciler())
		w.want(append(wanted, "interaction.completed v1_x")...)
		if len(w.open()) != 0 {
			t.Errorf("open jobs are %v", w.open())
		}
	})
}

// Beyond jobs.MaxOpen, names stay on the subscription, and the pass is truncated.
func TestOpenJobsAreBounded(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start("v1_a")
		r := w.reconciler()
		full := &fullRegister{Register: w.register}
		r.Register = full
		if s := w.pass(r); !s.Truncated || full.room != 0 {
			t.Errorf("unexpected summary: %+v, room %d", s, full.room)
		}
		if w.topic.Waiting(place.Subscription) != 1 {
			t.Error("the job's name is no longer on the subscription")
		}
	})
}

type fullRegister struct {
	Register
	room int
}

func (f *fullRegister) Jobs(context.Context) ([]jobs.Job, bool, error) {
	open := make([]jobs.Job, jobs.MaxOpen)
	for i := range open {
		open[i] = jobs.Job{Name: fmt.Sprint("interactions/v1_", i), Kind: jobs.Interaction, State: jobs.StateOpen, RegisteredAt: time.Now()}
	}
	return open, true, nil
}

func (f *fullRegister) Receive(ctx context.Context, room int) (jobs.Received, error) {
	f.room = room
	return f.Register.Receive(ctx, room)
}

func TestRejected(t *testing.T) {
	inWorld(t, func(w *world) {
		w.start("hello", "https://example.com/interactions/v1_a", strings.Repeat("x", 10_000), "batches/a", "v1_a")
		if s := w.pass(w.reconciler()); s.Rejected != 4 || s.Jobs != 1 {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// A failure or a panic for one job does not affect other jobs.
func TestOneFailure(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		for i := range 20 {
			name := fmt.Sprint("v1_", i)
			w.start(name)
			w.api.interactions[name] = gemini.Interaction{Status: "completed", Updated: time.Now()}
		}
		w.pass(r)
		time.Sleep(time.Hour)
		var n atomic.Int32
		w.setFault(func(_ context.Context, call string, do func() error) error {
			if call == "Interaction" {
				switch n.Add(1) {
				case 7:
					return &gemini.StatusError{Status: 500}
				case 9:
					panic("a panic over one job")
				}
			}
			return do()
		})
		if s := w.pass(r); !s.Complete || s.HandedOver != 18 || s.Pending != 2 {
			t.Errorf("unexpected summary: %+v", s)
		}
		w.setFault(nil)
		if s := w.pass(r); s.HandedOver != 2 {
			t.Errorf("unexpected summary: %+v", s)
		}
	})
}

// After maxFailures consecutive failures the pass makes no more calls of that kind,
// however quickly or slowly they fail.
func TestManyFailures(t *testing.T) {
	for name, fault := range map[string]func(context.Context) error{
		"429":  func(context.Context) error { return &gemini.StatusError{Status: 429} },
		"hang": func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				r := w.reconciler()
				for i := range 200 {
					w.start(fmt.Sprint("v1_", i))
				}
				w.api.add("a1", succeeded, time.Minute)
				w.pass(r)
				time.Sleep(time.Hour)
				w.setFault(func(ctx context.Context, call string, do func() error) error {
					if call == "Interaction" {
						return fault(ctx)
					}
					return do()
				})
				w.took("Interaction")
				s := w.pass(r)
				if n := w.took("Interaction"); n > maxFailures+parallel || s.Complete || s.HandedOver != 1 || s.Took > DefaultTimeout {
					t.Errorf("%d calls, unexpected summary: %+v", n, s)
				}
			})
		})
	}
}

func TestHandler(t *testing.T) {
	inWorld(t, func(w *world) {
		r := w.reconciler()
		post := func(method string) int {
			answer := httptest.NewRecorder()
			r.ServeHTTP(answer, httptest.NewRequest(method, "/?mode=publish", strings.NewReader(`{"mode":"publish"}`)))
			return answer.Code
		}
		if got := post("POST"); got != http.StatusOK {
			t.Error(got)
		}
		if got := post("GET"); got != http.StatusMethodNotAllowed {
			t.Error(got)
		}
		var wait sync.WaitGroup
		wait.Go(func() { post("POST") })
		time.Sleep(time.Second)
		if got := post("POST"); got != http.StatusServiceUnavailable {
			t.Errorf("status %d while a pass is running", got)
		}
		if lines := w.log.take(t, "no pass"); len(lines) != 1 {
			t.Errorf("logged %v", lines)
		}
		wait.Wait()
		w.setFault(func(_ context.Context, call string, do func() error) error {
			if call == "Webhooks" {
				return errBroken
			}
			return do()
		})
		if got := post("POST"); got != http.StatusServiceUnavailable {
			t.Errorf("status %d of an incomplete pass", got)
		}
	})
}
