package main

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// rotate keeps both secrets enabled for 24 hours; then rotate --finish disables the old
// one.
func TestRotate(t *testing.T) {
	l := newLab(t)
	l.want(l.run("rotate"), 1, "no webhook is registered for this URL", "geminihook register")
	l.want(l.run("register"), 0)
	id := l.api.IDs()[0]
	l.want(l.run("rotate", "--finish"), 0, "no old secret is enabled")

	l.want(l.run("rotate"), 0, "version 2 of", "the old secret stays valid until", "(in 24h0m0s)", "after that, go run ./scripts/geminihook rotate --finish")
	if stored := l.enabled(signingSecret); !slices.Equal(stored, l.api.Secrets(id)) || len(stored) != 2 {
		t.Errorf("%d versions, or others than the API's", len(stored))
	}
	l.pass(23 * time.Hour)
	l.want(l.run("rotate", "--finish"), 1, "the overlap is not over", "(in 1h0m0s)", "nothing was changed", "if the old secret has leaked")
	l.want(l.run("rotate"), 0, "version 3 of") // within the overlap
	l.pass(2 * time.Hour)
	// The stand-in's clock does not advance: for it the third version is new.
	l.want(l.run("rotate", "--finish"), 1, "the overlap is not over")
	l.pass(23 * time.Hour)
	l.want(l.run("rotate", "--finish"), 0, "disabled    version 2, 1 of", "version 3 is the current secret")
	if stored := l.enabled(signingSecret); !slices.Equal(stored, l.api.Secrets(id)) || len(stored) != 1 {
		t.Errorf("%d versions, or others than the API's", len(stored))
	}
}

// rotate --immediately disables the old versions at once.
func TestRotateImmediately(t *testing.T) {
	l := newLab(t)
	l.want(l.run("register"), 0)
	l.want(l.run("rotate"), 0)
	l.want(l.run("rotate", "--immediately"), 0, "the API has revoked all others", "disabled    version 2, 1; running instances accept it for up to 5 minutes more")
	id := l.api.IDs()[0]
	if stored := l.enabled(signingSecret); !slices.Equal(stored, l.api.Secrets(id)) || len(stored) != 1 {
		t.Errorf("%d versions, or others than the API's", len(stored))
	}
	l.want(l.run("rotate", "--finish"), 0, "no old secret is enabled")
	l.want(l.run("rotate", "--finish", "--immediately"), 2, "exclude each other")
}

// After each fault during a rotation, another rotation succeeds, and no secret that the
// API still signs with is disabled before.
func TestRotateFaults(t *testing.T) {
	lost, broken := geminitest.Fault{Status: 500, Done: true}, geminitest.Fault{Status: 500}
	tests := []struct {
		name   string
		mutate func(*lab)
		args   []string
		status int
		says   []string
	}{
		{"one reply lost", func(l *lab) { l.api.Fail(geminitest.Rotate, lost) }, nil, 0, []string{"version 2 of"}},
		{"every reply lost", func(l *lab) { l.api.Fail(geminitest.Rotate, lost, lost, lost, lost, lost) }, nil, 1,
			[]string{"the secret may have changed", "also with the old one", "next:   go run ./scripts/geminihook rotate\n"}},
		{"every reply lost, immediately", func(l *lab) { l.api.Fail(geminitest.Rotate, lost, lost, lost, lost, lost) }, []string{"--immediately"}, 1,
			[]string{"the secret may have changed", "a lost secret", "rotate --immediately"}},
		{"a reply without a secret", func(l *lab) { l.api.Fail(geminitest.Rotate, geminitest.Fault{Status: 200, Done: true, Body: "{}"}) }, nil, 1,
			[]string{"the answer lacks a signing secret", "the secret may have changed"}},
		{"refused", func(l *lab) { l.api.Fail(geminitest.Rotate, geminitest.Fault{Status: 403}) }, nil, 1, []string{"answered 403", "nothing was changed"}},
		{"busy", func(l *lab) { l.api.Fail(geminitest.Rotate, geminitest.Fault{Status: 429}) }, nil, 0, []string{"version 2 of"}},
		{"API gone", func(l *lab) { l.api.Fail(geminitest.List, broken, broken, broken, broken, broken) }, nil, 1, []string{"list the webhooks: answered 500"}},
		{"store down", func(l *lab) { l.down(addVersion, 4) }, nil, 1,
			[]string{"the new secret could not be stored", "also with the old one", "fix the cause, then go run ./scripts/geminihook rotate\n"}},
		{"store down, immediately", func(l *lab) { l.down(addVersion, 4) }, []string{"--immediately"}, 1,
			[]string{"the new secret could not be stored", "a lost secret", "rotate --immediately"}},
		{"not disabled", func(l *lab) { l.down(disableVersion, 1) }, []string{"--immediately"}, 1,
			[]string{"disable version 1", "the functions still accept the old one", "rotate --immediately"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			l.want(l.run("register"), 0)
			old := l.enabled(signingSecret)[0]
			test.mutate(l)
			l.want(l.run(append([]string{"rotate"}, test.args...)...), test.status, test.says...)
			if slices.Contains(l.api.Secrets(l.api.IDs()[0]), old) && !slices.Contains(l.enabled(signingSecret), old) {
				t.Error("the API still signs with the old secret, but its version is disabled")
			}
			l.Interfere(nil)
			l.want(l.run("rotate"), 0)
			l.wantHealthy()
			l.pass(25 * time.Hour)
			l.want(l.run("rotate", "--finish"), 0)
			l.wantHealthy()
			if n := len(l.enabled(signingSecret)); n != 1 {
				t.Errorf("%d enabled versions, want 1", n)
			}
		})
	}
}

