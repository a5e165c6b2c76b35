package main

import (
	"net"
	"net/url"
	"strings"
	"testing"
)

// If an emulator's variable is left over from a test, commands for the real API fail:
// they must not store a one-time secret or a URL token in an emulator.
func TestLeftOverEmulator(t *testing.T) {
	l := newLab(t)
	l.want(l.run("register"), 0, "registered")
	l.api.Calls()
	local, err := url.Parse(l.gemini.URL)
	if err != nil {
		t.Fatal(err)
	}
	// For the command, this is not an address of this machine, but it reaches the
	// stand-in.
	l.gemini.URL = "http://" + net.JoinHostPort("0.0.0.0", local.Port())
	l.Calls()
	for _, args := range []string{
		"register", "rotate", "rotate --finish", "rotate --immediately", "dynamic-url", "dynamic-url --rotate", "list --api-key-secret-name " + signingSecret, "api-key",
	} {
		l.want(l.run(strings.Fields(args)...), 1, "SECRET_MANAGER_EMULATOR_HOST is set (127.0.0.1:", "nothing was changed", "unset SECRET_MANAGER_EMULATOR_HOST")
	}
	l.want(l.run("doctor"), 1, "unset SECRET_MANAGER_EMULATOR_HOST")
	l.want(l.run("reconcile"), 1, "FIRESTORE_EMULATOR_HOST is set (127.0.0.1:", "would use an emulator for Firestore", "nothing was changed")
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	l.want(l.run("reconcile", "--dry-run"), 1, "PUBSUB_EMULATOR_HOST is set (127.0.0.1:", "would use an emulator for Pub/Sub")
	l.want(l.run("list"), 0, l.api.IDs()[0]) // it needs no secret
	if calls := l.Calls(); len(calls) != 0 {
		t.Errorf("calls of the emulator: %v, want none", calls)
	}
	for _, call := range l.api.Calls() {
		if call != "list" {
			t.Errorf("API call %s, want only list", call)
		}
	}
	l.wantHealthy()
}
