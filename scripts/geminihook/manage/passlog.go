package manage

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/messages"
)

// A passHandler writes the log lines of a pass for people. It drops the line about the
// whole pass, because sayPass writes that. It is safe for concurrent use.
type passHandler struct {
	inv *Invocation
	mu  sync.Mutex
}

// Enabled implements slog.Handler. All levels are enabled.
func (*passHandler) Enabled(context.Context, slog.Level) bool { return true }

// WithAttrs implements slog.Handler. A pass does not use it.
func (h *passHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler. A pass does not use it.
func (h *passHandler) WithGroup(string) slog.Handler { return h }

// Handle implements slog.Handler.
func (h *passHandler) Handle(_ context.Context, record slog.Record) error {
	if record.Message == "pass" {
		return nil
	}
	attrs := make(map[string]string)
	var pairs []string
	record.Attrs(func(a slog.Attr) bool {
		value := a.Value.String()
		if a.Value.Kind() == slog.KindTime {
			value = a.Value.Time().UTC().Format(time.RFC3339)
		}
		attrs[a.Key] = messages.Printable(value)
		pairs = append(pairs, a.Key+"="+attrs[a.Key])
		return true
	})
	word, text := h.passLine(record.Message, attrs)
	if word == "" {
		word, text = "note", record.Message+": "+strings.Join(pairs, ", ")
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.inv.say(word, "%s", text)
	return nil
}

// passLine returns the keyword and the text for a log message of a pass, or "" if the
// message has no form of its own.
func (h *passHandler) passLine(message string, a map[string]string) (word, text string) {
	switch message {
	case "missed job", "event without a delivery":
		word = "missed"
		if message != "missed job" {
			word = "extra" // Gemini has no event of this type
		}
		return word, fmt.Sprintf("%s, ended %s: %s %s", a["job"], a["ended"], a["ce_type"], h.done(a))
	case "lost job":
		return "lost", fmt.Sprintf("%s: %s", a["job"], a["status"])
	case "step failed":
		return "failed", fmt.Sprintf("%s: %s", a["step"], a["error"])
	case "truncated":
		return "truncated", fmt.Sprintf("%s: %s", a["step"], a["error"])
	}
	return "", ""
}

// done describes the action that a pass takes for an event.
func (h *passHandler) done(a map[string]string) string {
	switch action := a["action"]; action {
	case "handed_over":
		if h.inv.DryRun {
			return "would be published"
		}
		return "was published"
	case "held":
		return "is held: " + a["reason"]
	case "deferred":
		return "is deferred to a later pass"
	default:
		return "is " + action
	}
}
