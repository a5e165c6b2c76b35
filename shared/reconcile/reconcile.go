// Package reconcile finds Gemini jobs that ended without a delivery of their event, and
// publishes the missing events.
//
// A pass is one run, started by a scheduler. It reads the state of the webhook, the
// list of batches and the registered jobs. For each batch that ended within LookBack,
// when the grace is over, and for each registered job that is due, it looks in the
// ledger for a delivery of its event. It then calls the API for the registered jobs
// without one. If a job has ended and its event is still missing when the grace is
// over, the pass rebuilds it in the form that Gemini would have sent. The event goes
// through the same ledger to the same topics as a delivery.
//
// The contract covers each job that ended with an event that is due: the registered
// jobs, the batches with one of our URLs in their webhook_config, and the batches
// without a webhook_config if our project-level webhook is subscribed to their event. No
// event is due for a cancelled job: Gemini accepts no subscription to cancelled events.
// It is unknown whether the API returns webhook_config. If it does not, each batch counts
// as one without it.
//   - An event is on its topic at most the grace plus the scheduler's interval after the
//     first pass that reads the job after its end. This requires mode [Publish], or mode
//     [Auto] if the event is not held, and passes that reach no bound, in which no step
//     and no API call for the job fails, and in which no other attempt has claimed the
//     event. A batch must be published within LookBack after its end: later passes
//     ignore it. An interaction status without a documented event also requires
//     PublishUnknown.
//   - Each pass lists the batches. It reads a registered job only if the job is due: not
//     before the grace after its registration, then in each pass for two hours, then
//     at intervals of an eighth of its age, at most two hours.
//   - A video that failed or was filtered gets the event video.failed, which Gemini does
//     not document.
//   - Passes publish no event before its job has ended, except
//     interaction.requires_action, after which the job continues.
//   - Passes publish an event twice only in the cases that package dedup states.
//   - If Gemini delivers the event after a pass has published it, the topic has both.
//     They have the same ce-type and different ids. They have the same ce-subject if a
//     pass has already seen in a delivery how Gemini names jobs of this kind in data.id.
//     Before that, the pass uses a default form of the name.
//
// A pass publishes at most 50 events, the oldest first; the next pass continues. It
// reads at most 200 pages of batches, which are 20,000, and does not see older ones. In
// mode [Report] passes publish no events.
//
// A pass stores no position. If it is interrupted, the next pass does all of it again.
// The decisions are pure functions of the data that a pass read: see decide.go,
// finding.go and event.go.
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
	// DefaultTimeout is the default timeout of a pass. It is less than the function's
	// timeout, which is less than the scheduler's attempt deadline.
	DefaultTimeout = 2 * time.Minute

	// handOverShare is the divisor that gives the share of the timeout, a quarter,
	// which is reserved for publishing events and saving jobs. If the API is slow,
	// the jobs that were not read in the other three quarters are left to the next
	// pass.
	handOverShare = 4

	// processTimeout is the timeout for claiming, publishing and marking one event.
	processTimeout = 5 * time.Second

	// storeTimeout is the timeout of one Firestore query or write. If one gets no
	// answer, there is time left for the rest of the pass.
	storeTimeout = 10 * time.Second

	// maxHandedOver is the maximum number of events that a pass publishes, the oldest
	// first. If more are missing, there is an outage that a person should look at. The
	// rest is left to the next passes.
	maxHandedOver = 50

	// maxPages is the maximum number of pages of batches that a pass reads: 20,000
	// batches.
	maxPages = 200

	// maxLines is the maximum number of log lines about single jobs in a pass.
	maxLines = 500

	// maxYoung is the maximum number of jobs within the grace whose records a pass
	// reads to find out how deliveries of a kind name their jobs. One match is enough.
	maxYoung = 500

	// parallel is the concurrency limit of the calls of one step, to the API or to
	// Firestore.
	parallel = 8

	// maxFailures is the number of consecutive failed calls after which a step ends.
	// The next pass tries again.
	maxFailures = 8
)

