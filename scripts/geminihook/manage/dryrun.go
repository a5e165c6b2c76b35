package manage

import (
	"context"

	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/reconcile"
	"github.com/geminihook/geminihook/shared/webhook"
)

// An idleRegister reads the register of jobs but never changes it: it pulls and
// acknowledges no message, and stores no job and no note.
type idleRegister struct{ reconcile.Register }

// Receive returns no jobs. A pull would hide messages from the next pass.
func (idleRegister) Receive(context.Context, int) (jobs.Received, error) {
	return jobs.Received{}, nil
}

// Save does not store the job.
func (idleRegister) Save(context.Context, jobs.Job) error { return nil }

// NoteForm does not store the note.
func (idleRegister) NoteForm(context.Context, jobs.Kind, string, string) error { return nil }

// NoteEnabled returns false, so that the pass does not enable the webhook.
func (idleRegister) NoteEnabled(context.Context, jobs.Notes) (bool, error) { return false, nil }

// An idleLedger reads the ledger and does not write to it.
type idleLedger struct{ reconcile.Ledger }

// Once returns as if the delivery had been published. It does not call do.
func (idleLedger) Once(context.Context, *webhook.Delivery, func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
	return webhook.Receipt{}, nil
}
