package main

import (
	"net"
	"net/url"
	"strings"
	"testing"
)

// A variable that was left over from a test does not lead the real API's one-time
// secret, or the token of the real function's URL, into an emulator.
func TestLeftOverEmulator(t *testing.T) {
	l := newLab(t)
	l.want(l.run("register"), 0, "registered")
	l.api.Calls()
	local, err := url.Parse(l.gemini.URL)
	if err != nil {
		t.Fatal(err)
	}
	// To the command an address like any other, and yet the same stand-in.
	l.gemini.URL = "http://" + net.JoinHostPort("0.0.0.0", local.Port())
	l.Calls()
	for _, args := range []string{
		"register", "rotate", "rotate --finish", "rotate --immediately", "dynamic-url", "dynamic-url --rotate", "list --api-key-secret-name " + signingSecret, "api-key",
	} {
		l.want(l.run(strings.Fields(args)...), 1, "SECRET_MANAGER_EMULATOR_HOST is set (127.0.0.1:", "nothing was changed", "unset SECRET_MANAGER_EMULATOR_HOST")
	}
	l.want(l.run("doctor"), 1, "unset SECRET_MANAGER_EMULATOR_HOST")
	l.want(l.run("reconcile"), 1, "FIRESTORE_EMULATOR_HOST is set (127.0.0.1:", "Firestore would be an emulator", "nothing was changed")
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	l.want(l.run("reconcile", "--dry-run"), 1, "PUBSUB_EMULATOR_HOST is set (127.0.0.1:", "Pub/Sub would be an emulator")
	l.want(l.run("list"), 0, l.api.IDs()[0]) // it needs no secret
	if calls := l.Calls(); len(calls) != 0 {
		t.Errorf("the emulator was called: %v", calls)
	}
	for _, call := range l.api.Calls() {
		if call != "list" {
			t.Errorf("the API was called: %s", call)
		}
	}
	l.wantHealthy()
}