// ErrRunning means that another pass of the same Reconciler has not ended yet.
var ErrRunning = errors.New("a pass is under way")

// An API is the Gemini API. *gemini.Client implements it, and documents the methods.
type API interface {
	Webhooks(ctx context.Context) ([]gemini.Webhook, error)
	Enable(ctx context.Context, webhook string) error
	Batches(ctx context.Context, token string) (gemini.BatchPage, error)
	Interaction(ctx context.Context, id string) (gemini.Interaction, error)
	Operation(ctx context.Context, name string) (gemini.Operation, error)
	Calls() int64
}

// A Register stores notes, and the started jobs that the API cannot list.
// *jobs.Register implements it, and documents the methods.
type Register interface {
	Receive(ctx context.Context, room int) (jobs.Received, error)
	Jobs(ctx context.Context) (open []jobs.Job, more bool, err error)
	Save(ctx context.Context, j jobs.Job) error
	Notes(ctx context.Context) (jobs.Notes, error)
	NoteForm(ctx context.Context, kind jobs.Kind, form, job string) error
	NoteEnabled(ctx context.Context, seen jobs.Notes) (bool, error)
}

// A Ledger stores the records of deliveries. *dedup.Ledger implements it, and documents
// the methods.
type Ledger interface {
	Once(ctx context.Context, d *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error)
	Done(ctx context.Context, jobIDs []string) ([]dedup.Record, error)
	Any(ctx context.Context, endpoints, types []string) (bool, error)
}

// A Publisher publishes a delivery, and returns after Pub/Sub has acknowledged it.
type Publisher interface {
	Publish(ctx context.Context, d *webhook.Delivery) (webhook.Receipt, error)
}

// A Mode determines how a pass treats missed events.
type Mode string

// The modes. All of them log missed events. Without PublishUnknown, none publishes the
// event of an interaction that ended with a status for which no event is documented.
const (
	// Report publishes no events.
	Report Mode = "report"

	// Auto publishes missing events, but holds an event that may have been delivered
	// without being recognised. A held event is not published. It is logged in each
	// pass that reads its job, and a later pass may publish it. Passes ignore a batch,
	// held or not, when LookBack has passed since its end. An event is held
	//   - if deliveries of its kind are recorded, but no data.id in them matches a known
	//     job: Gemini may write the names of jobs in another form,
	//   - if the notes or the ledger could not be read, so that this is not known,
	//   - if its registered job may have ended more than LookBack before a pass first
	//     saw the end: the record of its delivery may have expired.
	// Auto never holds video.failed, which only passes send.
	Auto Mode = "auto"

	// Publish is like Auto, but holds no events.
	Publish Mode = "publish"
)

// ParseMode returns the mode with this name, or Auto if text is empty. It fails for any
// other text.
func ParseMode(text string) (Mode, error) {
	switch m := Mode(cmp.Or(text, string(Auto))); m {
	case Report, Auto, Publish:
		return m, nil
	}
	return "", errors.New("not report, auto or publish")
}

