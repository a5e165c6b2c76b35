package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/webhook"
)

// settleJob evaluates the API's answer about a registered job, or the error err. It
// sets the fields to save, and whether the job's event is missing.
func (p *pass) settleJob(ctx context.Context, w *work, err error) {
	j := &w.next
	if err != nil {
		p.settleFailed(ctx, w, err)
		return
	}
	j.Misses, j.MissedSince = 0, time.Time{}
	j.NextAt = nextAsk(w.job, p.now, p.Grace)
	if w.phase == ended && w.eventType == "" {
		p.Delivered++ // no event is due
		j.State = jobs.StateClosed
		return
	}
	if w.phase == running || w.phase == odd {
		if w.phase == odd {
			p.reportOdd(ctx, &w.finding)
		}
		p.Pending++
		p.giveUpOld(ctx, w)
		return
	}
	p.settleEnded(ctx, w)
}

// settleEnded decides whether the event of a job that ended or requires an action is
// missing. The event of an action that is required since before the look-back does
// not count as missing: it has been handled, or the record of its delivery may have
// expired.
func (p *pass) settleEnded(ctx context.Context, w *work) {
	j := &w.next
	if j.EndedAt.IsZero() && w.phase == ended {
		j.EndedAt = p.now
	}
	if w.at.IsZero() { // the API does not report the time
		w.at = cmp.Or(j.EndedAt, p.now)
	}
	switch due := w.at.Add(p.Grace); {
	case p.now.Before(due):
		p.Pending++
		j.NextAt = due
	case w.phase == recurring && (recurrenceDelivered(w.at, w.records) || w.at.Before(p.now.Add(-p.LookBack))):
		p.Pending++
		p.giveUpOld(ctx, w)
	default:
		w.missed = true
	}
}

// settleFailed counts a miss if the API answered 404 or 403. It counts it only if
// another call of this pass succeeded, because with a revoked key the API shows no
// job at all. Other errors are no fact about the job, and are only logged.
func (p *pass) settleFailed(ctx context.Context, w *work, err error) {
	p.Pending++
	if !isMiss(err) {
		if !errors.Is(err, errNotAsked) {
			p.line(ctx, slog.LevelWarn, "job not read", "kind", w.kind, "job", w.name, "error", err.Error())
		}
		return
	}
	if !p.answered {
		return
	}
	p.Foreign++
	j := &w.next
	if j.Misses == 0 {
		j.MissedSince = p.now
	}
	j.Misses++
	j.NextAt = nextAsk(w.job, p.now, p.Grace)
	if isLost(j, p.now) {
		p.lose(ctx, w, err.Error())
	}
}

// giveUpOld sets a job to lost if it is older than the time for which the API keeps
// jobs.
func (p *pass) giveUpOld(ctx context.Context, w *work) {
	if p.now.Sub(w.job.RegisteredAt) > jobs.MaxAge {
		p.lose(ctx, w, w.status)
	}
}

// lose sets a pending job to lost, and logs it.
func (p *pass) lose(ctx context.Context, w *work, status string) {
	p.Pending--
	p.Lost++
	w.next.State = jobs.StateLost
	p.line(ctx, slog.LevelError, "lost job", "kind", w.kind, "job", w.name, "status", shown(status))
}

// handOverAll applies decide to all missing events, the oldest first, and publishes
// up to maxHandedOver of them. It stops publishing after maxFailures consecutive
// failures. The rest is deferred.
func (p *pass) handOverAll(ctx context.Context) {
	var missed []*work
	for _, w := range p.work {
		if w.missed {
			missed = append(missed, w)
		}
	}
	slices.SortFunc(missed, func(a, b *work) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.name, b.name)) })
	held := p.heldKinds(ctx, missed)
	room, failures := maxHandedOver, 0
	for _, w := range missed {
		reason := held[w.kind]
		if w.job != nil && seenLate(&w.finding, &w.next, p.LookBack) {
			reason = "no pass saw the job's end within the look-back: the record of its delivery may have expired"
		}
		what := decide(&w.finding, &p.Options, reason != "")
		if what == handOver && (room == 0 || failures == maxFailures || ctx.Err() != nil) {
			what = deferred
		}
		if what == handOver {
			room--
			what = deferred // also the result if handOverOne panics
			p.guard(ctx, "hand over", func() { what = p.handOverOne(ctx, w) })
			if what == deferred {
				failures++
			} else {
				failures = 0
			}
		}
		p.record(ctx, w, what, reason)
	}
	if room == 0 && p.Deferred > 0 {
		p.truncate(ctx, "hand over", fmt.Errorf("more than %d events", maxHandedOver))
	}
}

