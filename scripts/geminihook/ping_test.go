package main

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// lines puts lines into the function's log: those of before at once, and one of while
// each time that the command waits.
func (l *lab) lines(before []string, while ...string) {
	shown := before
	l.google.log = func() []string { return shown }
	l.paused = func() {
		if len(while) > 0 {
			shown, while = append(shown, while[0]), while[1:]
		}
	}
}

// line returns the log line of a delivery.
func line(outcome string, status int, more string) string {
	return fmt.Sprintf(`{"message":"delivery","endpoint":"static","outcome":%q,"status":%d%s}`, outcome, status, more)
}

// ping succeeds when the log shows an accepted delivery, and otherwise names the cause.
func TestPing(t *testing.T) {
	l := newLab(t)
	l.want(l.run("ping"), 1, "no webhook is registered for this URL")
	l.want(l.run("register"), 0)
	published := line("published", 204, `,"type":"webhook.ping","webhook_id":"msg_1","topic":"projects/p/topics/geminihook-other"`)
	forged := line("forged", 401, `,"error":"signature does not authenticate the delivery"`)

	l.lines([]string{published, forged}, `{"message":"refresh failed"}`, "not JSON", forged, published)
	l.want(l.run("ping"), 0, "waiting up to 2m0s", `arrived     published, type "webhook.ping", id msg_1, on projects/p/topics/geminihook-other`)

	l.lines([]string{published}, forged)
	l.want(l.run("ping"), 1, "no delivery was accepted within 2m0s", "rejected with 401, forged: signature does not authenticate the delivery", "geminihook doctor")

	l.lines([]string{published})
	l.want(l.run("ping", "--wait", "4s"), 1, "no delivery arrived within 4s", "not open to all callers", "geminihook list")

	l.google.set("/v2/entries:list", 403, `{"error":{"code":403,"message":"Permission denied for all log views"}}`)
	l.api.Calls()
	l.want(l.run("ping"), 1, "answered 403: Permission denied", "roles/logging.viewer")
	for _, call := range l.api.Calls() {
		if call == "ping" {
			t.Error("ping was requested although the log cannot be read")
		}
	}
	l.api.Disable(l.api.IDs()[0])
	l.want(l.run("ping"), 1, "the API would send no ping", "geminihook enable")
}

// An interrupt ends ping.
func TestPingInterrupted(t *testing.T) {
	l := newLab(t)
	l.want(l.run("register"), 0)
	ctx, interrupt := context.WithTimeout(t.Context(), time.Minute)
	l.paused = interrupt
	l.want(l.runIn(ctx, "ping"), 1, "context canceled")
}
