// Package jobs keeps the register of started jobs that the Gemini API cannot list:
// interactions and video operations.
//
// An application publishes a job's name to a topic when it starts the job. The register
// pulls the names from the topic's subscription and stores a document a job, before it
// acknowledges the message: a crash in between repeats a write that changes nothing.
//
// Beside the jobs it stores a few notes, which outlive an instance as the jobs do.
package jobs

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"cloud.google.com/go/firestore"
	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"google.golang.org/api/iterator"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/dial"
)

const (
	// MaxOpen bounds how many jobs are open at a time. Each pass reads them all, so the
	// bound is also one on what a pass costs.
	MaxOpen = 10_000

	// MaxAge is how long a job stays open. The API keeps an interaction for at most 55
	// days.
	MaxAge = 56 * 24 * time.Hour

	// keepClosed is how long a closed job is remembered. Its message may be redelivered
	// for the seven days that a subscription keeps it.
	keepClosed = 8 * 24 * time.Hour

	// DefaultPatience is how long Receive pulls. One pull may return few of the messages
	// that there are.
	DefaultPatience = 5 * time.Second
)

// The states of a job.
const (
	StateOpen   = "open"
	StateClosed = "closed" // delivered, handed over, reported, or without an event
	StateLost   = "lost"   // the API does not show it
)

// A Job is a registered job. Fields are only ever added, as instances of two releases
// run side by side during an upgrade.
type Job struct {
	Name  string `firestore:"name"` // in full: interactions/ID or models/MODEL/operations/ID
	Kind  Kind   `firestore:"kind"`
	State string `firestore:"state"` // the one indexed field

	RegisteredAt time.Time `firestore:"registered_at"` // when its message was published
	NextAt       time.Time `firestore:"next_at"`       // when to ask the API for it; zero means at once

	// EndedAt is when a pass first saw that the job had ended, if the API does not say
	// when it did; zero until then.
	EndedAt time.Time `firestore:"ended_at"`

	// Misses counts the answers 404 and 403 since MissedSince, without another between
	// them.
	Misses      int       `firestore:"misses"`
	MissedSince time.Time `firestore:"missed_since"`

	// After ExpireAt the TTL policy deletes the document.
	ExpireAt time.Time `firestore:"expire_at"`

	updated time.Time // the document's update time, by which a write is guarded
}

// Same reports whether saving b in place of a would change nothing.
func Same(a, b Job) bool {
	return a.State == b.State && a.NextAt.Equal(b.NextAt) && a.EndedAt.Equal(b.EndedAt) &&
		a.Misses == b.Misses && a.MissedSince.Equal(b.MissedSince)
}

// A Place says where a register is.
type Place struct {
	Project, Database string
	Jobs, Notes       string // collections
	Subscription      string // full name: projects/P/subscriptions/S
	Rejected          string // full name of the topic for copies of messages that name no job
}

// A Register is the register. Its exported fields are not to be changed in use. It is
// safe for concurrent use, by several instances too.
type Register struct {
	Patience time.Duration // how long Receive pulls; DefaultPatience if it comes from Open
	Log      *slog.Logger

	place      Place
	client     *firestore.Client
	jobs       *firestore.CollectionRef
	notes      *firestore.CollectionRef
	subscriber *pubsub.SubscriptionAdminClient
	publisher  *pubsub.TopicAdminClient
}

// Open returns the register at a place. Nothing is connected yet. The options go to all
// clients.
func Open(ctx context.Context, place Place, log *slog.Logger, opts ...option.ClientOption) (_ *Register, err error) {
	r := &Register{Patience: DefaultPatience, Log: log, place: place}
	defer func() {
		if err != nil {
			_ = r.Close()
		}
	}()
	opts = append(dial.Options(), opts...)
	if r.client, err = firestore.NewClientWithDatabase(ctx, place.Project, place.Database, opts...); err != nil {
		return nil, fmt.Errorf("firestore client: %w", err)
	}
	r.jobs, r.notes = r.client.Collection(place.Jobs), r.client.Collection(place.Notes)
	if r.jobs == nil || r.notes == nil {
		return nil, fmt.Errorf("firestore collections %q and %q: not both names", place.Jobs, place.Notes)
	}
	if r.subscriber, err = pubsub.NewSubscriptionAdminClient(ctx, opts...); err != nil {
		return nil, fmt.Errorf("pub/sub client: %w", err)
	}
	if r.publisher, err = pubsub.NewTopicAdminClient(ctx, opts...); err != nil {
		return nil, fmt.Errorf("pub/sub client: %w", err)
	}
	return r, nil
}

// Close closes the connections.
func (r *Register) Close() error {
	var all []error
	if r.client != nil {
		all = append(all, r.client.Close())
	}
	if r.subscriber != nil {
		all = append(all, r.subscriber.Close())
	}
	if r.publisher != nil {
		all = append(all, r.publisher.Close())
	}
	return errors.Join(all...)
}

// Warm connects to Firestore.
func (r *Register) Warm(ctx context.Context) error {
	_, err := r.notes.Doc("warm-up").Get(ctx)
	if err != nil && status.Code(err) != codes.NotFound {
		return fmt.Errorf("firestore: %w", err)
	}
	return nil
}

// Jobs returns the open jobs: at most MaxOpen, and whether there are more.
func (r *Register) Jobs(ctx context.Context) (open []Job, more bool, err error) {
	docs := r.jobs.Where("state", "==", StateOpen).Limit(MaxOpen + 1).Documents(ctx)
	defer docs.Stop()
	for {
		doc, err := docs.Next()
		if errors.Is(err, iterator.Done) {
			break
		}
		if err != nil {
			return nil, false, fmt.Errorf("read the open jobs: %w", err)
		}
		job := Job{updated: doc.UpdateTime}
		if err := doc.DataTo(&job); err != nil {
			r.Log.WarnContext(ctx, "job document", "document", doc.Ref.ID, "error", err.Error())
			continue
		}
		open = append(open, job)
	}
	return open[:min(len(open), MaxOpen)], len(open) > MaxOpen, nil
}

// Save stores a job that Jobs or Receive returned, unless its document has changed since:
// then another pass was first, and Save does nothing.
func (r *Register) Save(ctx context.Context, j Job) error {
	if j.State != StateOpen {
		j.ExpireAt = time.Now().Add(keepClosed)
	}
	_, err := r.jobs.Doc(documentID(j.Name)).Update(ctx, []firestore.Update{
		{Path: "state", Value: j.State},
		{Path: "next_at", Value: j.NextAt},
		{Path: "ended_at", Value: j.EndedAt},
		{Path: "misses", Value: j.Misses},
		{Path: "missed_since", Value: j.MissedSince},
		{Path: "expire_at", Value: j.ExpireAt},
	}, firestore.LastUpdateTime(j.updated))
	switch status.Code(err) {
	case codes.OK, codes.FailedPrecondition, codes.NotFound, codes.InvalidArgument, codes.Aborted:
		return nil
	}
	return fmt.Errorf("save a job: %w", err)
}

// create stores a job unless it is stored already. It reports whether it did, or cannot
// know since a reply got lost.
func (r *Register) create(ctx context.Context, j *Job) (created bool, err error) {
	result, err := r.jobs.Doc(documentID(j.Name)).Create(ctx, j)
	switch status.Code(err) {
	case codes.OK:
		j.updated = result.UpdateTime
		return true, nil
	case codes.AlreadyExists:
		return false, nil
	}
	return false, fmt.Errorf("register a job: %w", err)
}

// documentID names a job's document, in 64 hex digits: a job's name may not be one.
func documentID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}
