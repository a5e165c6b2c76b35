package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
)

func (p *pass) readNotes(ctx context.Context) {
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
		p.WebhookOK, p.staticKnown = true, true
		return
	}
	all, err := p.API.Webhooks(ctx)
	if err != nil {
		p.fail(ctx, "webhook", err)
		return
	}
	p.answered, p.staticKnown = true, true
	p.static = staticAt(all, p.StaticURL)
	p.WebhookState, p.WebhookOK = p.static.state, p.static.state == gemini.Enabled
	if !p.Reenable || !p.notesKnown || !mayEnable(p.static, p.notes.EnabledAt, p.now) {
		return
	}
	// Noted before it is done: a webhook that flaps is enabled too seldom rather than
	// too often.
	may, err := p.Register.NoteEnabled(ctx, p.notes)
	if err == nil && may {
		if err = p.API.Enable(ctx, p.static.failed); err == nil {
			p.Log.WarnContext(ctx, "webhook enabled", "id", p.static.failed)
		}
	}
	if err != nil {
		p.fail(ctx, "enable", err)
	}
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
		if page.Malformed > 0 {
			p.Reported += page.Malformed
			p.line(ctx, slog.LevelWarn, "malformed batches", "count", page.Malformed)
		}
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
// here.
func (p *pass) takeBatch(ctx context.Context, b *gemini.Batch) {
	if jobs.KindOf(b.Name) != jobs.Batch {
		p.Reported++
		p.line(ctx, slog.LevelWarn, "malformed batches", "count", 1)
		return
	}
	f := ofBatch(b)
	if f.phase == ended && (f.at.Before(p.now.Add(-p.LookBack)) || f.eventType == "") {
		return
	}
	if !p.staticKnown && len(b.URIs) == 0 {
		return // whose it is cannot be known in this pass, which is not complete
	}
	eventType := f.eventType
	if f.phase != ended {
		eventType = "batch.succeeded" // for the count
	}
	switch ownerOf(b.URIs, eventType, []*url.URL{p.StaticURL, p.DynamicURL}, p.static) {
	case foreign:
		p.Foreign++
		return
	case nobody:
		return
	}
	p.Jobs++
	switch w := (&work{finding: f}); {
	case f.phase == odd:
		if b.Updated.IsZero() || b.Updated.After(p.now.Add(-p.LookBack)) {
			p.reportOdd(ctx, &f)
		}
	case f.phase == running:
		p.Pending++
	case f.at.After(p.now.Add(-p.Grace)):
		p.Pending++
		p.young = append(p.young, w)
	case p.Reconciler.delivered[f.name]:
		p.Delivered++
		p.deliveredNow[f.name] = true
	default:
		p.work = append(p.work, w)
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
	open, more, err := p.Register.Jobs(ctx)
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
		for i := range w.records {
			record := &w.records[i]
			if p.notes.Forms[w.kind] != "" || !bySender(record) {
				continue
			}
			for _, f := range formsOf(w.kind) {
				if f.write(w.name) != record.JobID {
					continue
				}
				p.notes.Forms[w.kind] = string(f)
				if err := p.Register.NoteForm(ctx, w.kind, string(f), w.name); err != nil {
					p.fail(ctx, "notes", err)
					p.forget = true
				}
			}
		}
	}
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
			p.deliveredNow[w.name] = true
		default:
			w.missed = true
		}
	}
}

// askJobs asks the API for the registered jobs that are due and not delivered.
func (p *pass) askJobs(ctx context.Context) {
	var ask []*work
	for _, w := range p.work {
		switch {
		case w.job == nil:
		case w.next.State != jobs.StateOpen: // not a job of ours
		case w.unknown:
			p.Pending++
		case isDelivered(w.kind, w.records):
			p.Delivered++
			w.next.State = jobs.StateClosed
		default:
			ask = append(ask, w)
		}
	}
	// If the time is over before all were asked for, others come first in the next pass.
	rand.Shuffle(len(ask), func(i, j int) { ask[i], ask[j] = ask[j], ask[i] })
	errs := make(map[*work]error, len(ask))
	var (
		mu    sync.Mutex
		count errorCount
	)
	each(ask, func(w *work) {
		err := errNotAsked
		if !count.enough() && ctx.Err() == nil {
			err = p.ask(ctx, w)
			count.add(counted(err))
		}
		mu.Lock()
		defer mu.Unlock()
		errs[w] = err
	})
	if count.enough() {
		p.fail(ctx, "ask", fmt.Errorf("%d calls in a row failed, the last one: %w", maxFailures, count.last()))
	} else if ctx.Err() != nil && len(ask) > 0 {
		p.fail(ctx, "ask", ctx.Err())
	}
	for _, err := range errs {
		p.answered = p.answered || err == nil
	}
	for _, w := range ask {
		p.guard(ctx, "settle", func() { p.settleJob(ctx, w, errs[w]) })
	}
}

var errNotAsked = errors.New("not asked for in this pass")

// counted returns the errors that say nothing about the job at hand.
func counted(err error) error {
	if isMiss(err) {
		return nil
	}
	return err
}

// isMiss reports whether the API answered that it does not show a job.
func isMiss(err error) bool {
	status := gemini.Status(err)
	return status == http.StatusNotFound || status == http.StatusForbidden
}

// ask asks the API for a registered job. A panic over one job's answer is that job's
// failure.
func (p *pass) ask(ctx context.Context, w *work) (err error) {
	defer func() {
		if panicked := recover(); panicked != nil {
			err = fmt.Errorf("panic: %v", panicked)
		}
	}()
	if w.kind == jobs.Video {
		o, err := p.API.Operation(ctx, w.name)
		if err == nil {
			w.finding = ofOperation(w.name, &o)
		}
		return err
	}
	i, err := p.API.Interaction(ctx, strings.TrimPrefix(w.name, "interactions/"))
	if err == nil {
		w.finding = ofInteraction(w.name, &i)
	}
	return err
}

// each calls do for each of some values, a few at a time.
func each[T any](all []T, do func(T)) {
	var (
		slots = make(chan struct{}, parallel)
		wait  sync.WaitGroup
	)
	for _, one := range all {
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			do(one)
		})
	}
	wait.Wait()
}

// errorCount counts errors in a row. It is safe for concurrent use.
type errorCount struct {
	mu          sync.Mutex
	row         int
	one, latest error
}

func (c *errorCount) add(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil {
		if c.row < maxFailures {
			c.row = 0
		}
		return
	}
	if c.one == nil {
		c.one = err
	}
	c.latest = err
	c.row++
}

func (c *errorCount) enough() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.row >= maxFailures
}

func (c *errorCount) first() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.one
}

func (c *errorCount) last() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.latest
}
