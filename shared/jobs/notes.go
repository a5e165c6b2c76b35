package jobs

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxNotes is the maximum number of notes that are read. At most four exist: one form
// per kind, and enabledNote. The rest is room for those of a later release.
const maxNotes = 20

// Notes are facts about the project that passes of several instances share.
type Notes struct {
	// Forms holds, by kind, how Gemini's deliveries write a job's name in data.id,
	// which is not documented: "whole" (batches/X), "last" (X), or "operations"
	// (operations/X, videos only). A kind is absent until a delivery has been matched
	// to a job of that kind.
	Forms map[Kind]string

	// EnabledAt is the time at which a pass last enabled the webhook, or tried to;
	// zero if no pass has.
	EnabledAt time.Time

	enabled time.Time // update time of the document enabledNote; zero if it does not exist
}

// enabledNote is the id of the document that holds EnabledAt.
const enabledNote = "enabled"

// note is the document of one note. A document with a form has all fields, enabledNote
// has At only.
type note struct {
	Kind Kind      `firestore:"kind"`
	Form string    `firestore:"form"`
	Job  string    `firestore:"job"` // the job that was found in a delivery in this form
	At   time.Time `firestore:"at"`
}

// Notes reads all notes. It fails if any of them cannot be read or decoded.
func (r *Register) Notes(ctx context.Context) (Notes, error) {
	n := Notes{Forms: make(map[Kind]string)}
	docs := r.notes.Limit(maxNotes).Documents(ctx)
	defer docs.Stop()
	for {
		doc, err := docs.Next()
		if errors.Is(err, iterator.Done) {
			return n, nil
		}
		var one note
		if err == nil {
			err = doc.DataTo(&one)
		}
		if err != nil {
			return Notes{}, fmt.Errorf("read the notes: %w", err)
		}
		if doc.Ref.ID == enabledNote {
			n.EnabledAt, n.enabled = one.At, doc.UpdateTime
		} else if one.Kind != "" {
			n.Forms[one.Kind] = one.Form
		}
	}
}

// NoteForm stores the form in which Gemini's deliveries name jobs of a kind. The
// argument job is the job that was found in a delivery in this form. The first form
// that is stored is kept: later calls return nil without storing theirs.
func (r *Register) NoteForm(ctx context.Context, kind Kind, form, job string) error {
	_, err := r.notes.Doc("form-"+string(kind)).Create(ctx, note{Kind: kind, Form: form, Job: job, At: time.Now()})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("note the form of a name: %w", err)
	}
	return nil
}

// NoteEnabled stores the current time as EnabledAt, before the caller enables the
// webhook. It returns true if the caller may enable it. It returns false if another
// pass has changed EnabledAt since seen was read, or if the client repeated the write
// because a reply was lost.
func (r *Register) NoteEnabled(ctx context.Context, seen Notes) (bool, error) {
	var err error
	doc := r.notes.Doc(enabledNote)
	if seen.enabled.IsZero() {
		_, err = doc.Create(ctx, note{At: time.Now()})
	} else {
		_, err = doc.Update(ctx, []firestore.Update{{Path: "at", Value: time.Now()}}, firestore.LastUpdateTime(seen.enabled))
	}
	switch status.Code(err) {
	case codes.OK:
		return true, nil
	case codes.AlreadyExists, codes.FailedPrecondition, codes.InvalidArgument, codes.NotFound, codes.Aborted:
		return false, nil
	}
	return false, fmt.Errorf("note the time of enabling the webhook: %w", err)
}