// heldKinds returns the kinds that are held in mode Auto, with the reason for each. A
// kind is held if Gemini delivers events of it, but no delivery has named a known job
// so far. Then the form of the names is unknown, and events that look missing may
// have been delivered under another name. A kind is also held if the notes or the
// ledger cannot be read.
func (p *pass) heldKinds(ctx context.Context, missed []*work) map[jobs.Kind]string {
	held := make(map[jobs.Kind]string)
	asked := make(map[jobs.Kind]bool)
	for _, w := range missed {
		if p.Mode == Report || p.Mode == Publish || asked[w.kind] || p.notes.Forms[w.kind] != "" || w.origin == ours {
			continue
		}
		asked[w.kind] = true
		if reason := p.holdReason(ctx, w.kind); reason != "" && p.notes.Forms[w.kind] == "" {
			held[w.kind] = reason
		}
	}
	return held
}

// holdReason returns the reason to hold a kind of unknown form, or "". As a last
// resort it looks for the form in deliveries of jobs that ended within the grace, and
// stores it in p.notes, which heldKinds checks after the call.
func (p *pass) holdReason(ctx context.Context, kind jobs.Kind) string {
	if !p.notesKnown {
		return "the notes could not be read"
	}
	asking, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	called, err := p.Ledger.Any(asking, []string{webhook.StaticEndpoint, webhook.DynamicEndpoint}, typesOf(kind))
	if err != nil {
		p.fail(ctx, "ledger", err)
		return "the ledger could not be read"
	}
	if !called {
		return ""
	}
	// The delivery of a job that ended within the grace may show the form as well.
	var young []*work
	for _, w := range p.young {
		if w.kind == kind && len(young) < maxYoung {
			young = append(young, w)
		}
	}
	p.findRecords(ctx, young)
	return fmt.Sprintf("%s events were delivered, but none has a data.id that names a known job: compare data.id with the job's name", kind)
}

// handOverOne publishes an event through the ledger. It returns handOver if the event
// is on its topic, published now or before, and deferred if it failed.
func (p *pass) handOverOne(ctx context.Context, w *work) action {
	d := rebuild(&w.finding, formFor(w.kind, p.notes.Forms), p.now)
	ctx, cancel := context.WithTimeout(ctx, processTimeout)
	defer cancel()
	_, err := p.Ledger.Once(ctx, d, func(ctx context.Context) (webhook.Receipt, error) {
		return p.Publisher.Publish(ctx, d)
	})
	busy := (*webhook.BusyError)(nil)
	switch {
	case err == nil, errors.Is(err, webhook.ErrUnmarked), errors.Is(err, webhook.ErrDuplicate):
		return handOver
	case errors.As(err, &busy): // another pass has claimed it, and has not finished or has failed
		return deferred
	}
	p.fail(ctx, "hand over", err)
	return deferred
}

// record counts and logs the action for a missing event, and sets the state of its job.
// held is the reason if the action is holdBack.
func (p *pass) record(ctx context.Context, w *work, what action, held string) {
	message := "event without a delivery"
	if w.origin == documented {
		message = "missed job"
		p.Missed++
	}
	switch what {
	case handOver:
		p.HandedOver++
	case holdBack:
		p.Held++
	case reportOnly:
		p.Reported++
	case deferred:
		p.Deferred++
	}
	attrs := []any{"kind", w.kind, "job", w.name, "ce_type", w.eventType, "ended", w.at, "action", what}
	if what == holdBack {
		attrs = append(attrs, "reason", held)
	}
	p.line(ctx, slog.LevelWarn, message, attrs...)
	switch {
	case w.job == nil && what == handOver:
		p.deliveredNow[w.name] = true
	case w.job != nil && what == deferred:
		w.next.NextAt = w.job.NextAt // which has passed: due in the next pass
	case w.job != nil && p.settles(w, what):
		w.next.State = jobs.StateClosed
	}
}

// settles reports whether the action closes a registered job. A job that was only
// reported stays open until the look-back is over, as a batch stays in the list until
// then. A job that requires an action continues, so it stays open.
func (p *pass) settles(w *work, what action) bool {
	switch {
	case w.phase == recurring:
		return false
	case what == reportOnly:
		return w.origin == undocumented || p.now.Sub(w.at) > p.LookBack
	}
	return what == handOver
}

// saveJobs saves the registered jobs that have changed.
func (p *pass) saveJobs(ctx context.Context) {
	var changed []*work
	for _, w := range p.work {
		if w.job != nil && !jobs.Same(*w.job, w.next) {
			changed = append(changed, w)
		}
	}
	var errs errorCount
	each(changed, func(w *work) {
		if !errs.enough() {
			errs.add(p.saveJob(ctx, w.next))
		}
	})
	if err := errs.first(); err != nil {
		p.fail(ctx, "register", err)
	}
}

// saveJob saves a job, with its own timeout.
func (p *pass) saveJob(ctx context.Context, j jobs.Job) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return p.Register.Save(ctx, j)
}
