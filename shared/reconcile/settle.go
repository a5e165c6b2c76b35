package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/webhook"
)

// settleJob draws the conclusions from the answer about a registered job: what is saved
// of it, and whether its event is missing.
func (p *pass) settleJob(ctx context.Context, w *work, err error) {
	j := &w.next
	if err != nil {
		p.settleFailed(ctx, w, err)
		return
	}
	j.Misses, j.MissedSince = 0, jobs.Job{}.MissedSince
	j.NextAt = nextAsk(w.job, p.now, p.Grace)
	if w.phase == ended && w.eventType == "" {
		p.Delivered++ // nothing is due
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
	if w.at.IsZero() { // the API does not say when
		if j.EndedAt.IsZero() {
			j.EndedAt = p.now
		}
		w.at = j.EndedAt
	}
	switch due := w.at.Add(p.Grace); {
	case p.now.Before(due):
		p.Pending++
		j.NextAt = due
	case w.phase == recurring && recurrenceDelivered(w.at, w.records):
		p.Pending++
		p.giveUpOld(ctx, w)
	default:
		w.missed = true
	}
}

// settleFailed counts an answer that the API does not show the job. It counts only if
// the API answered something else in this pass: with a revoked key it shows no job. Any
// other failure says nothing about the job.
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

// giveUpOld loses a job that the API has shown for longer than it keeps jobs.
func (p *pass) giveUpOld(ctx context.Context, w *work) {
	if p.now.Sub(w.job.RegisteredAt) > jobs.MaxAge {
		p.lose(ctx, w, w.status)
	}
}

func (p *pass) lose(ctx context.Context, w *work, status string) {
	p.Pending--
	p.Lost++
	w.next.State = jobs.StateLost
	p.line(ctx, slog.LevelError, "lost job", "kind", w.kind, "job", w.name, "status", shown(status))
}

// handOverAll decides about the missing events, the oldest first.
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
		what := decide(&w.finding, &p.Options, held[w.kind] != "")
		if what == handOver && (room == 0 || failures == maxFailures || ctx.Err() != nil) {
			what = deferred
		}
		if what == handOver {
			room--
			what = deferred // unless the next line says otherwise, also by a panic
			p.guard(ctx, "hand over", func() { what = p.handOverOne(ctx, w) })
			if what == deferred {
				failures++
			} else {
				failures = 0
			}
		}
		p.record(ctx, w, what, held[w.kind])
	}
	if room == 0 && p.Deferred > 0 {
		p.truncate(ctx, "hand over", fmt.Errorf("more than %d events", maxHandedOver))
	}
}

// heldKinds returns the kinds whose events are held back, each with the reason: the
// sender delivers events of the kind, and none of them ever named a job in a form that
// we know. What looks missing may have been delivered under another name.
func (p *pass) heldKinds(ctx context.Context, missed []*work) map[jobs.Kind]string {
	held := make(map[jobs.Kind]string)
	asked := make(map[jobs.Kind]bool)
	for _, w := range missed {
		if p.Mode != Auto || asked[w.kind] || p.notes.Forms[w.kind] != "" || w.origin == ours {
			continue
		}
		asked[w.kind] = true
		if reason := p.holdReason(ctx, w.kind); reason != "" && p.notes.Forms[w.kind] == "" {
			held[w.kind] = reason
		}
	}
	return held
}

func (p *pass) holdReason(ctx context.Context, kind jobs.Kind) string {
	if !p.notesKnown {
		return "the notes could not be read"
	}
	any, err := p.Ledger.Any(ctx, []string{webhook.StaticEndpoint, webhook.DynamicEndpoint}, typesOf(kind))
	if err != nil {
		p.fail(ctx, "ledger", err)
		return "the ledger could not be read"
	}
	if !any {
		return ""
	}
	// One that was delivered within the grace may show the form as well.
	var young []*work
	for _, w := range p.young {
		if w.kind == kind && len(young) < maxLines {
			young = append(young, w)
		}
	}
	p.findRecords(ctx, young)
	return fmt.Sprintf("%s events were delivered, and data.id of none names a job as we know it: compare data.id with the job's name", kind)
}

// handOverOne publishes an event through the ledger, and says what became of it.
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
	case errors.As(err, &busy): // another pass is at it, or was
		return deferred
	}
	p.fail(ctx, "hand over", err)
	return deferred
}

// record counts and logs what is done with an event, and what follows for its job.
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
	case w.job == nil:
		if what == handOver {
			p.deliveredNow[w.name] = true
		}
	case w.phase == recurring:
	case what == handOver,
		what == reportOnly && w.origin == undocumented,
		what == reportOnly && p.now.Sub(w.at) > p.LookBack:
		w.next.State = jobs.StateClosed
	}
	if w.job != nil && what == deferred {
		w.next.NextAt = w.job.NextAt // in the next pass
	}
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
			errs.add(p.Register.Save(ctx, w.next))
		}
	})
	if err := errs.first(); err != nil {
		p.fail(ctx, "register", err)
	}
}