// rotate --finish disables every version except the current secret, even if that is not
// the newest.
func TestFinishKeepsTheCurrent(t *testing.T) {
	l := newLab(t)
	l.want(l.run("register"), 0)
	l.AddSecret(t, signingSecret, webhooktest.NewSecret())
	l.pass(25 * time.Hour)
	l.want(l.run("rotate", "--finish"), 0, "disabled    version 2 of", "version 1 is the current secret")
	l.wantHealthy()

	id := l.api.IDs()[0]
	l.want(l.run("delete", "--yes"), 0, id)
	l.api.Add(l.url("static_url"))
	l.want(l.run("rotate", "--finish"), 1, "no enabled version is the current secret", "nothing was changed", "geminihook rotate")
}

// dynamic-url prints the URL with the newest token, and disables old tokens only if no
// job can use them, or with --immediately.
func TestDynamicURL(t *testing.T) {
	l := newLab(t)
	show := func(args ...string) (token string) {
		t.Helper()
		r := l.run(append([]string{"dynamic-url"}, args...)...)
		l.want(r, 0)
		token, ok := strings.CutPrefix(strings.TrimSuffix(r.out, "\n"), l.url("dynamic_url")+"?token=")
		if _, err := webhook.ParseURLToken([]byte(token)); err != nil || !ok || len(token) < 26 {
			t.Fatalf("printed %q: %v", r.out, err)
		}
		return token
	}
	first := show()
	if show() != first || len(l.enabled(urlToken)) != 1 {
		t.Error("the second run created another token")
	}
	r := l.run("dynamic-url", "--rotate")
	l.want(r, 0, "version 2 of", "(in 72h0m0s)", "dynamic-url --finish")
	second := show()
	if second == first || !strings.Contains(r.out, second) || len(l.enabled(urlToken)) != 2 {
		t.Error("the printed token is not the new one, or the old one is disabled")
	}
	l.want(l.run("dynamic-url", "--finish"), 1, "running jobs may use the old token", "nothing was changed", "dynamic-url --immediately")
	l.want(l.run("dynamic-url", "--finish", "--rotate"), 2, "--finish and --rotate exclude each other")
	l.pass(73 * time.Hour)
	if show("--finish") != second || !slices.Equal(l.enabled(urlToken), []string{second}) {
		t.Error("the old token is not disabled")
	}
	l.want(l.run("dynamic-url", "--finish"), 0, "no old token is enabled")
	third := show("--rotate", "--immediately")
	if third == second || !slices.Equal(l.enabled(urlToken), []string{third}) {
		t.Error("the old token is not disabled at once")
	}
	l.down(addVersion, always)
	l.want(l.run("dynamic-url", "--rotate"), 1, "add a version", "the tokens were not changed")
	l.outputs["url_token_secret_name"] = "another"
	l.want(l.run("dynamic-url"), 1, "secret another")
	l.outputs["url_token_required"] = false
	r = l.run("dynamic-url")
	l.want(r, 0, "requires no URL token")
	if r.out != l.url("dynamic_url")+"\n" {
		t.Errorf("printed %q", r.out)
	}
}

// An interrupt before the new secret is stored does not lose it.
func TestRotateInterrupted(t *testing.T) {
	l := newLab(t)
	l.want(l.run("register"), 0)
	ctx, interrupt := context.WithCancel(t.Context())
	l.Interfere(func(_ context.Context, method string, forward func() error) error {
		if method == addVersion {
			interrupt()
		}
		return forward()
	})
	l.want(l.runIn(ctx, "rotate"), 0, "version 2")
	l.wantHealthy()
}
