// Package functions_test runs the functions as the platform does: each in a process
// of its own, chosen by name, and ended by SIGTERM.
package functions_test

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	_ "github.com/geminihook/geminihook/functions/dynamic"
	"github.com/geminihook/geminihook/functions/functiontest"
	_ "github.com/geminihook/geminihook/functions/reconcile"
	_ "github.com/geminihook/geminihook/functions/static"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	urlToken = "0123456789abcdef"
	apiKey   = "AIza-the-key-of-the-test"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

// At its start a function fetches its secrets and keys and opens its connections, so
// that the first delivery is as fast as later ones.
func TestWarmUp(t *testing.T) {
	for target, want := range map[string][]string{
		"StaticWebhook":  {functiontest.AccessVersion, functiontest.ListVersions, functiontest.Read},
		"DynamicWebhook": {functiontest.AccessVersion, functiontest.ListVersions, functiontest.Read},
		"Reconcile":      {functiontest.AccessVersion, functiontest.ListVersions, functiontest.Read, functiontest.Read},
	} {
		t.Run(target, func(t *testing.T) {
			p := functiontest.Embedded(t)
			setSecrets(t, p)
			functiontest.Deploy(t, target)
			var calls []string
			functiontest.Eventually(t, "the warm-up has ended", func() bool {
				calls = append(calls, p.Calls()...)
				return len(calls) >= len(want) && (target != "DynamicWebhook" || p.Keys.Fetches() == 1)
			})
			if slices.Sort(calls); !slices.Equal(calls, want) {
				t.Errorf("warm-up made the calls %v, want %v", calls, want)
			}
		})
	}
}

// setSecrets adds the secrets of all functions to a project, and returns the signing
// secret.
func setSecrets(t *testing.T, p *functiontest.Project) string {
	t.Helper()
	secret := webhooktest.NewSecret()
	p.AddSecret(t, "signing", secret)
	p.AddSecret(t, "token", urlToken)
	t.Setenv("SIGNING_SECRET_NAME", "signing")
	t.Setenv("URL_TOKEN_SECRET_NAME", "token")
	p.AddSecret(t, "api-key", apiKey)
	t.Setenv("API_KEY_SECRET_NAME", "api-key")
	t.Setenv("STATIC_URL", "https://hooks.example/")
	return secret
}

// After SIGTERM all current deliveries are processed and answered before the process
// ends.
func TestDrain(t *testing.T) {
	p := functiontest.Embedded(t)
	secret := setSecrets(t, p)
	process, endpoint := functiontest.Deploy(t, "StaticWebhook")

	const n = 40
	terminated := make(chan struct{})
	p.Interfere(func(_ context.Context, method string, forward func() error) error {
		if method == functiontest.Publish {
			<-terminated
		}
		return forward()
	})
	sign := webhooktest.SignV1(secret)
	var senders sync.WaitGroup
	for range n {
		senders.Go(func() {
			m := webhooktest.NewMessage("batch.succeeded", sign)
			if resp, err := m.Post(t.Context(), http.DefaultClient, endpoint.URL); err != nil || resp.StatusCode != http.StatusNoContent {
				t.Errorf("answered %v, %v", resp, err)
			}
		})
	}
	functiontest.Eventually(t, "all claimed", func() bool { return p.Records(t) == n })
	process.Signal(syscall.SIGTERM)
	close(terminated)
	senders.Wait()
	if err := process.Wait(); err != nil {
		t.Errorf("the process ended with %v", err)
	}
	if got := len(p.Messages(t)); got != n {
		t.Errorf("%d messages, want %d", got, n)
	}
}

// A function writes only its own log lines to its log.
func TestQuietStart(t *testing.T) {
	p := functiontest.Embedded(t)
	setSecrets(t, p)
	_, endpoint := functiontest.Deploy(t, "StaticWebhook")
	functiontest.Eventually(t, "the log has a line", func() bool { return endpoint.Log.Text() != "" })
	if lines := endpoint.Log.Lines(t, "delivery"); len(lines) != 1 || lines[0]["outcome"] != "method" {
		t.Errorf("logged %v, want the one request that was made", lines)
	}
	if text := endpoint.Log.Text(); strings.Count(text, "\n") != 1 {
		t.Errorf("logged\n%s", text)
	}
}
