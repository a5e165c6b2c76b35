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

// readWebhook reads the state of our static webhook, and may enable it again. If none is
// expected there is nothing to read.
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
	// Noted before it is done: a webhook that flaps is enabled too seldom rather than
	// too often.
	if err := p.enable(ctx); err != nil {
		p.fail(ctx, "enable", err)
	}
}

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

// readBatches lists the batches, the newest created first, until a page of which none can
// have ended in the window.
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
			if !seen[b.Name] { // a batch created meanwhile moves others to the next page
				seen[b.Name] = true
				p.takeBatch(ctx, b)
			}
		}
		if page.Next == "" || old {
			return
		}
		if tokens[page.Next] {
			p.truncate(ctx, "batches", errors.New("a page token came twice"))
			return
		}
		tokens[page.Next] = true
		token = page.Next
	}
	p.truncate(ctx, "batches", fmt.Errorf("more than %d pages", maxPages))
}

// truncate logs that a bound of ours left something out.
func (p *pass) truncate(ctx context.Context, step string, why error) {
	p.Truncated = true
	p.Log.WarnContext(ctx, "truncated", "step", step, "error", why.Error())
}

// takeBatch adds a batch to the work if it ended in the window and its event is expected
// here. If the webhook could not be read, which makes the pass incomplete, none without
// URLs of its own is.
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
		eventType = "batch.succeeded" // for the count
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

// sortBatch counts a batch of ours, and keeps it if more is to be known about it.
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

func (p *pass) reportMalformed(ctx context.Context, n int) {
	if n > 0 {
		p.Reported += n
		p.line(ctx, slog.LevelWarn, "malformed batches", "count", n)
	}
}

func (p *pass) reportOdd(ctx context.Context, f *finding) {
	p.Reported++
	p.line(ctx, slog.LevelWarn, "job in an unknown state", "kind", f.kind, "job", f.name, "status", shown(f.status))
}

// shown returns the beginning of a text that may be of any length.
func shown(text string) string { return text[:min(len(text), 100)] }

// readJobs reads the open registered jobs, receives new ones while there is room, and
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
		p.truncate(ctx, "register", fmt.Errorf("%d jobs are open: more wait on the subscription", jobs.MaxOpen))
	}
	p.Jobs += len(open)
	for i := range open {
		j := &open[i]
		w := &work{finding: finding{kind: j.Kind, name: j.Name}, job: j, next: *j}
		if jobs.KindOf(j.Name) != j.Kind || j.Kind == jobs.Batch {
			w.next.State = jobs.StateClosed // not ours: nothing can be asked for it
		} else if !due(j, p.now, p.Grace) {
			p.Pending++
			p.young = append(p.young, w)
			continue
		}
		p.work = append(p.work, w)
	}
}

// findRecords asks the ledger for the records of jobs, several jobs a query, and
// remembers the forms in which the sender names them.
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

func markUnknown(group []*work) {
	for _, w := range group {
		w.unknown = true
	}
}

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

// learnForms remembers in which form the sender names jobs of a kind, once one of its
// deliveries named a job that we know by another way.
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

// formIn returns the form in which a delivery of the sender's names a job, or "".
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

func (p *pass) noteForm(ctx context.Context, kind jobs.Kind, f form, job string) error {
	ctx, cancel := context.WithTimeout(ctx, storeTimeout)
	defer cancel()
	return p.Register.NoteForm(ctx, kind, string(f), job)
}

// settleBatches marks the batches whose event is missing.
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
