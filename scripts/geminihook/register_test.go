package main

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Methods of Secret Manager that only management calls.
const (
	addVersion     = "/google.cloud.secretmanager.v1.SecretManagerService/AddSecretVersion"
	disableVersion = "/google.cloud.secretmanager.v1.SecretManagerService/DisableSecretVersion"
)

// down makes the next n calls of a method fail without any effect, and with a code that
// Google's client does not retry.
func (l *lab) down(method string, n int) {
	var mu sync.Mutex
	l.Interfere(func(_ context.Context, called string, forward func() error) error {
		mu.Lock()
		defer mu.Unlock()
		if called == method && n > 0 {
			n--
			return status.Error(codes.Internal, "a fault of the test")
		}
		return forward()
	})
}

const always = 1 << 20

// wantHealthy checks that there is one webhook, whose current secret is stored.
func (l *lab) wantHealthy() {
	l.t.Helper()
	ids := l.api.IDs()
	if len(ids) != 1 {
		l.t.Fatalf("%d webhooks", len(ids))
	}
	if secret := l.api.Secrets(ids[0])[0]; !slices.Contains(l.enabled(signingSecret), secret) {
		l.t.Fatal("the webhook's secret is not stored")
	}
}

// register creates one webhook and stores its secret; a second run changes nothing.
func TestRegister(t *testing.T) {
	l := newLab(t)
	l.api.Page = 10
	for range 25 { // other webhooks of the project
		l.api.Add("https://example.com/elsewhere?token=of-another-webhook")
	}
	l.want(l.run("register"), 0, "registered  webhook", "version 1 of secret "+signingSecret, "next        go run ./scripts/geminihook ping")
	if calls := l.api.Calls(); !slices.Equal(calls, []string{"list", "list", "list", "create", "list", "list", "list"}) {
		t.Errorf("calls %v", calls)
	}
	ids := l.api.IDs()
	mine := l.api.Secrets(ids[25])
	if stored := l.enabled(signingSecret); len(ids) != 26 || !slices.Equal(stored, mine) {
		t.Fatalf("%d webhooks, %d versions", len(ids), len(stored))
	}

	l.want(l.run("register"), 0, "was registered already; nothing was changed", "version 1 of secret")
	if calls := l.api.Calls(); !slices.Equal(calls, []string{"list", "list", "list"}) {
		t.Errorf("calls of the second run %v", calls)
	}
	if stored := l.enabled(signingSecret); !slices.Equal(stored, mine) {
		t.Errorf("the second run left %d versions", len(stored))
	}
	listed := l.run("list")
	l.want(listed, 0, "* "+ids[25], "https://example.com/elsewhere?…")
	if strings.Contains(listed.out, "of-another-webhook") {
		t.Error("list shows a token")
	}

	l.api.Disable(ids[25])
	l.want(l.run("register"), 1, "disabled_due_to_failed_deliveries", "the API delivers no events to it", "geminihook enable")
	l.want(l.run("enable"), 0, "which was disabled_due_to_failed_deliveries")
	l.want(l.run("enable"), 0, "was enabled already")
}

