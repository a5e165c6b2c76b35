package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
)

// readNotes reads the notes. If it fails, no kind has a known form in this pass.
func (p *pass) readNotes(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	notes, err := p.Register.Notes(ctx)
	if err != nil {
		p.fail(ctx, "notes", err)
		notes.Forms = make(map[jobs.Kind]string)
	}
	p.notes, p.notesKnown = notes, err == nil
}

// readWebhook reads the state of our project-level webhook, and may enable it. It makes
// no call if StaticURL is nil.
func (p *pass) readWebhook(ctx context.Context) {
	if p.StaticURL == nil {
		p.WebhookOK = true
		return
	}
	all, err := p.API.Webhooks(ctx)
	if err != nil {
		p.fail(ctx, "webhook", err)
		return
	}
	p.answered = true
	p.static = staticAt(all, p.StaticURL)
	p.WebhookState, p.WebhookOK = p.static.state, p.static.state == gemini.Enabled
	if !p.Reenable || !p.notesKnown || !mayEnable(p.static, p.notes.EnabledAt, p.now) {
		return
	}
	// The note is stored before the webhook is enabled. If the pass ends between the
	// two, the next attempt waits for enablePause. The other order could enable a
	// failing webhook in every pass.
	if err := p.enable(ctx); err != nil {
		p.fail(ctx, "enable", err)
	}
}

// enable stores a note and enables the webhook, unless another pass is doing so.
func (p *pass) enable(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	may, err := p.Register.NoteEnabled(ctx, p.notes)
	if err != nil || !may {
		return err
	}
	if err := p.API.Enable(ctx, p.static.failed); err != nil {
		return err
	}
	p.Log.WarnContext(ctx, "webhook enabled", "id", p.static.failed)
	return nil
}

// readBatches reads the list of batches, which begins with the newest one. It stops
// after a page on which all batches are so old that they ended before the look-back.
func (p *pass) readBatches(ctx context.Context) {
	oldest := p.now.Add(-p.LookBack - batchLife)
	seen, tokens := make(map[string]bool), make(map[string]bool)
	token := ""
	for range maxPages {
		page, err := p.API.Batches(ctx, token)
		if err != nil {
			p.Truncated = p.Truncated || errors.Is(err, gemini.ErrTooLarge)
			p.fail(ctx, "batches", err)
			return
		}
		p.answered = true
		p.reportMalformed(ctx, page.Malformed)
		old := len(page.Batches) > 0
		for i := range page.Batches {
			b := &page.Batches[i]
			old = old && !b.Created.IsZero() && b.Created.Before(oldest)
			if !seen[b.Name] { // a batch created during the pass moves others to the next page
				seen[b.Name] = true
				p.takeBatch(ctx, b)
			}
		}
		if page.Next == "" || old {
			return
		}
		if tokens[page.Next] {
			p.truncate(ctx, "batches", errors.New("the API returned the same page token twice"))
			return
		}
		tokens[page.Next] = true
		token = page.Next
	}
	p.truncate(ctx, "batches", fmt.Errorf("more than %d pages", maxPages))
}

// truncate logs that a bound left something out, and marks the pass as truncated.
func (p *pass) truncate(ctx context.Context, step string, why error) {
	p.Truncated = true
	p.Log.WarnContext(ctx, "truncated", "step", step, "error", why.Error())
}

// takeBatch counts a batch, and adds it to the work if it ended within the look-back
// and its event is expected at our URLs. If the webhook could not be read, the
// subscriptions are unknown: then batches without URLs of their own are ignored, and
// the pass is incomplete.
func (p *pass) takeBatch(ctx context.Context, b *gemini.Batch) {
	if jobs.KindOf(b.Name) != jobs.Batch {
		p.reportMalformed(ctx, 1)
		return
	}
	f := ofBatch(b)
	if f.phase == ended && (f.at.Before(p.now.Add(-p.LookBack)) || f.eventType == "") {
		return
	}
	eventType := f.eventType
	if f.phase != ended {
		eventType = "batch.succeeded" // the event that is likely, to find the owner
	}
	switch ownerOf(b.URIs, eventType, []*url.URL{p.StaticURL, p.DynamicURL}, p.static) {
	case foreign:
		p.Foreign++
		return
	case unsubscribed:
		return
	}
	if f.phase != odd {
		p.sortBatch(&work{finding: f})
	} else if b.Updated.IsZero() || b.Updated.After(p.now.Add(-p.LookBack)) {
		p.Jobs++
		p.reportOdd(ctx, &f)
	}
}

// sortBatch counts one of our batches, and keeps it for the next steps unless it runs
// or the last pass knew it as delivered.
func (p *pass) sortBatch(w *work) {
	p.Jobs++
	switch {
	case w.phase == running:
		p.Pending++
	case w.at.After(p.now.Add(-p.Grace)):
		p.Pending++
		p.young = append(p.young, w)
	case p.Reconciler.delivered[w.name]:
		p.Delivered++
		p.deliveredNow[w.name] = true
	default:
		p.work = append(p.work, w)
	}
}

// reportMalformed counts and logs n entries of the list that are no batches.
func (p *pass) reportMalformed(ctx context.Context, n int) {
	if n > 0 {
		p.Reported += n
		p.line(ctx, slog.LevelWarn, "malformed batches", "count", n)
	}
}

