package main

import (
	"slices"
	"testing"

	"github.com/geminihook/geminihook/shared/geminitest"
)

// api-key stores the key once, and reads it back.
func TestAPIKey(t *testing.T) {
	l := newLab(t)
	t.Setenv("GEMINI_API_KEY", " "+apiKey+"\n")
	r := l.run("api-key")
	l.want(r, 0, "stored      version 1 of secret "+keySecret, "within 5 minutes", "next        go run ./scripts/geminihook reconcile --dry-run")
	if stored := l.enabled(keySecret); !slices.Equal(stored, []string{apiKey}) {
		t.Fatalf("%d versions, want one with the key", len(stored))
	}
	if calls := l.api.Calls(); !slices.Equal(calls, []string{"list"}) {
		t.Errorf("calls %v", calls)
	}

	l.want(l.run("api-key"), 0, "already stored as version 1 of secret "+keySecret+"; nothing was changed")
	if n := len(l.enabled(keySecret)); n != 1 {
		t.Errorf("%d versions after a second run, want 1", n)
	}

	// An older key stays enabled, and the output names its version.
	l.AddSecret(t, keySecret, "AIza-another-that-must-not-be-printed")
	l.want(l.run("api-key"), 0, "stored      version 3", "former      version 2, 1 is still enabled", "gcloud secrets versions disable NUMBER --secret="+keySecret+" --project=test-project")
	if stored := l.enabled(keySecret); len(stored) != 3 || stored[0] != apiKey {
		t.Errorf("%d enabled versions, want 3, the newest with the key", len(stored))
	}
}

// A key that cannot be used is neither stored nor printed.
func TestAPIKeyRefused(t *testing.T) {
	broken := geminitest.Fault{Status: 500}
	tests := []struct {
		name   string
		mutate func(*lab)
		says   []string
	}{
		{"none", func(l *lab) { l.t.Setenv("GEMINI_API_KEY", " \n") }, []string{"no Gemini API key: set GEMINI_API_KEY\n"}},
		{"ill-formed", func(l *lab) { l.setKey("AIza with spaces") }, []string{"GEMINI_API_KEY: api key must be printable ASCII without spaces"}},
		{"revoked", func(l *lab) { l.api.Revoke(true) }, []string{"test of the key: list the webhooks: answered 400: API key not valid", "no key was stored", "geminihook api-key"}},
		{"of another API", func(l *lab) { l.api.Fail(geminitest.List, geminitest.Fault{Status: 403}) }, []string{"answered 403", "no key was stored"}},
		{"API gone", func(l *lab) { l.api.Fail(geminitest.List, broken, broken, broken, broken, broken) }, []string{"answered 500", "no key was stored"}},
		{"no secret", func(l *lab) { l.outputs["api_key_secret_name"] = "another" }, []string{"secret another does not exist, or you lack"}},
		{"store down", func(l *lab) { l.down(addVersion, always) }, []string{"add a version", "still uses the previous key"}},
		{"no reconciler", func(l *lab) { l.outputs["api_key_secret_name"] = nil }, []string{"or give --api-key-secret-name"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l := newLab(t)
			test.mutate(l)
			l.want(l.run("api-key"), 1, test.says...)
			l.Interfere(nil)
			if n := len(l.enabled(keySecret)); n != 0 {
				t.Errorf("%d versions are stored, want 0", n)
			}
		})
	}
}

// setKey sets the key in the environment, which must not be printed.
func (l *lab) setKey(key string) {
	l.hidden[key] = true
	l.t.Setenv("GEMINI_API_KEY", key)
}