// After each fault, the output describes the state and the next step, and another run
// of register succeeds.
func TestRegisterFaults(t *testing.T) {
	busy, broken := geminitest.Fault{Status: 429}, geminitest.Fault{Status: 500}
	done := geminitest.Fault{Status: 500, Done: true}
	odd := geminitest.Fault{Status: 200, Done: true, Body: `{"id":"x","uri":"u","subscribed_events":[],"new_signing_secret":["whsec_AAAA"]}`}
	bare := geminitest.Fault{Status: 200, Done: true, Body: `{"id":"x","uri":"u","subscribed_events":[]}`}
	tests := []struct {
		name   string
		mutate func(*lab)
		status int
		says   []string
		left   int // webhooks
	}{
		{"busy at first", func(l *lab) { l.api.Fail(geminitest.Create, busy, busy) }, 0, []string{"registered"}, 1},
		{"busy for long", func(l *lab) { l.api.Fail(geminitest.Create, busy, busy, busy, busy) }, 1, []string{"answered 429", "no webhook was created"}, 0},
		{"not created", func(l *lab) { l.api.Fail(geminitest.Create, broken) }, 1, []string{"answered 500", "the API lists no webhook for this URL", "geminihook register"}, 0},
		{"created, reply lost", func(l *lab) { l.api.Fail(geminitest.Create, done) }, 0, []string{"was created in spite of the error", "it has a new one"}, 1},
		{"created, reply garbled", func(l *lab) { l.api.Fail(geminitest.Create, odd) }, 0, []string{"was created in spite of the error", "it has a new one"}, 1},
		{"created, reply without a secret", func(l *lab) { l.api.Fail(geminitest.Create, bare) }, 0, []string{"the answer lacks a signing secret", "it has a new one"}, 1},
		{"created, reply lost, API gone", func(l *lab) {
			l.api.Fail(geminitest.Create, done)
			l.api.Fail(geminitest.List, geminitest.Fault{}, broken, broken, broken, broken, broken)
		}, 1, []string{"then list the webhooks", "may have been created", "geminihook register"}, 1},
		{"key wrong", func(l *lab) { l.t.Setenv("GEMINI_API_KEY", "wrong") }, 1, []string{"API key not valid"}, 0},
		{"no key", func(l *lab) { l.t.Setenv("GEMINI_API_KEY", "") }, 1, []string{"set GEMINI_API_KEY, or give --api-key-secret-name"}, 0},
		{"no such secret", func(l *lab) { l.outputs["signing_secret_name"] = "another" }, 1,
			[]string{"does not exist, or you lack secretmanager.versions.add", "nothing was changed", "secretVersionManager"}, 0},
		{"store down for a while", func(l *lab) { l.down(addVersion, 3) }, 0, []string{"registered"}, 1},
		{"store down", func(l *lab) { l.down(addVersion, 4) }, 1, []string{"could not be stored", "was deleted again", "geminihook register"}, 0},
		{"stored, not read back", func(l *lab) { l.down(functiontest.AccessVersion, always) }, 1, []string{"could not be stored", "was deleted again"}, 0},
		{"store down, then the API", func(l *lab) {
			l.down(addVersion, always)
			l.api.Fail(geminitest.Delete, broken, broken, broken, broken, broken)
		}, 1, []string{"could not be stored", "then delete the webhook: answered 500", "its secret is lost", "geminihook register, which gives it a new secret", "delete --yes --id"}, 1},
		{"found without a secret", func(l *lab) { l.api.Add(l.url("static_url")) }, 0, []string{"its secret was not stored: it has a new one"}, 1},
		{"found with another's secret", func(l *lab) {
			l.api.Add(l.url("static_url"))
			l.AddSecret(l.t, signingSecret, webhooktest.NewSecret())
		}, 0, []string{"it has a new one", "version 2 of secret"}, 1},
		{"found, reply to the rotation lost", func(l *lab) {
			l.api.Add(l.url("static_url"))
			l.api.Fail(geminitest.Rotate, done, done, done, done, done)
		}, 1, []string{"the secret may have changed", "geminihook rotate"}, 1},
		{"found, store down", func(l *lab) {
			l.api.Add(l.url("static_url"))
			l.down(addVersion, always)
		}, 1, []string{"the new secret could not be stored", "signs with a lost secret"}, 1},
		{"events refused", func(l *lab) { l.outputs["static_url"] = "http://example.com/not-https" }, 1, []string{"must use https", "no webhook was created"}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			url := l.url("static_url")
			test.mutate(l)
			r := l.run("register")
			l.want(r, test.status, test.says...)
			if left := l.api.IDs(); len(left) != test.left {
				t.Errorf("%d webhooks, want %d", len(left), test.left)
			}
			if test.left == 0 && len(l.enabled(signingSecret)) != 0 {
				t.Error("a useless version is enabled")
			}

			l.Interfere(nil)
			t.Setenv("GEMINI_API_KEY", apiKey)
			l.outputs["signing_secret_name"], l.outputs["static_url"] = signingSecret, url
			l.want(l.run("register"), 0, "webhook")
			l.wantHealthy()
		})
	}
}

func TestEvents(t *testing.T) {
	l := newLab(t)
	l.want(l.run("register", "--event", "batch.succeeded", "--event", "batch.cancelled"), 1, `"batch.cancelled"`, "video.generated", "no webhook was created")
	l.want(l.run("register", "--event", "batch.succeeded", "--event", "batch.failed"), 0, "events      batch.succeeded batch.failed\n")
}

// If the reply to a rotation was lost, register rotates again, and the old secret,
// which is stored, stays valid for 24 hours.
func TestRegisterAfterLostRotation(t *testing.T) {
	l := newLab(t)
	l.want(l.run("register"), 0)
	lost := geminitest.Fault{Status: 500, Done: true}
	l.api.Fail(geminitest.Rotate, lost, lost, lost, lost, lost)
	l.want(l.run("rotate"), 1, "answered 500", "the secret may have changed", "also with the old one")
	old := l.enabled(signingSecret)[0]
	l.want(l.run("register"), 0, "its secret was not stored: it has a new one", "version 2 of")
	l.wantHealthy()
	if !slices.Contains(l.api.Secrets(l.api.IDs()[0]), old) {
		t.Error("the stored secret was revoked although the API still signed with it")
	}
}

