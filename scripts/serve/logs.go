package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/command"
	"github.com/geminihook/geminihook/scripts/internal/messages"
)

// A record is a line of the functions' log.
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

// log shows a line: as it is with -json, in columns otherwise.
func (c *console) log(text []byte) {
	c.deliveries.Logged(text)
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
	severity := c.logPaint.In(r.colour(), messages.Pad(r.Severity, messages.WhatWidth))
	return fmt.Sprintf("%s  %s  %s\n", messages.Clock(r.Time), severity, messages.Printable(others(text)))
}

// delivery is the line of a delivery, in the columns of a message.
func (r *record) delivery(paint command.Paint) messages.Row {
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
		return command.Red
	case "WARNING":
		return command.Yellow
	}
	return command.Green
}

// others is the message of a record, and what it holds beside it.
func others(text []byte) string {
	var fields map[string]any
	_ = json.Unmarshal(text, &fields) // it did before
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