// Options are the settings of a Reconciler.
type Options struct {
	// Mode is Report, Auto or Publish. Any other value, also the empty one, is treated
	// as Auto.
	Mode Mode

	// Grace is the time after the end of a job during which its event is not missed
	// yet. If the API does not report the time of the end, as for videos, it counts
	// from the first pass that saw the end. Zero means that the event is missed as soon
	// as the job has ended.
	Grace time.Duration

	// LookBack is the time after the end of a batch during which passes check for its
	// event. Auto holds the event of a registered job that may have ended more than
	// LookBack before a pass first saw the end. A registered job whose event is only
	// reported is closed when LookBack is over, or at once if it is an interaction with
	// a status to which PublishUnknown applies. interaction.requires_action counts as
	// missing until LookBack after the interaction's last update. LookBack must exceed
	// Grace: otherwise, and if it is zero, passes find no missed batches. It must be
	// less than the retention of the ledger's records: once a record has expired, a
	// delivered job would look missed. A Reconciler checks neither; the function that
	// reads the settings does.
	LookBack time.Duration

	// StaticURL is the URL of our project-level webhook; nil if we have no such
	// webhook. DynamicURL is the URL in the webhook_config of our batches; nil if
	// they have no webhook_config. Their queries are ignored.
	StaticURL  *url.URL
	DynamicURL *url.URL

	// Reenable makes a pass enable our webhook if Gemini has disabled it because of
	// failed deliveries, at most once in 6 hours.
	Reenable bool

	// PublishUnknown makes a pass publish events for interactions that ended with one
	// of the three known statuses for which no event is documented: "incomplete",
	// "budget_exceeded" and "requires_continuation". If false, or in mode Report, a
	// pass reports the job once and closes it, so a later change of PublishUnknown or
	// Mode does not publish its event. It has no effect on a status that this release
	// does not know: passes only log such a job, and it stays open.
	PublishUnknown bool
}

// A Reconciler runs passes. Set its exported fields before the first pass, and do not
// change them after that. API, Register, Ledger, Publisher and Log are required. It
// is safe for concurrent use.
type Reconciler struct {
	Options
	API       API
	Register  Register
	Ledger    Ledger
	Publisher Publisher
	Log       *slog.Logger
	Timeout   time.Duration // timeout of a pass; zero means DefaultTimeout

	running   sync.Mutex
	delivered map[string]bool // names of the batches that the last pass knew as delivered
}

// A Summary holds the results of a pass. A job is ours if its event is expected at our
// URLs, or if its name was registered.
type Summary struct {
	// WebhookState is the state of our project-level webhook: the API's word, or
	// "missing" if no webhook has the URL StaticURL. It is empty if StaticURL is nil or
	// the state could not be read.
	WebhookState string
	WebhookOK    bool // the webhook was enabled when this pass read its state, or StaticURL is nil; false also if this pass then enabled it

	Jobs      int // our batches that run or ended within the look-back, and open registered jobs
	Delivered int // of Jobs: those whose event was delivered or published by an earlier pass, and registered jobs that ended without an event
	Pending   int // of Jobs: those that run, ended within the grace, or could not be read, and registered jobs whose next API call is later

	// Missed is the number of missing events of types that Gemini documents. The next
	// four fields count all missing events by action.
	Missed     int
	HandedOver int // on the topic, published by this pass or before
	Held       int // held, in mode Auto; a registered job counts in the passes that read it
	Reported   int // only logged; also counts jobs in an unknown state and malformed batches
	Deferred   int // left to the next pass, because of a bound, a failure, or a claim of another attempt

	Lost     int // registered jobs that this pass set to jobs.StateLost; a job with too few 404 or 403 answers for that counts as Pending
	Rejected int // messages without a job's name whose copy was published to the topic for rejected messages
	Foreign  int // batches with other URLs, and answers 404 or 403 about registered jobs

	Truncated bool          // a bound left something out, for example 50 events or 200 pages of batches
	Complete  bool          // no step failed; a failed API call for one registered job does not count, nor does an event that another attempt has claimed
	Calls     int64         // calls of the Gemini API
	Took      time.Duration // duration of the pass
}

// Run makes one pass, and logs a Summary of it. If a step fails, Run logs the
// failure, sets Complete to false, and goes on with the next step. Run fails only
// with ErrRunning.
func (r *Reconciler) Run(ctx context.Context) (Summary, error) {
	if !r.running.TryLock() {
		return Summary{}, ErrRunning
	}
	defer r.running.Unlock()
	start, calls := time.Now(), r.API.Calls()
	deadline := start.Add(cmp.Or(r.Timeout, DefaultTimeout))
	ctx, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	p := &pass{Reconciler: r, now: start, complete: true, deliveredNow: make(map[string]bool), unnoted: make(map[jobs.Kind]bool)}
	p.guard(ctx, "pass", func() { p.run(ctx, deadline) })
	p.Complete = p.complete
	p.Took, p.Calls = time.Since(start), r.API.Calls()-calls
	p.logSummary(ctx)
	return p.Summary, nil
}