// An interrupt leaves no webhook without a stored secret.
func TestInterrupt(t *testing.T) {
	l := newLab(t)
	ctx, interrupt := context.WithCancel(t.Context())
	l.gemini.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.api.ServeHTTP(w, r)
		if r.Method == http.MethodPost {
			interrupt()
		}
	})
	l.want(l.runIn(ctx, "register"), 0)
	l.wantHealthy()
}

// If two runs create a webhook at the same time, the one that sees the other's deletes
// its own.
func TestOvertaken(t *testing.T) {
	l := newLab(t)
	l.gemini.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost && len(l.api.IDs()) == 0 {
			l.api.Add(l.url("static_url"))
		}
		l.api.ServeHTTP(w, r)
	})
	l.want(l.run("register"), 1, "another webhook for this URL was created at the same time", "was deleted again", "geminihook register")
	l.want(l.run("register"), 0)
	l.wantHealthy()
}

// A damaged is a Secret Manager that returns damaged values.
type damaged struct{ *gcptest.SecretManager }

func (d damaged) Register(s grpc.ServiceRegistrar) {
	secretmanagerpb.RegisterSecretManagerServiceServer(s, d)
}

func (d damaged) AccessSecretVersion(ctx context.Context, req *secretmanagerpb.AccessSecretVersionRequest) (*secretmanagerpb.AccessSecretVersionResponse, error) {
	res, err := d.SecretManager.AccessSecretVersion(ctx, req)
	if err == nil {
		res.Payload.Data[10] ^= 1
	}
	return res, err
}

// If a secret is not read back as it was stored, neither a webhook nor a version
// remains.
func TestReadBack(t *testing.T) {
	l := newLab(t)
	server, err := gcptest.Start("127.0.0.1:0", damaged{l.Secrets})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	t.Setenv("SECRET_MANAGER_EMULATOR_HOST", server.Addr())
	l.want(l.run("register"), 1, "version 1 differs from the text that was stored", "was deleted again")
	if len(l.api.IDs()) != 0 || len(l.enabled(signingSecret)) != 0 {
		t.Error("a webhook or an enabled version remains")
	}
}

// Concurrent runs leave at most one webhook, and one more run makes its secret stored.
func TestConcurrentRegister(t *testing.T) {
	l := newLab(t)
	l.writeOutputs()
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() { l.run("register") })
	}
	all.Wait()
	if n := len(l.api.IDs()); n > 1 {
		t.Errorf("%d webhooks", n)
	}
	l.want(l.run("register"), 0)
	l.wantHealthy()
}

// If two webhooks for the URL exist, commands fail and name both.
func TestSeveral(t *testing.T) {
	l := newLab(t)
	a, b := l.api.Add(l.url("static_url")), l.api.Add(l.url("static_url"))
	for _, command := range []string{"register", "rotate", "ping", "enable", "delete"} {
		l.want(l.run(command), 1, "2 webhooks are registered for this URL: "+a+", "+b, "delete --yes --id ID")
	}
	l.want(l.run("delete", "--id", a), 1, "would be deleted", "nothing was changed")
	l.want(l.run("delete", "--yes", "--id", "missing"), 1, "no webhook with the id missing", "geminihook list")
	l.want(l.run("delete", "--yes", "--id", a), 0)
	l.want(l.run("register"), 0)
	l.wantHealthy()
}

// With --api-key-secret-name, the API key comes from Secret Manager.
func TestKeyFromSecret(t *testing.T) {
	l := newLab(t)
	t.Setenv("GEMINI_API_KEY", "wrong")
	l.AddSecret(t, "gemini-api-key", apiKey+"\n")
	l.want(l.run("register", "--api-key-secret-name", "gemini-api-key"), 0)
	l.want(l.run("list", "--api-key-secret-name", "projects/"+l.ID+"/secrets/gemini-api-key"), 0, "*")
	l.emptySecret("empty")
	l.want(l.run("list", "--api-key-secret-name", "empty"), 1, "secret empty has no enabled version")
}

// If a proxy answers instead of the API, the output does not repeat its answer.
func TestOddAnswers(t *testing.T) {
	l := newLab(t)
	for _, status := range []int{200, 403, 502} {
		l.gemini.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Retry-After-Ms", "1")
			w.WriteHeader(status)
			fmt.Fprintf(w, "<html>%s</html>", apiKey)
		})
		l.want(l.run("register"), 1, fmt.Sprintf("list the webhooks: answered %d: the answer cannot be parsed", status))
	}
	gone := httptest.NewServer(nil)
	gone.Close()
	l.gemini.URL = gone.URL
	l.want(l.run("register"), 1, "list the webhooks: ", "refused")
}
