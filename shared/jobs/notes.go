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

// maxNotes bounds how many notes are read. There are at most four.
const maxNotes = 20

// Notes are what passes remember beside the jobs.
type Notes struct {
	// Forms are the forms in which the sender names jobs, by kind; the kinds of which no
	// delivery was ever matched to a job are absent.
	Forms map[Kind]string

	// EnabledAt is when a pass last asked for the webhook to be enabled; zero if it never
	// did.
	EnabledAt time.Time

	enabled time.Time // the document's update time
}

const enabledNote = "enabled"

type note struct {
	Kind Kind      `firestore:"kind"`
	Form string    `firestore:"form"`
	Job  string    `firestore:"job"` // the one that matched
	At   time.Time `firestore:"at"`
}

// Notes returns the notes.
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

// NoteForm remembers for good that the sender names jobs of a kind in this form, as it
// named this one.
func (r *Register) NoteForm(ctx context.Context, kind Kind, form, job string) error {
	_, err := r.notes.Doc("form-"+string(kind)).Create(ctx, note{Kind: kind, Form: form, Job: job, At: time.Now()})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return fmt.Errorf("note the form of a name: %w", err)
	}
	return nil
}

// NoteEnabled remembers that the webhook is about to be enabled. It reports whether this
// pass may: false means that another pass has just noted the same, or that its own reply
// got lost.
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
	return false, fmt.Errorf("note that the webhook is enabled: %w", err)
}
