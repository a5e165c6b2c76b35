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

// A phase is where a job stands.
type phase int

const (
	running phase = iota
	ended
	recurring // it waits for an action: an event is due, and the job goes on
	odd       // in a state that this release does not know
)

// A finding is what the API says of one job, and the event that follows from it.
type finding struct {
	kind   jobs.Kind
	name   string // in full
	status string // in the API's own word
	phase  phase

	// at is when the job ended, or when it began to require an action; zero if the API
	// does not say.
	at time.Time

	// eventType is empty if no event follows, as from a cancelled job: the sender's
	// cancelled events cannot be subscribed to.
	eventType string
	origin    origin

	output, file string // of the event's data
	reason       gemini.APIError
	metadata     json.RawMessage
}

// An origin says who sends an event of this type.
type origin int

const (
	documented   origin = iota // the sender, by its documentation
	ours                       // nobody else: video.failed
	undocumented               // unknown: the sender may send it, another one, or none
)

// terminal are the types of events that end a job. Their kind is the part before the dot.
var terminal = []string{
	"batch.succeeded", "batch.failed", "batch.expired", "batch.cancelled",
	"interaction.completed", "interaction.failed", "interaction.cancelled",
	"interaction.incomplete", "interaction.budget_exceeded", "interaction.requires_continuation",
	"video.generated", "video.failed",
}

const requiresAction = "interaction.requires_action"

// typesOf returns the types of events of a kind: at most seven.
func typesOf(kind jobs.Kind) []string {
	types := slices.DeleteFunc(slices.Clone(terminal), func(t string) bool { return !isOf(t, kind) })
	if kind == jobs.Interaction {
		types = append(types, requiresAction)
	}
	return types
}

func isOf(eventType string, kind jobs.Kind) bool {
	return strings.HasPrefix(eventType, string(kind)+".")
}

func ofBatch(b *gemini.Batch) finding {
	f := finding{kind: jobs.Batch, name: b.Name, status: b.State, metadata: b.Metadata}
	f.phase = ended
	switch b.State {
	case "BATCH_STATE_PENDING", "BATCH_STATE_RUNNING":
		f.phase = running
		return f
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
	f.at = b.Ended
	if f.at.IsZero() {
		f.at = b.Updated
	}
	if f.at.IsZero() {
		f.phase = odd
	}
	return f
}

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

// fileOf returns "files/ID" out of the URI of a file's download, or "".
func fileOf(uri string) string {
	_, after, ok := strings.Cut(uri, "/files/")
	id, _, _ := strings.Cut(after, ":")
	if id, _, _ = strings.Cut(id, "?"); !ok || id == "" || strings.Contains(id, "/") {
		return ""
	}
	return "files/" + id
}

// A form is a way to write a job's name.
type form string

const (
	whole      form = "whole"      // batches/X, interactions/X, models/M/operations/X
	last       form = "last"       // X
	operations form = "operations" // operations/X
)

// formsOf returns the forms in which a delivery may name a job of a kind. The first one
// is used in events until a delivery of the sender's shows which one is right.
func formsOf(kind jobs.Kind) []form {
	switch kind {
	case jobs.Interaction:
		return []form{last, whole}
	case jobs.Video:
		return []form{whole, operations, last}
	}
	return []form{whole, last}
}

// write returns a job's full name in a form.
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

// formFor returns the form that events of a kind name their job in.
func formFor(kind jobs.Kind, known map[jobs.Kind]string) form {
	return cmp.Or(form(known[kind]), formsOf(kind)[0])
}
