package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// healthy returns a lab in which all checks pass. Stand-ins answer for the functions as
// those answer to requests that are not genuine.
func healthy(t *testing.T) *lab {
	l := newLab(t)
	function := l.function(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.URL.Path == "/dynamic" && r.URL.Query().Get("token") != l.enabled(urlToken)[0], r.Header.Get("Webhook-Id") != "":
			w.WriteHeader(http.StatusUnauthorized)
		default:
			w.WriteHeader(http.StatusBadRequest)
		}
	})
	l.outputs["static_url"], l.outputs["dynamic_url"] = function+"/static", function+"/dynamic"
	l.want(l.run("register"), 0)
	l.want(l.run("dynamic-url"), 0)
	return l
}

// function starts a stand-in for a function, and returns its URL.
func (l *lab) function(serve http.HandlerFunc) string {
	server := httptest.NewServer(serve)
	l.t.Cleanup(server.Close)
	return server.URL
}

// answers starts a stand-in that answers every request with one status.
func (l *lab) answers(code int) string {
	return l.function(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

// For each fault, exactly the checks that depend on it fail, with the cause and the
// next step.
func TestDoctor(t *testing.T) {
	const root = "/v1/projects/test-project"
	const forbidden = `{"error":{"code":403,"message":"Permission denied on the resource."}}`
	tests := []struct {
		name   string
		mutate func(*lab)
		bad    []string // beginnings of the failed lines
	}{
		{"no fault", func(*lab) {}, nil},
		{"a service disabled", func(l *lab) {
			l.google.set(root+"/services:batchGet", 200, `{"services":[{"name":"projects/1/services/run.googleapis.com","state":"ENABLED"},{"name":"projects/1/services/pubsub.googleapis.com","state":"DISABLED"}]}`)
		}, []string{"services           disabled: pubsub.googleapis.com → terraform apply"}},
		{"services hidden", func(l *lab) { l.google.set(root+"/services:batchGet", 403, forbidden) },
			[]string{"services           answered 403: Permission denied on the resource. → to check this, you need roles/serviceusage.serviceUsageViewer"}},
		{"no webhook", func(l *lab) { l.run("delete", "--yes") }, []string{
			"webhook            no webhook is registered for this URL", "signing secret     version 1 is enabled, but the webhook's secret is unknown", "rotation           unknown without the webhook → fix the webhook first"}},
		{"webhook disabled", func(l *lab) { l.api.Disable(l.api.IDs()[0]) },
			[]string{"webhook            "}},
		{"no key", func(l *lab) { l.t.Setenv("GEMINI_API_KEY", "") }, []string{
			"webhook            no Gemini API key: set GEMINI_API_KEY", "signing secret     ", "rotation           "}},
		{"a rotation that was lost", func(l *lab) { l.run("delete", "--yes"); l.api.Add(l.url("static_url")) }, []string{
			"signing secret     no enabled version is the current secret of webhook", "rotation           the current secret is not stored"}},
		{"a rotation not finished", func(l *lab) { l.AddSecret(l.t, signingSecret, webhooktest.NewSecret()); l.pass(25 * time.Hour) }, []string{
			"rotation           version 2 is still enabled, but no longer needed → go run ./scripts/geminihook rotate --finish", "clock              fast by 25h0m"}},
		{"no signing secret", func(l *lab) { l.outputs["signing_secret_name"] = "empty"; l.emptySecret("empty") }, []string{
			"signing secret     no enabled version: all deliveries are answered 503 → go run ./scripts/geminihook register", "rotation           the current secret is not stored"}},
		{"a malformed signing secret", func(l *lab) { l.AddSecret(l.t, signingSecret, "change me!") },
			[]string{"signing secret     version 2 is not a signing secret"}},
		{"secrets hidden", func(l *lab) {
			l.Interfere(func(_ context.Context, method string, forward func() error) error {
				if method == functiontest.AccessVersion {
					return status.Error(codes.PermissionDenied, "no")
				}
				return forward()
			})
		}, []string{"signing secret     ", "rotation           ", "URL token          ", "dynamic function   "}},
		{"no token", func(l *lab) { l.outputs["url_token_secret_name"] = "empty"; l.emptySecret("empty") }, []string{
			"URL token          no enabled version: all deliveries are answered 503 → go run ./scripts/geminihook dynamic-url", "dynamic function   cannot be called without a URL token"}},
		{"tokens not finished", func(l *lab) { l.run("dynamic-url", "--rotate"); l.pass(73 * time.Hour) }, []string{
			"URL token          version 1 is still enabled, but no longer needed → go run ./scripts/geminihook dynamic-url --finish", "clock              fast"}},
		{"a function not open", func(l *lab) {
			l.outputs["dynamic_url"] = l.answers(http.StatusForbidden)
		}, []string{"dynamic function   answers 403 to an empty POST without the token, not 401 → the function must be open to all callers"}},
		{"a function that accepts anything", func(l *lab) { l.outputs["dynamic_url"] = l.answers(http.StatusNoContent) },
			[]string{"dynamic function   answers 204"}},
		{"a function not there", func(l *lab) { l.outputs["dynamic_url"] = "http://127.0.0.1:1/missing" },
			[]string{"dynamic function   cannot be reached: "}},
		{"a function that hangs up", func(l *lab) {
			l.outputs["dynamic_url"] = l.function(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.RawQuery != "" { // the error must not disclose the token
					panic(http.ErrAbortHandler)
				}
				w.WriteHeader(http.StatusUnauthorized)
			})
		}, []string{"dynamic function   cannot be reached: EOF"}},
		{"no TTL", func(l *lab) { l.google.set(root+ttlPath, 200, `{}`) }, []string{"ledger's TTL       no TTL policy on expire_at"}},
		{"TTL being created", func(l *lab) { l.google.set(root+ttlPath, 200, `{"ttlConfig":{"state":"CREATING"}}`) }, []string{"ledger's TTL       the TTL policy is being created"}},
		{"TTL broken", func(l *lab) { l.google.set(root+ttlPath, 200, `{"ttlConfig":{"state":"NEEDS_REPAIR"}}`) }, []string{"ledger's TTL       the TTL policy is NEEDS_REPAIR"}},
		{"a topic gone", func(l *lab) { l.google.set(root+"/topics/geminihook-video", 404, `{"error":{"code":404}}`) },
			[]string{"topics             projects/test-project/topics/geminihook-video does not exist → terraform apply"}},
		{"no route for the rest", func(l *lab) { l.outputs["routes"] = map[string]string{"batch": "geminihook-batch"} },
			[]string{`topics             no topic for "*"`}},
		{"a subscription gone", func(l *lab) { l.google.set(root+"/subscriptions/geminihook-batch-pull", 404, `{"error":{"code":404}}`) },
			[]string{"subscriptions      geminihook-batch-pull does not exist"}},
		{"a subscription detached", func(l *lab) {
			l.google.set(root+"/subscriptions/geminihook-batch-pull", 200, `{"topic":"_deleted-topic_"}`)
		}, []string{"subscriptions      geminihook-batch-pull is attached to _deleted-topic_, not to geminihook-batch"}},
		{"a subscription without dead letters", func(l *lab) {
			l.google.set(root+"/subscriptions/geminihook-batch-pull", 200, `{"topic":"projects/test-project/topics/geminihook-batch"}`)
		}, []string{"subscriptions      geminihook-batch-pull has no dead-letter topic"}},
		{"dead letters", func(l *lab) {
			l.google.set(metricPath(l, "num_undelivered_messages"), 200, `{"timeSeries":[{"points":[{"value":{"int64Value":"3"}}]}]}`)
		}, []string{"dead letters       3 on geminihook-dead-letter → go run ./scripts/geminihook redrive --dry-run; terraform/runbooks/dead-letters.md"}},
		{"old dead letters", func(l *lab) {
			l.google.set(metricPath(l, "num_undelivered_messages"), 200, `{"timeSeries":[{"points":[{"value":{"int64Value":"3"}}]}]}`)
			l.google.set(metricPath(l, "oldest_unacked_message_age"), 200,
				`{"timeSeries":[{"points":[{"interval":{"endTime":"2026-11-24T12:00:00Z"},"value":{"int64Value":"7200"}}]}]}`)
		}, []string{"dead letters       3 on geminihook-dead-letter, since " + time.Date(2026, 11, 24, 10, 0, 0, 0, time.UTC).Local().Format("2006-01-02 15:04 MST")}},
		{"a topic of another project gone", func(l *lab) { l.outputs["routes"] = map[string]string{"*": otherTopic} },
			[]string{"topics             " + otherTopic + ", a topic of another project, does not exist → create it"}},
		{"a topic of another project hidden", func(l *lab) {
			l.outputs["routes"] = map[string]string{"*": otherTopic}
			l.google.set("/v1/"+otherTopic, 403, forbidden)
		}, []string{"topics             " + otherTopic + ", a topic of another project: answered 403: Permission denied on the resource. → to check this, you need"}},
		{"the clock slow", func(l *lab) { l.pass(-time.Minute) }, []string{"clock              slow by "}},
		{"the clock slightly off", func(l *lab) { l.pass(500 * time.Millisecond) }, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := healthy(t)
			test.mutate(l)
			r := l.run("doctor")
			l.want(r, min(len(test.bad), 1))
			var bad []string
			for text := range strings.Lines(r.out) {
				if text, ok := strings.CutPrefix(text, "✗ "); ok {
					bad = append(bad, text)
				}
			}
			if len(bad) != len(test.bad) {
				t.Fatalf("%d ✗, want %d:\n%s", len(bad), len(test.bad), r.out)
			}
			for i, text := range bad {
				if !strings.HasPrefix(text, test.bad[i]) || len(strings.TrimSpace(text)) < 25 {
					t.Errorf("line %q, want %q", text, test.bad[i])
				}
			}
		})
	}
}

