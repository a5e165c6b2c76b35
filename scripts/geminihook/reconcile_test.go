package main

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/geminitest"
)

var lost = geminitest.Delivery{Never: true}

// missing returns a lab in which a batch ended two hours ago without its event, and the
// name of another job waits on the jobs subscription.
func missing(t *testing.T) (l *lab, batch string) {
	t.Helper()
	l = newLab(t)
	l.want(l.run("register"), 0)
	startJob := l.AddJobs(t)
	batch = l.api.StartBatch(geminitest.Job{Ago: 2 * time.Hour, Delivery: lost})
	startJob(l.api.StartInteraction(geminitest.Job{For: time.Hour}))
	l.Messages(t)
	return l, batch
}

// writes are the methods that change data.
var writes = []string{
	functiontest.Commit, functiontest.Publish, functiontest.Begin,
	"/google.pubsub.v1.Subscriber/Pull", "/google.pubsub.v1.Subscriber/Acknowledge", "/google.pubsub.v1.Subscriber/ModifyAckDeadline",
}

// A dry run reports what the next pass does, and makes no call that changes anything.
func TestReconcile(t *testing.T) {
	l, batch := missing(t)
	l.Calls()
	l.api.Calls()
	line := "missed      " + batch + ", ended "
	r := l.run("reconcile", "--dry-run")
	l.want(r, 0, line, "batch.succeeded would be published", "jobs        1: 0 delivered, 0 pending, 1 missed",
		"events      1 to be published, 0 held", "webhook     enabled", "dry run     nothing was changed")
	for _, call := range l.Calls() {
		if slices.Contains(writes, call) {
			t.Errorf("the dry run called %s", call)
		}
	}
	for _, call := range l.api.Calls() {
		if call != "list" && call != "batches.list" {
			t.Errorf("the dry run called the API's %s", call)
		}
	}
	if n := len(l.Messages(t)); n != 0 {
		t.Errorf("the dry run published %d messages", n)
	}

	l.want(l.run("reconcile"), 0, line, "batch.succeeded was published", "jobs        2: 0 delivered, 1 pending, 1 missed", "events      1 published")
	if m := l.Messages(t); len(m) != 1 || m[0].Topic != functiontest.BatchTopic || m[0].Attributes["ce-subject"] != batch {
		t.Errorf("%d messages, want one for the missed batch", len(m))
	}
	l.want(l.run("reconcile"), 0, "jobs        2: 1 delivered, 1 pending, 0 missed")
	if n := len(l.Messages(t)); n != 0 {
		t.Errorf("the second pass published %d messages", n)
	}
}

// With --json, a pass writes the lines that the function logs.
func TestReconcileJSON(t *testing.T) {
	l, batch := missing(t)
	r := l.run("reconcile", "--dry-run", "--json")
	l.want(r, 0)
	var lines []map[string]any
	for text := range strings.Lines(r.out) {
		line := map[string]any{}
		if err := json.Unmarshal([]byte(text), &line); err != nil || line["dry_run"] != true {
			t.Fatalf("%v: %s", err, text)
		}
		lines = append(lines, line)
	}
	if len(lines) != 2 || lines[0]["message"] != "missed job" || lines[0]["job"] != batch || lines[0]["action"] != "handed_over" ||
		lines[1]["message"] != "pass" || lines[1]["complete"] != true || lines[1]["missed"] != 1.0 {
		t.Errorf("%v", lines)
	}
}

// A fault is reported with the flag or the command that fixes it.
func TestReconcileFaults(t *testing.T) {
	tests := []struct {
		name   string
		mutate func(*lab)
		args   []string
		says   []string
	}{
		{"key revoked", func(l *lab) { l.api.Revoke(true) }, nil,
			[]string{"failed      webhook: list the webhooks: answered 400", "webhook     unknown", "the pass is incomplete", "no event twice"}},
		{"no key", func(l *lab) { l.t.Setenv("GEMINI_API_KEY", "") }, nil, []string{"set GEMINI_API_KEY, or give --api-key-secret-name"}},
		{"bad settings", func(*lab) {}, []string{"--grace", "1m", "--mode", "off", "--jobs-collection", "deliveries"},
			[]string{"--grace: 1m0s is not between 5m0s and 12h0m0s", "--mode: not report, auto or publish", "--jobs-collection: another setting"}},
		{"no webhook expected", func(l *lab) { l.want(l.run("delete", "--yes"), 0) }, []string{"--static-webhook", "false", "--mode", "report"}, nil},
		{"switched off", func(l *lab) {
			l.outputs["reconcile"] = "off"
			for _, name := range []string{"grace", "jobs_collection", "jobs_subscription"} {
				l.outputs[name] = nil
			}
		}, nil, []string{"this deployment has no reconciler: its setting reconcile is off", "or give --grace, --jobs-subscription, --jobs-collection\n"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			l.AddJobs(t)
			l.want(l.run("register"), 0)
			test.mutate(l)
			l.want(l.run(append([]string{"reconcile", "--dry-run"}, test.args...)...), min(len(test.says), 1), test.says...)
		})
	}
}

// If the webhook is missing, a pass reports it and continues.
func TestReconcileWithoutWebhook(t *testing.T) {
	l, _ := missing(t)
	l.want(l.run("delete", "--yes"), 0)
	l.want(l.run("reconcile", "--dry-run"), 0, "webhook     missing: no event is delivered; to find the cause: go run ./scripts/geminihook doctor")
}

// Settings in the environment, such as those of a function, are ignored.
func TestReconcileIgnoresTheEnvironment(t *testing.T) {
	l, _ := missing(t)
	for name, value := range map[string]string{"RECONCILE": "off", "GRACE": "1s", "STATIC_URL": "x", "ROUTES": "x", "GOOGLE_CLOUD_PROJECT": "another-project"} {
		t.Setenv(name, value)
	}
	l.want(l.run("reconcile", "--dry-run"), 0, "1 missed")
}

// Each setting of the function comes from an output, and a missing one is an error.
func TestReconcileSettings(t *testing.T) {
	l := newLab(t)
	without := maps.Clone(l.outputs)
	for _, name := range []string{"reenable", "publish_unknown", "state_collection", "dynamic_url"} {
		clear(l.outputs)
		maps.Copy(l.outputs, without)
		delete(l.outputs, name)
		l.want(l.run("reconcile", "--dry-run"), 1, "the Terraform outputs in terraform are of another version", "or give --"+strings.ReplaceAll(name, "_", "-"))
	}
}
