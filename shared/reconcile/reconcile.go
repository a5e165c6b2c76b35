// Package reconcile finds the jobs that ended without their event, and hands the event
// downstream.
//
// A pass reads the state of the webhook, the list of batches and the registered jobs,
// and compares those that ended with the ledger of deliveries. An event that is missing
// after the grace is rebuilt as the sender would write it, and goes through the same
// ledger to the same topics.
//
// The contract: every job that ended, and whose event is subscribed to or whose name was
// registered, is on its topic within grace and one period of the first pass that can
// know. A pass publishes an event twice only as package dedup allows. A copy beside the
// sender's own exists only if that came after the grace, and has the same subject and
// type. An event never comes before its job ended.
//
// A pass keeps no bookmark: one that dies is repeated whole by the next. What it decides
// is decided by pure functions of what it read (decide.go, finding.go, event.go).
package reconcile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"runtime/debug"
	"sync"
	"time"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	// DefaultTimeout bounds a pass. It is less than the function's timeout, which is
	// less than the attempt deadline of the scheduler.
	DefaultTimeout = 2 * time.Minute

	// handOverShare is the part of the timeout, a quarter, that is kept for handing over
	// and saving: a slow API leaves the rest for the next pass.
	handOverShare = 4

	// processTimeout bounds handing over one event.
	processTimeout = 5 * time.Second

	// maxHandedOver bounds how many events a pass hands over, the oldest first. More of
	// them are an outage, which a person looks at.
	maxHandedOver = 50

	// maxPages bounds the list of batches: 20,000.
	maxPages = 200

	// maxLines bounds the log lines of one pass about single jobs.
	maxLines = 500

	// parallel bounds the calls of one kind at a time.
	parallel = 8

	// maxFailures ends a step after so many calls in a row that did not answer: the next
	// pass tries again.
	maxFailures = 8
)

// ErrRunning means that a pass of this Reconciler is under way.
var ErrRunning = errors.New("a pass is under way")

// An API is the Gemini API.
type API interface {
	Webhooks(ctx context.Context) ([]gemini.Webhook, error)
	Enable(ctx context.Context, webhook string) error
	Batches(ctx context.Context, token string) (gemini.BatchPage, error)
	Interaction(ctx context.Context, id string) (gemini.Interaction, error)
	Operation(ctx context.Context, name string) (gemini.Operation, error)
	Calls() int64
}

// A Register holds the started jobs that the API cannot list, and notes.
type Register interface {
	Receive(ctx context.Context, room int) (jobs.Received, error)
	Jobs(ctx context.Context) (open []jobs.Job, more bool, err error)
	Save(ctx context.Context, j jobs.Job) error
	Notes(ctx context.Context) (jobs.Notes, error)
	NoteForm(ctx context.Context, kind jobs.Kind, form, job string) error
	NoteEnabled(ctx context.Context, seen jobs.Notes) (bool, error)
}

// A Ledger holds the records of deliveries.
type Ledger interface {
	Once(ctx context.Context, d *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error)
	Done(ctx context.Context, jobIDs []string) ([]dedup.Record, error)
	Any(ctx context.Context, endpoints, types []string) (bool, error)
}

// A Publisher hands a delivery downstream, and returns when it is stored there.
type Publisher interface {
	Publish(ctx context.Context, d *webhook.Delivery) (webhook.Receipt, error)
}

// A Mode says what happens with missed events.
type Mode string

// The modes.
const (
	Report  Mode = "report"  // they are logged
	Auto    Mode = "auto"    // they are handed over, unless a kind is held
	Publish Mode = "publish" // they are handed over
)

// ParseMode returns the mode of that name: Auto if text is empty.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(cmp.Or(text, string(Auto))); m {
	case Report, Auto, Publish:
		return m, nil
	}
	return "", errors.New("not report, auto or publish")
}

// Options are the settings of a Reconciler.
type Options struct {
	Mode Mode

	// An event counts as missed if its job ended longer than Grace ago, and a batch is
	// looked at until it ended LookBack ago. LookBack is more than Grace, and less than
	// the retention of the ledger's records: past it a delivered job would look missed.
	Grace    time.Duration
	LookBack time.Duration

	// StaticURL is the URL at which our static webhook is registered; nil if there is to
	// be none. DynamicURL is the one that batches of ours name in their webhook_config;
	// nil if there are none. Queries do not count.
	StaticURL  *url.URL
	DynamicURL *url.URL

	Reenable       bool // enable a webhook again that the sender disabled
	PublishUnknown bool // publish events for statuses of which no event is documented
}

// A Reconciler runs passes. Fill in its exported fields before the first one, and leave
// them alone from then on. It is safe for concurrent use.
type Reconciler struct {
	Options
	API       API
	Register  Register
	Ledger    Ledger
	Publisher Publisher
	Log       *slog.Logger
	Timeout   time.Duration // of a pass; zero means DefaultTimeout

	running   sync.Mutex
	delivered map[string]bool // batches of the last pass's window that are delivered
}