// If the deployment requires no URL token, doctor does not check for one.
func TestDoctorWithoutToken(t *testing.T) {
	l := healthy(t)
	l.outputs["url_token_required"] = false
	l.outputs["dynamic_url"] = l.outputs["static_url"]
	l.want(l.run("doctor"), 0, "URL token          not required", "dynamic function   400 to an empty POST, 401")
}

// If no static webhook is used, doctor checks none, nor its secret.
func TestDoctorWithoutStaticWebhook(t *testing.T) {
	l := healthy(t)
	l.want(l.run("delete", "--yes"), 0)
	l.outputs["signing_secret_name"] = "empty"
	l.emptySecret("empty")
	l.want(l.run("doctor"), 1, "signing secret     no enabled version")
	l.outputs["static_webhook"] = false
	l.want(l.run("doctor"), 0, "webhook            none expected: static_webhook is false\n", "dynamic function   401 to an empty POST without the token")
}

const otherTopic = "projects/other-project/topics/events"

// For a topic of another project, doctor reports whether its policy lets the functions
// publish. A deployment without subscriptions passes.
func TestDoctorOnAnotherProjectsTopic(t *testing.T) {
	for want, policy := range map[string]answer{
		"topics             1 found; " + otherTopic + " is another project's, and the functions may publish to it\n": {200,
			`{"bindings":[{"role":"roles/pubsub.publisher","members":["serviceAccount:static@test-project"]},
			{"role":"roles/pubsub.admin","members":["serviceAccount:dynamic@test-project"]}]}`},
		"its own policy does not allow dynamic@test-project to publish: unless that project's policy does, grant roles/pubsub.publisher\n": {200,
			`{"bindings":[{"role":"roles/pubsub.publisher","members":["serviceAccount:static@test-project"]},
			{"role":"roles/pubsub.viewer","members":["serviceAccount:dynamic@test-project"]}]}`},
		"its grants cannot be read: answered 403: no\n": {403, `{"error":{"code":403,"message":"no"}}`},
	} {
		l := healthy(t)
		l.outputs["routes"], l.outputs["subscriptions"] = map[string]string{"*": otherTopic}, map[string]string{}
		l.google.set("/v1/"+otherTopic, 200, `{}`)
		l.google.set("/v1/"+otherTopic+":getIamPolicy", policy.status, policy.body)
		l.want(l.run("doctor"), 0, want, "subscriptions      Terraform created none")
	}
}

// If the platform rejects callers, doctor names the deployment mode that is needed. The
// URL in this test is on this machine; TestDeployMode covers Google's.
func TestDoctorOnClosedFunction(t *testing.T) {
	l := healthy(t)
	l.outputs["static_url"] = l.answers(http.StatusForbidden)
	r := l.run("doctor")
	l.want(r, 1, "static function    answers 403 to an empty POST, not 400 → the function must be open to all callers: terraform apply. ",
		"deploy from images, see docs/deploy.md")
}
