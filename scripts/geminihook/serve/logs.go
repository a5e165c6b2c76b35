package serve

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/serve/inspector"
	"github.com/geminihook/geminihook/scripts/internal/messages"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

// A record is the part of a function's log line that people see in columns.
type record struct {
	Time      time.Time `json:"time"`
	Severity  string    `json:"severity"`
	Message   string    `json:"message"`
	Endpoint  string    `json:"endpoint"`
	Outcome   string    `json:"outcome"`
	Status    int       `json:"status"`
	LatencyMS float64   `json:"latency_ms"`
	Scheme    string    `json:"scheme"`
	Type      string    `json:"type"`
	WebhookID string    `json:"webhook_id"`
	Error     string    `json:"error"`
}

// log shows a log line: unchanged with --json, else in columns. With --json, a pass is
// also an event on standard output. Without it, a pass with the same words as the pass
// before is not shown.
func (c *console) log(text []byte) {
	c.deliveries.Logged(text)
	pass, again := c.passes.Logged(text)
	if pass != nil && c.json {
		c.event(passed{"pass", pass})
	}
	if again && !c.json {
		return
	}
	c.screen.put(c.err, c.logLine(text))
}

func (c *console) logLine(text []byte) string {
	var r record
	switch err := json.Unmarshal(text, &r); {
	case c.json:
		return string(text)
	case err != nil:
		return messages.Indent + messages.Printable(strings.TrimSpace(string(text))) + "\n"
	case r.Message == "delivery":
		return r.delivery(c.logPaint).String() + "\n"
	}
	what, rest := r.Severity, others(text)
	if pass := inspector.ReadPass(text); pass != nil {
		what, rest = "reconcile", pass.Words()
	}
	what = c.logPaint.In(r.colour(), messages.Pad(what, messages.WhatWidth))
	return fmt.Sprintf("%s  %s  %s\n", messages.Clock(r.Time), what, messages.Printable(rest))
}

// delivery returns the row of a delivery, in the same columns as a published message.
func (r *record) delivery(paint terminal.Paint) messages.Row {
	return messages.Row{
		Time:   r.Time,
		What:   paint.In(r.colour(), messages.Pad(fmt.Sprintf("%d %s", r.Status, r.Outcome), messages.WhatWidth)),
		About:  r.Type,
		ID:     r.WebhookID,
		Where:  strings.TrimSpace(r.Endpoint + " " + r.Scheme),
		Amount: fmt.Sprintf("%.1f ms", r.LatencyMS),
		Rest:   r.Error,
	}
}

func (r *record) colour() string {
	switch r.Severity {
	case "ERROR":
		return terminal.Red
	case "WARNING":
		return terminal.Yellow
	}
	return terminal.Green
}

// others returns the message of a log line, followed by its other fields as name=value.
func others(text []byte) string {
	var fields map[string]any
	_ = json.Unmarshal(text, &fields) // logLine has parsed it
	said := fmt.Sprint(fields["message"])
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch name {
		case "time", "severity", "message":
		default:
			said += fmt.Sprintf("  %s=%v", name, fields[name])
		}
	}
	return said
}
