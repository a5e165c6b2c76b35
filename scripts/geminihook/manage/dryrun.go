package manage

import (
	"context"

	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/reconcile"
	"github.com/geminihook/geminihook/shared/webhook"
)

// An idleRegister reads a register, and writes nothing: it pulls and acknowledges no
// message, and stores no job and no note.
type idleRegister struct{ reconcile.Register }

// Receive returns no job: a pull would hide messages from the next pass.
func (idleRegister) Receive(context.Context, int) (jobs.Received, error) {
	return jobs.Received{}, nil
}

// Save does nothing.
func (idleRegister) Save(context.Context, jobs.Job) error { return nil }

// NoteForm does nothing.
func (idleRegister) NoteForm(context.Context, jobs.Kind, string, string) error { return nil }

// NoteEnabled reports that this pass may not enable the webhook.
func (idleRegister) NoteEnabled(context.Context, jobs.Notes) (bool, error) { return false, nil }

// An idleLedger reads a ledger, and writes nothing.
type idleLedger struct{ reconcile.Ledger }

// Once returns as if the delivery had been handed over, without calling do.
func (idleLedger) Once(context.Context, *webhook.Delivery, func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
	return webhook.Receipt{}, nil
}
