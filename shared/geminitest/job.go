package geminitest

import (
	"crypto/rand"
	"slices"
	"strings"
	"time"
)

// The kinds of jobs.
const (
	KindBatch       = "batch"
	KindInteraction = "interaction"
	KindVideo       = "video"
)

// The ends of a batch, as the API spells its states.
const (
	BatchSucceeded = "BATCH_STATE_SUCCEEDED"
	BatchFailed    = "BATCH_STATE_FAILED"
	BatchCancelled = "BATCH_STATE_CANCELLED"
	BatchExpired   = "BATCH_STATE_EXPIRED"
)

// The ends of an interaction, as the API spells its statuses. RequiresAction can be
// followed by another end: see [API.Continue].
const (
	InteractionCompleted            = "completed"
	InteractionFailed               = "failed"
	InteractionCancelled            = "cancelled"
	InteractionRequiresAction       = "requires_action"
	InteractionIncomplete           = "incomplete"
	InteractionBudgetExceeded       = "budget_exceeded"
	InteractionRequiresContinuation = "requires_continuation"
)

// The ends of a video operation. The API has no word for them.
const (
	VideoGenerated = "generated"
	VideoFailed    = "failed"
	VideoFiltered  = "filtered" // done, with neither an error nor a video
)

// maxBatch is how long a batch may run before it expires.
const maxBatch = 48 * time.Hour

// A Job says how a job runs and ends, and how its end is made known.
type Job struct {
	// For is the time from the start of the job to its end. Zero ends it at once. A
	// batch that would run for more than 48 hours expires after 48 hours.
	For time.Duration

	// End is one of the ends of the job's kind, or any other text, for a state that
	// the API may get one day. Empty means success.
	End string

	// Ago moves the start of the job into the past. The delivery of an event whose
	// time has passed starts at once.
	Ago time.Duration

	// Inline makes a batch's results part of the answer to a get. They are in a file
	// otherwise.
	Inline bool

	// Requests is the number of a batch's requests. Zero means 1.
	Requests int

	Model    string         // zero: one that makes jobs of this kind
	Error    Error          // of a failed job; zero: an internal error
	Webhook  *WebhookConfig // nil: the registered webhooks get the event
	Delivery Delivery

	// Get, if not zero, is the status with which the API answers each get of the job,
	// 403 or 404, until GetFor after its start; for good if GetFor is zero.
	Get    int
	GetFor time.Duration
}

// An Error is why a job failed, by a code of google.rpc.
type Error struct {
	Code    int
	Message string
}

// A WebhookConfig names the URLs that get a job's event in place of the registered
// webhooks, and the values that come with it.
type WebhookConfig struct {
	URIs         []string
	UserMetadata map[string]any
}

// A Delivery is what becomes of the delivery of one event. The zero value is made at
// once and is repeated only after a failure.
type Delivery struct {
	Never bool          // no attempt is made
	Twice bool          // another delivery with the same webhook-id follows a successful one
	After time.Duration // from the end of the job to the first attempt
}

// job is a job that was started.
type job struct {
	Job
	kind    string
	name    string // as get and list show it
	seq     int    // the order in which jobs were started
	created time.Time
	ends    time.Time
	quiet   bool // no event follows, as for an interaction in the foreground
	display string
	agent   string
	keys    []any // what identifies each request of a batch, as it was sent
	end     *alarm

	attempts []Attempt
}

// running reports whether the job runs at a time.
func (j *job) running(now time.Time) bool { return now.Before(j.ends) }

// id returns the last segment of the name.
func (j *job) id() string { return j.name[strings.LastIndexByte(j.name, '/')+1:] }

// StartBatch starts a batch and returns its name, "batches/…".
func (a *API) StartBatch(as Job) (name string) { return a.start(a.newBatch(as)).name }

// StartInteraction starts a background interaction and returns its id, which has no
// prefix.
func (a *API) StartInteraction(as Job) (id string) { return a.start(a.newInteraction(as)).name }

// StartVideo starts a video operation and returns its name, "models/…/operations/…".
func (a *API) StartVideo(as Job) (name string) { return a.start(a.newVideo(as)).name }