// A pass holds the data of one pass.
type pass struct {
	*Reconciler
	Summary

	now      time.Time // time at which the pass began
	complete bool      // no step has failed so far
	lines    int       // log lines about single jobs so far
	answered bool      // the API has answered at least one call with 200

	notes        jobs.Notes
	notesKnown   bool            // notes could be read
	static       staticWebhook   // zero if it could not be read
	work         []*work         // jobs to look up in the ledger
	young        []*work         // jobs that ended within the grace or are not due
	deliveredNow map[string]bool // becomes Reconciler.delivered at the end of the pass

	// unnoted has the kinds for which a form was found but could not be stored. Their
	// jobs are not settled in this pass, so that the next pass reads the same records
	// and finds the form again.
	unnoted map[jobs.Kind]bool
}

// work is one job of a pass.
type work struct {
	finding
	job     *jobs.Job      // the job as read; nil for a batch
	next    jobs.Job       // the job as it will be saved
	records []dedup.Record // its deliveries in the ledger, in state done
	unknown bool           // the ledger could not be read
	missed  bool           // the event is missing after the grace
}

// run makes the pass. If a step fails, the later steps use the data that could be read.
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
	p.Reconciler.delivered = p.deliveredNow
	if ctx.Err() != nil {
		p.fail(ctx, "pass", fmt.Errorf("not finished: %w", ctx.Err()))
	}
}

// guard runs a step, or a part of it. It logs a panic as a failure of the step and
// returns.
func (p *pass) guard(ctx context.Context, step string, do func()) {
	defer func() {
		if panicked := recover(); panicked != nil {
			p.fail(ctx, step, fmt.Errorf("panic: %v\n%s", panicked, debug.Stack()))
		}
	}()
	do()
}

// fail logs that a step failed, and marks the pass as incomplete.
func (p *pass) fail(ctx context.Context, step string, err error) {
	p.complete = false
	p.Log.ErrorContext(ctx, "step failed", "step", step, "error", err.Error())
}

// line logs a line about one job, up to maxLines lines in a pass.
func (p *pass) line(ctx context.Context, level slog.Level, message string, attrs ...any) {
	if p.lines++; p.lines <= maxLines {
		p.Log.Log(ctx, level, message, attrs...)
	}
}

// logSummary logs the Summary in one line, as a warning if a person should look at
// it.
func (p *pass) logSummary(ctx context.Context) {
	level := slog.LevelInfo
	if !p.WebhookOK || !p.Complete || p.Truncated || p.Missed > 0 || p.Lost > 0 {
		level = slog.LevelWarn
	}
	p.Log.LogAttrs(ctx, level, "pass",
		webhookAttr(&p.Summary),
		slog.Int("jobs", p.Jobs), slog.Int("delivered", p.Delivered), slog.Int("pending", p.Pending),
		slog.Int("missed", p.Missed), slog.Int("handed_over", p.HandedOver), slog.Int("held", p.Held),
		slog.Int("reported", p.Reported), slog.Int("lost", p.Lost),
		slog.Int("rejected", p.Rejected), slog.Int("foreign", p.Foreign),
		slog.Bool("truncated", p.Truncated), slog.Bool("complete", p.Complete),
		slog.Float64("pass_ms", float64(p.Took.Microseconds())/1000), slog.Int64("calls", p.Calls))
}

// webhookAttr returns the log fields of the webhook's state. It omits a state that
// could not be read. Then the pass is incomplete, which the alert on passes covers;
// the alert on the webhook must not fire.
func webhookAttr(s *Summary) slog.Attr {
	if s.WebhookState == "" && !s.WebhookOK {
		return slog.Attr{}
	}
	return slog.Group("", slog.String("webhook_state", s.WebhookState), slog.Bool("webhook_ok", s.WebhookOK))
}
