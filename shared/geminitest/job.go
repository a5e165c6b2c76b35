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

// The ends of a batch, as the API's states.
const (
	BatchSucceeded = "BATCH_STATE_SUCCEEDED"
	BatchFailed    = "BATCH_STATE_FAILED"
	BatchCancelled = "BATCH_STATE_CANCELLED"
	BatchExpired   = "BATCH_STATE_EXPIRED"
)

// The ends of an interaction, as the API's statuses. InteractionRequiresAction can be
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

// The ends of a video operation. These are names of this package; the API has no
// states for videos.
const (
	VideoGenerated = "generated"
	VideoFailed    = "failed"
	VideoFiltered  = "filtered" // done, with neither an error nor a video
)

// maxBatch is the time after which the API expires a batch that has not ended.
const maxBatch = 48 * time.Hour

// A Job is the course of a job: its duration, its end, and the delivery of its event.
// The zero value succeeds at once.
type Job struct {
	// For is the time from the start of the job to its end. Zero ends it at once. A
	// batch that would run for more than 48 hours expires after 48 hours.
	For time.Duration

	// End is one of the ends of the job's kind. It may be another text, to simulate a
	// state that the API adds later. Empty means success.
	End string

	// Ago moves the start of the job into the past by this time. The end moves with it.
	// The first attempt to deliver is due at that end plus Delivery.After; if this is
	// in the past, it is made at once. If it is more than 24 hours in the past, a
	// failed attempt is not repeated.
	Ago time.Duration

	// Inline puts a batch's results into the answer to a get. If it is false, they
	// are in a file.
	Inline bool

	// Requests is the number of requests in a batch. Zero means 1.
	Requests int

	Model    string         // empty: a model that exists for the job's kind
	Error    Error          // reported if the job fails; zero: code 13, an internal error
	Webhook  *WebhookConfig // nil: the event goes to the registered webhooks
	Delivery Delivery

	// Get, if not zero, hides the job: each get, cancel and delete of it is answered
	// with this HTTP status, 403 or 404. A list of batches still contains it. It
	// applies for the time GetFor after the start of the job, or for ever if GetFor is
	// zero.
	Get    int
	GetFor time.Duration
}

// An Error is the reason for which a job failed. Code is a google.rpc code, which
// interactions and events show as text, "13".
type Error struct {
	Code    int
	Message string
}

// A WebhookConfig is the webhook config of one job. URIs receive the job's event in
// place of the registered webhooks. UserMetadata is included in the event; nil means
// no metadata.
type WebhookConfig struct {
	URIs         []string
	UserMetadata map[string]any
}

// A Delivery controls the delivery of one event. With the zero value, the first
// attempt is made at once, and repeated only after a failure.
type Delivery struct {
	Never bool          // no attempt is made
	Twice bool          // another delivery with the same webhook-id follows a successful one
	After time.Duration // from the end of the job to the first attempt
}

// job is a started job.
type job struct {
	Job
	kind    string
	name    string // as get and list show it
	seq     int    // position in the order of starts
	created time.Time
	ends    time.Time
	quiet   bool // its end has no event, as for an interaction in the foreground
	display string
	agent   string
	keys    []any // metadata of each request of a batch, as it was sent
	end     *alarm

	attempts []Attempt
}

// running reports whether the job has not ended at this time.
func (j *job) running(now time.Time) bool { return now.Before(j.ends) }

// id returns the last segment of the name.
func (j *job) id() string { return j.name[strings.LastIndexByte(j.name, '/')+1:] }

// StartBatch starts a batch, without a call of the API, and returns its name,
// "batches/ID".
func (a *API) StartBatch(as Job) (name string) { return a.start(a.newBatch(as)).name }

// StartInteraction starts a background interaction, without a call of the API, and
// returns its id, "v1_…".
func (a *API) StartInteraction(as Job) (id string) { return a.start(a.newInteraction(as)).name }

// StartVideo starts a video operation, without a call of the API, and returns its
// name, "models/MODEL/operations/ID".
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
	// Real ids of interactions have this form: they are longer than other ids, and
	// end in dots.
	return &job{Job: as, kind: KindInteraction, name: "v1_Chd" + rand.Text() + rand.Text() + ".."}
}

func (a *API) newVideo(as Job) *job {
	as.Model = or(as.Model, "models/veo-3.1-generate-preview")
	as.End = or(as.End, VideoGenerated)
	return &job{Job: as, kind: KindVideo, name: as.Model + "/operations/" + newID()[:12]}
}

// or returns text, or otherwise if text is empty.
func or(text, otherwise string) string {
	if text == "" {
		return otherwise
	}
	return text
}

// start adds a job and schedules its end.
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

// newer compares jobs for the order of a list: the newest first.
func newer(x, y *job) int {
	if c := y.created.Compare(x.created); c != 0 {
		return c
	}
	return y.seq - x.seq
}

// awaitEnd schedules the end of a job, and cancels an end scheduled before. The
// caller holds the lock.
func (a *API) awaitEnd(j *job) {
	j.end.stop()
	j.end = a.after(time.Until(j.ends), func() { a.ended(j) })
}

// ended schedules the deliveries of a job's event, if it has one.
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

// Continue lets an interaction that requires action run again, for the duration runs,
// and then end with end. An empty end means success. Continue panics if the interaction
// does not exist.
func (a *API) Continue(id string, runs time.Duration, end string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	j := a.jobs[id]
	j.End, j.ends = or(end, InteractionCompleted), time.Now().Add(runs)
	a.awaitEnd(j)
}

// Lose stops the delivery of a job's event: no attempt is made from now on. It
// reports whether the job exists.
func (a *API) Lose(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	j := a.jobs[name]
	if j != nil {
		j.Delivery.Never = true
	}
	return j != nil
}

// cancel ends a job at once if it is running. The caller holds the lock.
func (a *API) cancel(j *job, end string) {
	if now := time.Now(); j.running(now) {
		j.End, j.ends = end, now
		a.awaitEnd(j)
	}
}

// A State is the state of a job at the time of a call of [API.Jobs]. It is complete,
// even while Job.Get hides the job.
type State struct {
	Job
	Kind    string
	Name    string
	Created time.Time
	Ended   time.Time // time at which it ended or will end
	Running bool
	Event   string // type of the event for its end; empty if the end has no event
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

// findJob returns the job with this name for a call. It fails if the job does not
// exist or is hidden. The caller holds the lock.
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