func (a *API) newBatch(as Job) *job {
	as.Model = or(as.Model, "models/gemini-3.5-flash-lite")
	as.End = or(as.End, BatchSucceeded)
	as.Requests = max(as.Requests, 1)
	if as.For > maxBatch {
		as.For, as.End = maxBatch, BatchExpired
	}
	return &job{Job: as, kind: KindBatch, name: "batches/" + newID()}
}

func (a *API) newInteraction(as Job) *job {
	as.End = or(as.End, InteractionCompleted)
	// The id of an interaction is longer than others and ends in dots.
	return &job{Job: as, kind: KindInteraction, name: "v1_Chd" + rand.Text() + rand.Text() + ".."}
}

func (a *API) newVideo(as Job) *job {
	as.Model = or(as.Model, "models/veo-3.1-generate-preview")
	as.End = or(as.End, VideoGenerated)
	return &job{Job: as, kind: KindVideo, name: as.Model + "/operations/" + newID()[:12]}
}

func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// start adds a job and has its end noticed.
func (a *API) start(j *job) *job {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	a.seq++
	j.seq, j.created, j.ends = a.seq, now.Add(-j.Ago), now.Add(j.For-j.Ago)
	if j.Error == (Error{}) {
		j.Error = Error{13, "An internal error has occurred. Please retry or report."}
	}
	at, _ := slices.BinarySearchFunc(a.order, j, newer)
	a.order = slices.Insert(a.order, at, j)
	a.jobs[j.name] = j
	a.awaitEnd(j)
	return j
}

// newer orders jobs as a list shows them: the newest first.
func newer(x, y *job) int {
	if c := y.created.Compare(x.created); c != 0 {
		return c
	}
	return y.seq - x.seq
}

// awaitEnd has the event of a job's end delivered in time. The caller holds the lock.
func (a *API) awaitEnd(j *job) {
	j.end.stop()
	j.end = a.after(time.Until(j.ends), func() { a.ended(j) })
}

// ended announces the end of a job.
func (a *API) ended(j *job) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if j.running(time.Now()) || a.jobs[j.name] != j {
		return // continued or deleted in the meantime
	}
	if !j.quiet && !j.Delivery.Never {
		a.announce(j)
	}
}

// Continue lets an interaction that requires action run on, to another end.
func (a *API) Continue(id string, runs time.Duration, end string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	j := a.jobs[id]
	j.End, j.ends = or(end, InteractionCompleted), time.Now().Add(runs)
	a.awaitEnd(j)
}

// Lose has no delivery of a job's event made, beginning with the next attempt. It
// reports whether there is such a job.
func (a *API) Lose(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	j := a.jobs[name]
	if j != nil {
		j.Delivery.Never = true
	}
	return j != nil
}

// cancel ends a running job. The caller holds the lock.
func (a *API) cancel(j *job, end string) {
	if now := time.Now(); j.running(now) {
		j.End, j.ends = end, now
		a.awaitEnd(j)
	}
}

// A State is a job as it stands at a time. It is what the stand-in knows, whatever
// the API shows of it.
type State struct {
	Job
	Kind    string
	Name    string
	Created time.Time
	Ended   time.Time // when it ended, or will end
	Running bool
	Event   string // type of the event that its end has; empty if it has none
	Sent    []Attempt
}

// Jobs returns all jobs, the newest first.
func (a *API) Jobs() []State {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	states := make([]State, len(a.order))
	for i, j := range a.order {
		states[i] = State{
			Job: j.Job, Kind: j.kind, Name: j.name, Created: j.created, Ended: j.ends,
			Running: j.running(now), Event: j.eventType(), Sent: slices.Clone(j.attempts),
		}
	}
	return states
}

// findJob returns the job that a call is about. The caller holds the lock.
func (a *API) findJob(kind, name string) (*job, error) {
	j := a.jobs[name]
	now := time.Now()
	switch {
	case j == nil || j.kind != kind:
		return nil, &refusal{404, "Requested entity was not found."}
	case j.Get != 0 && (j.GetFor == 0 || now.Before(j.created.Add(j.GetFor))):
		return nil, &refusal{j.Get, "The job is hidden."}
	}
	return j, nil
}

// drop removes a job. The caller holds the lock.
func (a *API) drop(j *job) {
	j.end.stop()
	delete(a.jobs, j.name)
	a.order = slices.DeleteFunc(a.order, func(other *job) bool { return other == j })
}
