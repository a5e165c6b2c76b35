package main

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A deployed is a function at a fixed URL, whose instances can be replaced.
type deployed struct {
	*functiontest.Process
	t   *testing.T
	url string
}

// deploy starts a function behind a proxy.
func deploy(t *testing.T, target, path string) *deployed {
	t.Helper()
	p, _ := functiontest.Deploy(t, target)
	front := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		at, _ := url.Parse(p.URL())
		r.SetURL(at)
		r.Out.URL.Path = "/"
	}})
	t.Cleanup(front.Close)
	return &deployed{p, t, front.URL + path}
}

// replace ends the instance and starts a new one, without cached values.
func (d *deployed) replace() {
	d.t.Helper()
	d.Signal(syscall.SIGTERM)
	if err := d.Wait(); err != nil {
		d.t.Errorf("the instance ended with %v", err)
	}
	d.Start()
}

// The whole procedure with the functions as they are deployed: register, ping, a
// delivery, a rotation with deliveries signed by either secret, and doctor.
func TestStory(t *testing.T) {
	l := newLab(t)
	t.Setenv("SIGNING_SECRET_NAME", signingSecret)
	t.Setenv("URL_TOKEN_SECRET_NAME", urlToken)
	static := deploy(t, "StaticWebhook", "/geminihook-static")
	dynamic := deploy(t, "DynamicWebhook", "/geminihook-dynamic")
	l.outputs["static_url"], l.outputs["dynamic_url"] = static.url, dynamic.url
	l.google.log = func() []string { return strings.Split(static.Log.Text(), "\n") }
	l.paused = func() { time.Sleep(20 * time.Millisecond) } // for the log to come through
	t.Setenv("JWT_AUDIENCES", dynamic.url)

	l.want(l.run("register"), 0, "version 1 of secret "+signingSecret, "next        go run ./scripts/geminihook ping")
	l.want(l.run("ping", "--wait", "10m"), 0, `arrived     published, type "webhook.ping"`, "geminihook-other")
	if m := l.Messages(t); len(m) != 1 || m[0].Topic != functiontest.OtherTopic {
		t.Fatalf("the ping left %d messages", len(m))
	}

	id := l.api.IDs()[0]
	deliver := func(by geminitest.Signing) {
		t.Helper()
		body := webhooktest.NewEvent("batch.succeeded")
		if status, err := l.api.Deliver(t.Context(), id, body, by); err != nil || status != http.StatusNoContent {
			t.Fatalf("answered %d, %v", status, err)
		}
		if m := l.Messages(t); len(m) != 1 || m[0].Topic != functiontest.BatchTopic || string(m[0].Data) != string(body) {
			t.Fatalf("%d messages, want the delivery's", len(m))
		}
	}
	deliver(geminitest.All)

	full := strings.TrimSpace(l.run("dynamic-url").out)
	header, event := signV1a(l, webhooktest.NewEvent("interaction.completed"))
	functiontest.Eventually(t, "the new token is known", func() bool { // the sender tries again
		return (&functiontest.Endpoint{URL: full}).Post(t, "", header, event).Status == http.StatusNoContent
	})
	if m := l.Messages(t); len(m) != 1 || m[0].Topic != functiontest.InteractionTopic {
		t.Fatalf("dynamic: %d messages, want the delivery's", len(m))
	}
	l.want(l.run("doctor"), 0, "rotation           none in progress")

	l.want(l.run("rotate"), 0, "version 2 of secret", "rotate --finish")
	deliver(geminitest.Oldest) // to an instance that knows only the old secret
	static.replace()           // with one that knows both
	deliver(geminitest.All)
	deliver(geminitest.Newest)
	deliver(geminitest.Oldest)
	healthy := l.run("doctor")
	l.want(healthy, 0, "✓ signing secret     version 2 is the webhook's current secret", "✓ rotation           version 1 is accepted until")
	t.Logf("doctor:\n%s", healthy.out)

	l.want(l.run("rotate", "--finish"), 1, "the overlap is not over")
	l.pass(25 * time.Hour)
	l.want(l.run("rotate", "--finish"), 0, "version 1 of secret "+signingSecret+"; version 2 is the current secret")
	l.pass(-25 * time.Hour)
	deliver(geminitest.Newest)
	l.want(l.run("doctor"), 0, "rotation           none in progress")
	l.want(l.run("delete", "--yes"), 0)
	l.want(l.run("doctor"), 1, "✗ webhook            no webhook is registered for this URL")
}

// signV1a returns a delivery that is signed as Google signs it.
func signV1a(l *lab, body []byte) (http.Header, string) {
	id, now := webhooktest.NewID(), time.Now()
	return webhooktest.Header(id, now, webhook.SignV1a(l.Keys.Ed25519(1), id, webhooktest.Timestamp(now), body)), string(body)
}
