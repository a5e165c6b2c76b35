package inspector

import (
	"bytes"
	"compress/gzip"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// The page shows the cause of a rejection and its remedy, as explain finds them.
func TestCauseIsShown(t *testing.T) {
	l := newLab(t)
	l.log.Outcome, l.log.Reason = "forged", string(webhook.NoKeyMatches)
	rewritten := func(a *outgoing) { a.body = append(a.body, '\n') }
	other := webhooktest.NewSecret()
	for i, test := range []struct {
		name   string
		scheme webhook.Scheme
		before func(*outgoing) // it is signed
		after  func(*outgoing)
		want   string // empty: no cause is looked for
	}{
		{"a rewritten body", "v1", nil, rewritten, "without the newline at its end"},
		{"a rewritten body, older secret", "v1", func(a *outgoing) { a.Secret = l.secrets[1] }, rewritten, "without the newline at its end"},
		{"a rewritten body, v1a", "v1a", nil, rewritten, "without the newline at its end"},
		{"another secret", "v1", func(a *outgoing) { a.Secret = other }, nil, "no signature is by this secret"},
		{"at the other endpoint", "v1", nil, func(a *outgoing) { a.url = l.Sender.DynamicURL }, "static function"},
		{"another audience", "jwt", func(a *outgoing) { a.Audience = "https://example.com/theirs" }, nil, "the JWT is for another audience"},
		{"compressed", "v1", nil, func(a *outgoing) {
			var b bytes.Buffer
			w := gzip.NewWriter(&b)
			_, _ = w.Write(a.body)
			w.Close()
			a.body = b.Bytes()
		}, "compressed in transit"},
		{"over the limit", "v1", nil, func(a *outgoing) { a.body = make([]byte, receiver.MaxBody+1) }, "1048577 bytes"},
		{"no body", "v1a", nil, func(a *outgoing) { a.body = nil }, "no body"},
		{"a clock ahead", "v1", func(a *outgoing) { a.at = a.at.Add(time.Hour) }, nil, "ahead of this machine's clock"},
		{"a clock behind", "jwt", func(a *outgoing) { a.at = a.at.Add(-time.Hour) }, nil, "the sender's clock is wrong"},
		{"accepted", "v1", nil, nil, ""},
		{"no URL token", "v1a", nil, func(a *outgoing) { a.url = webhook.WithoutQuery(a.url) }, ""},
	} {
		a := l.outgoing(test.scheme)
		if test.before != nil {
			test.before(a)
		}
		header, err := a.sign()
		if err != nil {
			t.Fatal(err)
		}
		if test.after != nil {
			test.after(a)
		}
		if err := post(t.Context(), http.MethodPost, a.url, header, a.body); err != nil {
			t.Fatal(err)
		}
		d := l.latest(int64(i + 1))
		report := l.Checks.explain(t.Context(), d)
		if (report == nil) != (test.want == "") || report != nil && !strings.Contains(strings.Join(append(report.Why, report.Do...), " "), test.want) {
			t.Errorf("%s: %+v, want %q", test.name, report, test.want)
		}
	}
	if _, shown := l.ask("/inspector/deliveries/1", ""); !strings.Contains(shown, "<h3>Cause</h3>") || !strings.Contains(shown, "without the newline") || !strings.Contains(shown, "To do") {
		t.Errorf("the cause is not on the page:\n%s", shown)
	}
	if _, shown := l.ask("/inspector/deliveries/12", ""); strings.Contains(shown, "<h3>Cause</h3>") {
		t.Errorf("a cause is on the page of a delivery that was accepted:\n%s", shown)
	}
}

// The page notes if its checks and the function rejected a delivery for different
// reasons. It does not for outcomes that no check can have.
func TestDisagreement(t *testing.T) {
	refusal := webhook.Refuse(webhook.NoKeyMatches, "")
	failed, passed := []check{{Name: "Signature", Mark: "fail"}}, []check{{Name: "Signature", Mark: "pass"}}
	for _, test := range []struct {
		delivery delivery
		want     bool
	}{
		{delivery{checks: failed, refusal: refusal, log: logLine{Outcome: "forged", Reason: "no_key_matches"}}, false},
		{delivery{checks: failed, refusal: refusal, log: logLine{Outcome: "forged", Reason: "no_signature"}}, true},
		{delivery{checks: failed, refusal: refusal, log: logLine{Outcome: "published"}}, true},
		{delivery{checks: passed, log: logLine{Outcome: "forged", Reason: "no_key_matches"}}, true},
		{delivery{checks: passed, log: logLine{Outcome: "published"}}, false},
		{delivery{checks: passed, log: logLine{Outcome: "overloaded", Reason: "too_many_requests"}}, false},
		{delivery{checks: failed, log: logLine{Outcome: "slow_body", Reason: "body_slow"}}, false},
		{delivery{checks: failed, log: logLine{Outcome: "unavailable"}}, false},
		{delivery{checks: failed}, false},
	} {
		if got := test.delivery.disagrees(); got != test.want {
			t.Errorf("%+v: %v, want %v", test.delivery, got, test.want)
		}
	}
}

// The page explains every outcome in the README's table.
func TestEveryOutcomeHasAMeaning(t *testing.T) {
	for _, outcome := range []string{"published", "duplicate", "busy", "mismatch", "unmarked", "method", "malformed", "too_large",
		"unauthorized", "forged", "audience", "stale", "unavailable", "overloaded", "slow_body"} {
		if _, ok := meanings[outcome]; !ok {
			t.Errorf("outcome %s has no meaning", outcome)
		}
	}
}