// reportOdd counts and logs a job in a state that this release does not know.
func (p *pass) reportOdd(ctx context.Context, f *finding) {
	p.Reported++
	p.line(ctx, slog.LevelWarn, "job in an unknown state", "kind", f.kind, "job", f.name, "status", shown(f.status))
}

// shown returns the first 100 bytes of a text of the API, for the log.
func shown(text string) string { return text[:min(len(text), 100)] }

// readJobs reads the open registered jobs, receives new ones up to jobs.MaxOpen, and
// adds those that are due to the work.
func (p *pass) readJobs(ctx context.Context) {
	reading, cancel := context.WithTimeout(ctx, 2*storeTimeout) // of up to 10,000 documents
	defer cancel()
	open, more, err := p.Register.Jobs(reading)
	if err != nil {
		p.fail(ctx, "register", err)
	}
	if err == nil {
		received, err := p.Register.Receive(ctx, jobs.MaxOpen-len(open))
		if err != nil {
			p.fail(ctx, "receive", err)
		}
		p.Rejected = received.Rejected
		open = append(open, received.Jobs...)
	}
	if more || len(open) >= jobs.MaxOpen {
		p.truncate(ctx, "register", fmt.Errorf("%d jobs are open: further names stay on the subscription", jobs.MaxOpen))
	}
	p.Jobs += len(open)
	for i := range open {
		j := &open[i]
		w := &work{finding: finding{kind: j.Kind, name: j.Name}, job: j, next: *j}
		if jobs.KindOf(j.Name) != j.Kind || j.Kind == jobs.Batch {
			w.next.State = jobs.StateClosed // no name for which the API can be called
		} else if !due(j, p.now, p.Grace) {
			p.Pending++
			p.young = append(p.young, w)
			continue
		}
		p.work = append(p.work, w)
	}
}

// findRecords reads the records of jobs from the ledger, several jobs a query, and
// stores the forms in which Gemini names them. If a query fails, it marks the jobs of
// the query as unknown.
func (p *pass) findRecords(ctx context.Context, all []*work) {
	var (
		groups [][]*work
		size   = dedup.MaxIDs
	)
	for _, w := range all {
		n := len(formsOf(w.kind))
		if size+n > dedup.MaxIDs {
			groups, size = append(groups, nil), 0
		}
		groups[len(groups)-1] = append(groups[len(groups)-1], w)
		size += n
	}
	var errs errorCount
	each(groups, func(group []*work) {
		if errs.enough() || ctx.Err() != nil {
			markUnknown(group)
			return
		}
		err := p.findGroup(ctx, group)
		if err != nil {
			markUnknown(group)
		}
		errs.add(err)
	})
	if err := errs.first(); err != nil {
		p.fail(ctx, "ledger", err)
	} else if ctx.Err() != nil && len(groups) > 0 {
		p.fail(ctx, "ledger", ctx.Err())
	}
	p.learnForms(ctx, all)
}

// markUnknown marks jobs after a failure to read their records.
func markUnknown(group []*work) {
	for _, w := range group {
		w.unknown = true
	}
}

// findGroup reads the records of a group of jobs in one query, by all names that a
// delivery may give to them.
func (p *pass) findGroup(ctx context.Context, group []*work) error {
	named := make(map[string][]*work)
	var ids []string
	for _, w := range group {
		for _, f := range formsOf(w.kind) {
			id := f.write(w.name)
			if named[id] == nil {
				ids = append(ids, id)
			}
			named[id] = append(named[id], w)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	records, err := p.Ledger.Done(ctx, ids)
	if err != nil {
		return err
	}
	for _, record := range records {
		for _, w := range named[record.JobID] {
			if isOf(record.Type, w.kind) {
				w.records = append(w.records, record)
			}
		}
	}
	return nil
}

// learnForms stores the form in which Gemini names jobs of a kind, if a delivery from
// Gemini names one of these jobs and the form is not known yet.
func (p *pass) learnForms(ctx context.Context, all []*work) {
	for _, w := range all {
		if p.notes.Forms[w.kind] != "" {
			continue
		}
		f := formIn(w)
		if f == "" {
			continue
		}
		p.notes.Forms[w.kind] = string(f)
		if err := p.noteForm(ctx, w.kind, f, w.name); err != nil {
			p.fail(ctx, "notes", err)
			p.unnoted[w.kind] = true
		}
	}
}

// formIn returns the form in which a delivery from Gemini names the job, or "" if there
// is no such delivery.
func formIn(w *work) form {
	for i := range w.records {
		record := &w.records[i]
		for _, f := range formsOf(w.kind) {
			if bySender(record) && f.write(w.name) == record.JobID {
				return f
			}
		}
	}
	return ""
}

// noteForm stores a form, with its own timeout.
func (p *pass) noteForm(ctx context.Context, kind jobs.Kind, f form, job string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return p.Register.NoteForm(ctx, kind, string(f), job)
}

// settleBatches counts the batches that are delivered, and marks those with a missing
// event. A batch is pending if its records could not be read.
func (p *pass) settleBatches() {
	for _, w := range p.work {
		switch {
		case w.job != nil:
		case w.unknown:
			p.Pending++
		case isDelivered(w.kind, w.records):
			p.Delivered++
			if !p.unnoted[w.kind] {
				p.deliveredNow[w.name] = true
			}
		default:
			w.missed = true
		}
	}
}
