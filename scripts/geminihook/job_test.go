package main

import (
	"context"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/geminitest"
)

// withDynamic returns a lab with a running dynamic function.
func withDynamic(t *testing.T) *lab {
	t.Helper()
	l := newLab(t)
	l.api.Keys = l.Keys
	t.Setenv("URL_TOKEN_SECRET_NAME", urlToken)
	l.want(l.run("dynamic-url"), 0)
	dynamic := deploy(t, "DynamicWebhook", "/geminihook-dynamic")
	l.outputs["dynamic_url"] = dynamic.url
	return l
}

// jobCalls returns the API calls except those for the list, sorted, each once.
func (l *lab) jobCalls() []string {
	calls := slices.DeleteFunc(l.api.Calls(), func(call string) bool { return call == geminitest.ListBatches })
	slices.Sort(calls)
	return slices.Compact(calls)
}

// doctor --job reports the form of data.id, the delay, the content type, the signature
// scheme, and whether the list shows webhook_config. It leaves no batch.
func TestDoctorJob(t *testing.T) {
	tests := []struct {
		name   string
		mutate func(*lab)
		says   []string
	}{
		{"as documented", func(*lab) {}, []string{"the full name", "user_metadata is at the top of the event", "list        does not show webhook_config"}},
		{"other choices", func(l *lab) {
			l.api.EventID, l.api.EchoWebhookConfig = path.Base, true
		}, []string{"the last part of the name", "list        shows webhook_config, with user_metadata"}},
		{"another form", func(l *lab) {
			l.api.EventID = func(string) string { return "job-1" }
			l.api.ChangeEvent = func(event map[string]any) {
				event["data"].(map[string]any)["user_metadata"] = event["user_metadata"]
				delete(event, "user_metadata")
			}
		}, []string{`data.id     "job-1", neither batches/`, "user_metadata is in the event's data"}},
	}
	l := withDynamic(t)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l.api.EventID, l.api.ChangeEvent, l.api.EchoWebhookConfig = nil, nil, false
			test.mutate(l)
			l.api.Calls()
			r := l.run("doctor", "--job")
			l.want(r, 0, append(test.says, "cost        one request of a few tokens to gemini-3.5-flash-lite", "Google bills it",
				"ended       BATCH_STATE_SUCCEEDED at 20", " after the end: batch.succeeded, webhook-id ",
				"content     application/json", "signature   v1a", `body        {"`, "deleted     batches/")...)
			if calls := l.jobCalls(); !slices.Equal(calls, []string{geminitest.CreateBatch, geminitest.DeleteBatch}) {
				t.Errorf("calls %v", calls)
			}
			if left := l.api.Jobs(); len(left) != 0 {
				t.Errorf("%d jobs remain, want 0", len(left))
			}
			if token := l.enabled(urlToken)[0]; strings.Contains(r.out+r.err, token) {
				t.Error("the URL token was printed")
			}
		})
	}
}