// A Summary says what a pass saw and did.
type Summary struct {
	WebhookState string // as the API names it; "missing", or empty if unknown
	WebhookOK    bool   // enabled, or none expected

	Jobs      int // batches of ours in the window or running, and open registered jobs
	Delivered int // of these, those with a record
	Pending   int // of these, those that run, or ended within the grace, or are not due

	Missed     int // events that are missing after the grace; each is one of the next four
	HandedOver int // and events that the sender does not have
	Held       int
	Reported   int // and jobs in a state of which no event is documented
	Deferred   int

	Lost     int // registered jobs that the API does not show
	Rejected int // messages that name no job
	Foreign  int // batches whose events go to other URLs, and answers 404 or 403 about registered jobs

	Truncated bool // a bound of ours left something out
	Complete  bool // every step was done
	Calls     int64
	Took      time.Duration
}

// Run makes a pass, and logs what it saw and did. It fails only with ErrRunning.
func (r *Reconciler) Run(ctx context.Context) (Summary, error) {
	if !r.running.TryLock() {
		return Summary{}, ErrRunning
	}
	defer r.running.Unlock()
	start, calls := time.Now(), r.API.Calls()
	deadline := start.Add(cmp.Or(r.Timeout, DefaultTimeout))
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	p := &pass{Reconciler: r, now: start, complete: true, deliveredNow: make(map[string]bool)}
	p.guard(ctx, "pass", func() { p.run(ctx, deadline) })
	p.Complete = p.complete
	p.Took, p.Calls = time.Since(start), r.API.Calls()-calls
	p.logSummary(ctx)
	return p.Summary, nil
}

// A pass is one pass.
type pass struct {
	*Reconciler
	Summary

	now      time.Time
	complete bool
	lines    int
	answered bool // by the API, at least once

	notes        jobs.Notes
	notesKnown   bool
	static       staticWebhook
	staticKnown  bool
	work         []*work
	young        []*work         // ended within the grace
	deliveredNow map[string]bool // what Reconciler.delivered becomes
	forget       bool            // a form could not be noted: read the records once more
}

// work is one job of a pass.
type work struct {
	finding
	job     *jobs.Job      // as it was read; nil for a batch
	next    jobs.Job       // as it is to be saved
	records []dedup.Record // that are done
	unknown bool           // the ledger did not answer
	missed  bool           // the event is due: what follows is for decide
}

// run is a pass. Each step goes on with what the steps before it could read.
func (p *pass) run(ctx context.Context, deadline time.Time) {
	reading, cancel := context.WithDeadline(ctx, deadline.Add(-cmp.Or(p.Timeout, DefaultTimeout)/handOverShare))
	defer cancel()
	p.readNotes(reading)
	p.readWebhook(reading)
	p.readBatches(reading)
	p.readJobs(reading)
	p.findRecords(reading, p.work)
	p.settleBatches()
	p.askJobs(reading)
	p.handOverAll(ctx)
	p.saveJobs(ctx)
	if p.Reconciler.delivered = p.deliveredNow; p.forget {
		p.Reconciler.delivered = nil
	}
	if ctx.Err() != nil {
		p.fail(ctx, "pass", fmt.Errorf("its time was over: %w", ctx.Err()))
	}
}

// guard runs a step, of which a panic ends nothing else.
func (p *pass) guard(ctx context.Context, step string, do func()) {
	defer func() {
		if panicked := recover(); panicked != nil {
			p.fail(ctx, step, fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()))
		}
	}()
	do()
}

// fail logs a step that failed, and that the pass is not complete.
func (p *pass) fail(ctx context.Context, step string, err error) {
	p.complete = false
	p.Log.ErrorContext(ctx, "step failed", "step", step, "error", err.Error())
}

// line logs a line about one job, unless there were too many.
func (p *pass) line(ctx context.Context, level slog.Level, message string, attrs ...any) {
	if p.lines++; p.lines <= maxLines {
		p.Log.Log(ctx, level, message, attrs...)
	}
}

func (p *pass) logSummary(ctx context.Context) {
	level := slog.LevelInfo
	if !p.WebhookOK || !p.Complete || p.Truncated || p.Missed > 0 || p.Lost > 0 {
		level = slog.LevelWarn
	}
	p.Log.LogAttrs(ctx, level, "pass",
		slog.String("webhook_state", p.WebhookState), slog.Bool("webhook_ok", p.WebhookOK),
		slog.Int("jobs", p.Jobs), slog.Int("delivered", p.Delivered), slog.Int("pending", p.Pending),
		slog.Int("missed", p.Missed), slog.Int("handed_over", p.HandedOver), slog.Int("held", p.Held),
		slog.Int("reported", p.Reported), slog.Int("lost", p.Lost),
		slog.Int("rejected", p.Rejected), slog.Int("foreign", p.Foreign),
		slog.Bool("truncated", p.Truncated), slog.Bool("complete", p.Complete),
		slog.Float64("pass_ms", float64(p.Took.Microseconds())/1000), slog.Int64("calls", p.Calls))
}
