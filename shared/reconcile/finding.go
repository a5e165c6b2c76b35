package reconcile

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
)

// A phase is the stage of a job's life.
type phase int

const (
	running phase = iota
	ended
	recurring // the job waits for an action: an event is due, and the job will continue
	odd       // the API's state is unknown to this release
)

// A finding is the API's data about one job, and the event that follows from it.
type finding struct {
	kind   jobs.Kind
	name   string // full name, for example "batches/ID"
	status string // the API's word; a video's is "running", "failed", "filtered" or "generated"
	phase  phase

	// at is the time at which the job ended or began to require an action; zero if the
	// API does not report it.
	at time.Time

	// eventType is the type of the event that is due; empty if no event is due, as
	// for a cancelled job: Gemini accepts no subscription to cancelled events.
	eventType string
	origin    origin

	output, file string          // output_file_uri and file_name in the event's data
	reason       gemini.APIError // error_code and error_message in the event's data
	metadata     json.RawMessage // user_metadata of the event
}

// An origin is the sender of events of a type.
type origin int

const (
	documented   origin = iota // Gemini, as its documentation states
	ours                       // only this package: video.failed
	undocumented               // unknown: Gemini may send this event, another one, or none
)

// terminal has the types of events that end a job. The kind is the part before the dot.
var terminal = []string{
	"batch.succeeded", "batch.failed", "batch.expired", "batch.cancelled",
	"interaction.completed", "interaction.failed", "interaction.cancelled",
	"interaction.incomplete", "interaction.budget_exceeded", "interaction.requires_continuation",
	"video.generated", "video.failed",
}

// requiresAction is the type of the one event that does not end its job.
const requiresAction = "interaction.requires_action"

// typesOf returns the event types of a kind. There are at most seven: a query of the
// ledger multiplies them by two endpoints, and Firestore allows 30 combinations.
func typesOf(kind jobs.Kind) []string {
	types := slices.DeleteFunc(slices.Clone(terminal), func(t string) bool { return !isOf(t, kind) })
	if kind == jobs.Interaction {
		types = append(types, requiresAction)
	}
	return types
}

// isOf reports whether an event type belongs to a kind.
func isOf(eventType string, kind jobs.Kind) bool {
	return strings.HasPrefix(eventType, string(kind)+".")
}

// ofBatch returns the finding for a batch. A batch that ended without a time is odd:
// the look-back cannot be applied to it.
func ofBatch(b *gemini.Batch) finding {
	f := finding{kind: jobs.Batch, name: b.Name, status: b.State, metadata: b.Metadata}
	if b.Running() {
		f.phase = running
		return f
	}
	f.phase = ended
	switch b.State {
	case "BATCH_STATE_SUCCEEDED":
		f.eventType, f.output = "batch.succeeded", b.Output
	case "BATCH_STATE_FAILED":
		f.eventType, f.reason = "batch.failed", b.Error
	case "BATCH_STATE_EXPIRED":
		f.eventType = "batch.expired"
	case "BATCH_STATE_CANCELLED":
	default:
		f.phase = odd
	}
	if f.at = b.EndedAt(); f.at.IsZero() {
		f.phase = odd
	}
	return f
}

// ofInteraction returns the finding for an interaction. Its time is that of its last
// update.
func ofInteraction(name string, i *gemini.Interaction) finding {
	f := finding{kind: jobs.Interaction, name: name, status: i.Status, at: i.Updated, metadata: i.Metadata}
	f.phase = ended
	switch i.Status {
	case "in_progress", "queued":
		f.phase = running
	case "requires_action":
		f.phase, f.eventType = recurring, requiresAction
	case "completed":
		f.eventType = "interaction.completed"
	case "failed":
		f.eventType, f.reason = "interaction.failed", i.Error
	case "cancelled":
	case "incomplete", "budget_exceeded", "requires_continuation":
		f.eventType, f.origin = "interaction."+i.Status, undocumented
	default:
		f.phase = odd
	}
	return f
}

// ofOperation returns the finding for a video operation. Its time is zero, because
// the API does not report the time of the end. Gemini documents no event for a video
// that failed or was filtered; for both the finding has video.failed.
func ofOperation(name string, o *gemini.Operation) finding {
	f := finding{kind: jobs.Video, name: name, phase: ended}
	switch {
	case !o.Done:
		f.phase, f.status = running, "running"
	case o.Error != gemini.APIError{}:
		f.status, f.eventType, f.origin, f.reason = "failed", "video.failed", ours, o.Error
	case o.Video == "":
		f.status, f.eventType, f.origin = "filtered", "video.failed", ours
		f.reason = gemini.APIError{Code: "filtered", Message: fmt.Sprintf("no video: %d filtered", o.Filtered)}
	default:
		f.status, f.eventType = "generated", "video.generated"
		f.output, f.file = o.Video, fileOf(o.Video)
	}
	return f
}

// fileOf returns the name "files/ID" in the download URI of a file, or "" if there is
// no name in it.
func fileOf(uri string) string {
	_, after, ok := strings.Cut(uri, "/files/")
	id, _, _ := strings.Cut(after, ":")
	if id, _, _ = strings.Cut(id, "?"); !ok || id == "" || strings.Contains(id, "/") {
		return ""
	}
	return "files/" + id
}

// A form is a way to write a job's name in data.id of an event. Gemini's documentation
// does not state which one it uses.
type form string

const (
	whole      form = "whole"      // batches/X, interactions/X, models/M/operations/X
	last       form = "last"       // X
	operations form = "operations" // operations/X
)

// formsOf returns the forms in which a delivery may name a job of a kind. The first
// one is the default for rebuilt events, until a delivery from Gemini shows the real
// form.
func formsOf(kind jobs.Kind) []form {
	switch kind {
	case jobs.Interaction:
		return []form{last, whole}
	case jobs.Video:
		return []form{whole, operations, last}
	}
	return []form{whole, last}
}

// write converts a job's full name to the form.
func (f form) write(name string) string {
	id := name[strings.LastIndexByte(name, '/')+1:]
	switch f {
	case last:
		return id
	case operations:
		return "operations/" + id
	}
	return name
}

// formFor returns the form for rebuilt events of a kind: the known one, or the default.
func formFor(kind jobs.Kind, known map[jobs.Kind]string) form {
	return cmp.Or(form(known[kind]), formsOf(kind)[0])
}