// After each fault, doctor --job ends, cancels and deletes the batch, and deletes its
// subscription.
func TestDoctorJobFaults(t *testing.T) {
	hour := func(string) geminitest.Job { return geminitest.Job{For: time.Hour} }
	tests := []struct {
		name   string
		mutate func(*lab)
		args   []string
		status int
		says   []string
		calls  []string
	}{
		{"no event", func(l *lab) { l.api.Run = func(string) geminitest.Job { return geminitest.Job{Delivery: lost} } }, nil, 1,
			[]string{"ended, but its event did not reach the topic within 20s", "geminihook doctor; if all is ✓, go run ./scripts/geminihook doctor --job --wait 40s", "deleted"},
			[]string{geminitest.CreateBatch, geminitest.DeleteBatch}},
		{"no end", func(l *lab) { l.api.Run = hour }, nil, 1, []string{"did not end within 20s", "deleted"},
			[]string{geminitest.CancelBatch, geminitest.CreateBatch, geminitest.DeleteBatch}},
		{"not deleted", func(l *lab) { l.api.Run = hour; l.api.Fail(geminitest.DeleteBatch, geminitest.Fault{Status: 403}) }, nil, 1,
			[]string{"remains     batches/", "answered 403", "did not end"},
			[]string{geminitest.CancelBatch, geminitest.CreateBatch, geminitest.DeleteBatch}},
		{"refused", func(l *lab) { l.api.Fail(geminitest.CreateBatch, geminitest.Fault{Status: 429}) }, nil, 1,
			[]string{"start a batch: answered 429", "nothing was started"}, []string{geminitest.CreateBatch}},
		{"reply lost", func(l *lab) { l.api.Fail(geminitest.CreateBatch, geminitest.Fault{Status: 500, Done: true}) }, nil, 1,
			[]string{"answered 500", "geminihook-doctor may have been started"}, []string{geminitest.CreateBatch}},
		{"no token", func(l *lab) { l.outputs["url_token_secret_name"] = "empty"; l.emptySecret("empty") }, nil, 1,
			[]string{"there is no URL token yet", "geminihook dynamic-url, which creates one"}, nil},
		{"no topic", func(l *lab) { l.outputs["routes"] = map[string]string{"*": "elsewhere"} }, nil, 1,
			[]string{"topic projects/test-project/topics/elsewhere", "nothing was started", "roles/pubsub.editor"}, nil},
		{"no job", func(*lab) {}, []string{"--job=false"}, 1, []string{"clock"}, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			l.want(l.run("dynamic-url"), 0)
			test.mutate(l)
			l.api.Calls()
			subscriptions := l.countSubscriptions()
			l.want(l.run(append([]string{"doctor", "--job", "--wait", "20s"}, test.args...)...), test.status, test.says...)
			calls := slices.DeleteFunc(l.jobCalls(), func(call string) bool { return call == geminitest.List })
			if !slices.Equal(calls, test.calls) {
				t.Errorf("calls %v", calls)
			}
			if made, gone := subscriptions(); made != gone {
				t.Errorf("%d subscriptions were created, %d deleted", made, gone)
			}
		})
	}
	l := newLab(t)
	l.want(l.run("doctor", "--wait", "1m"), 2, "--wait and --model need --job")
}

// countSubscriptions counts the subscriptions that are created and deleted from now on.
func (l *lab) countSubscriptions() func() (made, gone int) {
	var mu sync.Mutex
	var made, gone int
	l.Interfere(func(_ context.Context, method string, forward func() error) error {
		err := forward()
		mu.Lock()
		defer mu.Unlock()
		switch {
		case err != nil:
		case path.Base(method) == "CreateSubscription":
			made++
		case path.Base(method) == "DeleteSubscription":
			gone++
		}
		return err
	})
	return func() (int, int) {
		mu.Lock()
		defer mu.Unlock()
		return made, gone
	}
}

// After an interrupt, neither a batch nor a subscription remains.
func TestDoctorJobInterrupted(t *testing.T) {
	l := newLab(t)
	l.want(l.run("dynamic-url"), 0)
	l.api.Run = func(string) geminitest.Job { return geminitest.Job{For: time.Hour} }
	subscriptions := l.countSubscriptions()
	ctx, interrupt := context.WithCancel(t.Context())
	l.paused = interrupt
	l.want(l.runIn(ctx, "doctor", "--job"), 1, "context canceled", "deleted     batches/")
	if made, gone := subscriptions(); made != 1 || gone != 1 || len(l.api.Jobs()) != 0 {
		t.Errorf("%d subscriptions were created, %d deleted, %d jobs remain; want 1, 1, 0", made, gone, len(l.api.Jobs()))
	}
}

// If Pub/Sub fails, doctor --job ends and deletes the batch.
func TestDoctorJobWithoutPull(t *testing.T) {
	l := newLab(t)
	l.want(l.run("dynamic-url"), 0)
	l.Interfere(func(_ context.Context, method string, forward func() error) error {
		if path.Base(method) == "Pull" {
			return status.Error(codes.PermissionDenied, "no")
		}
		return forward()
	})
	l.want(l.run("doctor", "--job"), 1, "Pub/Sub: rpc error: code = PermissionDenied", "deleted     batches/")
}
