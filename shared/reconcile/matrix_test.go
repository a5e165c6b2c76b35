package reconcile

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gemini"
)

// A blow is a fault that begins at one call of a pass.
type blow struct {
	name  string
	after bool // the call is carried out, and its reply is lost
	kill  bool // the process ends: no later call is made
	hang  bool // there is no answer until the client's timeout
}

var blows = []blow{
	{name: "refused"},
	{name: "reply lost", after: true},
	{name: "hang", hang: true},
	{name: "killed before", kill: true},
	{name: "killed after", kill: true, after: true},
}

// strike lets the n-th call of this name from now on meet a blow. It returns a
// function that reports whether there was such a call.
func (w *world) strike(b blow, name string, n int) (struck func() bool) {
	var (
		mu   sync.Mutex
		made int
		hit  bool
	)
	w.setFault(func(ctx context.Context, call string, do func() error) error {
		mu.Lock()
		later := hit
		if call == name {
			made++
		}
		first := !hit && made == n
		hit = hit || first
		mu.Unlock()
		switch {
		case !first && !(later && b.kill):
			return do()
		case b.hang:
			<-ctx.Done()
			return ctx.Err()
		case first && b.after:
			_ = do()
		}
		if isAPI(call) {
			return &gemini.StatusError{Status: 500}
		}
		if b.kill {
			return status.Error(codes.Canceled, "the process has ended")
		}
		if b.after {
			return status.Error(codes.Unavailable, "the reply got lost")
		}
		return status.Error(codes.PermissionDenied, "refused")
	})
	return func() bool {
		mu.Lock()
		defer mu.Unlock()
		return hit
	}
}

func isAPI(call string) bool {
	return slices.Contains([]string{"Webhooks", "Batches", "Interaction", "Operation", "Enable"}, call)
}

// Each call of a pass meets each blow. After the next passes, each event is on its
// topic, and the register is as it would be without the blow. An event is on its
// topic twice only if the blow hit a publish or a mark, and then with the same id. The
// logged table has, for each call and blow, how many calls of the name met it, and
// after how many of these there was a second copy.
func TestMatrix(t *testing.T) {
	cells, table := 0, "\n| call |"
	for _, b := range blows {
		table += " " + b.name + " |"
	}
	for _, call := range []string{"Webhooks", "Batches", "Interaction", "Operation", "Enable", "Commit", "RunQuery", "Pull", "Acknowledge", "Publish"} {
		table += "\n| " + call + " |"
		for _, b := range blows {
			n, copies := 0, 0
			for hit := true; hit; {
				n++
				inWorld(t, func(w *world) {
					var again bool
					hit, again = strikeOnce(t, w, b, call, n)
					if again {
						copies++
					}
				})
			}
			if n == 1 {
				t.Errorf("a pass makes no call %s", call)
			}
			cells += n - 1
			table += fmt.Sprintf(" %d", n-1)
			if copies > 0 {
				table += fmt.Sprintf(" (%d)", copies)
			}
			table += " |"
		}
	}
	t.Logf("%d calls of a pass × faults%s", cells, table)
}

// strikeOnce makes a pass in which the n-th call of this name meets a blow. It then
// makes passes without blows, and checks the outcome. It returns whether the pass has
// such a call, and whether an event was published twice.
func strikeOnce(t *testing.T, w *world, b blow, call string, n int) (hit, again bool) {
	r := w.busyDay()
	struck := w.strike(b, call, n)
	first := w.pass(r)
	w.setFault(nil)
	if !struck() {
		return false, false
	}
	where := fmt.Sprintf("%s at call %d of %s", b.name, n, call)
	if first.Took > DefaultTimeout+10*time.Second {
		t.Errorf("%s: the pass took %v", where, first.Took)
	}
	for range 8 { // in intervals of ten minutes, by another instance
		time.Sleep(10 * time.Minute)
		w.pass(w.reconciler())
	}
	ids := make(map[string]int)
	events := make(map[string]int)
	for _, m := range w.messages() {
		if ids[m.id]++; ids[m.id] == 1 {
			events[m.eventType+" "+m.subject]++
			continue
		}
		again = true
		if call != "Publish" && call != "Commit" || ids[m.id] > 2 {
			t.Errorf("%s: %s is on its topic %d times", where, m.subject, ids[m.id])
		}
	}
	for _, want := range busyEvents {
		if events[want] != 1 {
			t.Errorf("%s: %d events %q", where, events[want], want)
		}
		delete(events, want)
	}
	if len(events) > 0 {
		t.Errorf("%s: also %v", where, events)
	}
	if open := w.open(); len(open) != 2 || w.topic.Waiting(place.Subscription) != 0 {
		t.Errorf("%s: open are %v, %d names wait", where, open, w.topic.Waiting(place.Subscription))
	}
	if len(w.api.enabled) > 1 {
		t.Errorf("%s: the webhook was enabled %d times in six hours", where, len(w.api.enabled))
	}
	return true, again
}

var busyEvents = []string{
	"batch.succeeded a1", "batch.failed a2", "interaction.completed v1_done", "interaction.requires_action v1_act", "video.failed " + videoName,
}

// busyDay prepares a pass that makes calls of each kind.
func (w *world) busyDay() *Reconciler {
	r := w.reconciler()
	w.start("v1_done", "v1_act", videoName, "v1_delivered")
	for _, id := range []string{"v1_done", "v1_act", "v1_delivered", "v1_new"} {
		w.api.interactions[id] = gemini.Interaction{Status: "in_progress"}
	}
	w.api.operations[videoName] = gemini.Operation{Done: true, Filtered: 1}
	w.pass(r)
	time.Sleep(time.Hour)
	w.pass(r) // sees the end of the video
	w.api.interactions["v1_done"] = gemini.Interaction{Status: "completed", Updated: time.Now()}
	w.api.interactions["v1_act"] = gemini.Interaction{Status: "requires_action", Updated: time.Now()}
	time.Sleep(time.Hour)
	w.api.webhooks = []gemini.Webhook{{ID: "w", URI: staticURL, State: gemini.DisabledByFailures, Events: allEvents}}
	w.api.add("a1", succeeded, 2*time.Hour)
	w.api.add("a2", "BATCH_STATE_FAILED", 2*time.Hour)
	w.api.add("a3", succeeded, 2*time.Hour)
	w.deliver("batch.succeeded", "a3")
	w.deliver("interaction.completed", "v1_delivered")
	w.messages()
	w.start("v1_new", "hello")
	busy := w.reconciler()
	busy.Reenable = true
	return busy
}
