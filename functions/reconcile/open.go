package reconcile

import (
	"context"
	"log/slog"

	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/reconcile"
	"github.com/geminihook/geminihook/shared/settings"
)

// Open returns a Reconciler as the function has it, for a command that makes a pass
// from another machine. It reads all settings except API_KEY_SECRET_NAME from r, and
// makes no call. The Reconciler calls api and logs to log. Open fails if a setting is
// invalid, with all faults, or if a client cannot be opened. Close the Opened after the
// last pass.
func Open(ctx context.Context, r *settings.Reader, api reconcile.API, log *slog.Logger) (*reconcile.Reconciler, *settings.Opened, error) {
	o := readPass(r)
	if err := r.Err(); err != nil {
		return nil, nil, err
	}
	return o.open(ctx, api, log)
}

// open opens the ledger, the publisher and the register. If it fails, it leaves none of
// them open.
func (o *passOptions) open(ctx context.Context, api reconcile.API, log *slog.Logger) (_ *reconcile.Reconciler, opened *settings.Opened, err error) {
	if opened, err = o.Common.Open(ctx); err != nil {
		return nil, nil, err
	}
	defer opened.CloseIf(&err)
	register, err := jobs.Open(ctx, o.place, log)
	if err != nil {
		return nil, nil, err
	}
	opened.Add(register)
	return &reconcile.Reconciler{
		Options:   o.pass,
		API:       api,
		Register:  register,
		Ledger:    opened.Ledger,
		Publisher: opened.Publisher,
		Log:       log,
	}, opened, nil
}
