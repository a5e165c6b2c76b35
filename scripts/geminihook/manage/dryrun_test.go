package manage

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A dry run's register and ledger pass no writing call on. The nil ones inside would
// panic.
func TestIdle(t *testing.T) {
	ctx := t.Context()
	var r idleRegister
	received, err := r.Receive(ctx, 1)
	may, noted := r.NoteEnabled(ctx, jobs.Notes{})
	if err := errors.Join(err, noted, r.Save(ctx, jobs.Job{}), r.NoteForm(ctx, jobs.Batch, "whole", "batches/x")); err != nil {
		t.Error(err)
	}
	if len(received.Jobs) != 0 || may {
		t.Errorf("received %v, may enable: %v", received, may)
	}
	_, err = idleLedger{}.Once(ctx, new(webhook.Delivery), func(context.Context) (webhook.Receipt, error) {
		t.Error("published")
		return webhook.Receipt{}, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// Each log message of a pass is one line without control characters.
func TestPassLines(t *testing.T) {
	var out bytes.Buffer
	inv := &Invocation{App: &App{Out: &out}}
	log := slog.New(&passHandler{inv: inv})
	at := time.Date(2026, 11, 25, 10, 0, 0, 0, time.UTC)
	missed := func(action string, more ...any) []any {
		return append([]any{"kind", "batch", "job", "batches/x", "ce_type", "batch.failed", "ended", at, "action", action}, more...)
	}
	for _, test := range []struct {
		message string
		attrs   []any
		want    string
	}{
		{"missed job", missed("handed_over"), "missed      batches/x, ended 2026-11-25T10:00:00Z: batch.failed was published\n"},
		{"missed job", missed("held", "reason", "why"), "missed      batches/x, ended 2026-11-25T10:00:00Z: batch.failed is held: why\n"},
		{"missed job", missed("deferred"), "missed      batches/x, ended 2026-11-25T10:00:00Z: batch.failed is deferred to a later pass\n"},
		{"event without a delivery", missed("reported"), "extra       batches/x, ended 2026-11-25T10:00:00Z: batch.failed is reported\n"},
		{"lost job", []any{"kind", "video", "job", "models/m/operations/o", "status", "answered 404"}, "lost        models/m/operations/o: answered 404\n"},
		{"step failed", []any{"step", "ledger", "error", "a\nb\x1b[1m"}, "failed      ledger: a·b·[1m\n"},
		{"truncated", []any{"step", "batches", "error", "more than 200 pages"}, "truncated   batches: more than 200 pages\n"},
		{"job in an unknown state", []any{"kind", "batch", "job", "batches/x", "status", "ODD"}, "note        job in an unknown state: kind=batch, job=batches/x, status=ODD\n"},
		{"pass", []any{"jobs", 1}, ""},
	} {
		out.Reset()
		log.Warn(test.message, test.attrs...)
		if got := out.String(); got != test.want {
			t.Errorf("%s: %q, want %q", test.message, got, test.want)
		}
	}
}
