// Package jobs stores the names of started Gemini API jobs that the API cannot list:
// interactions and video operations.
//
// An application publishes a job's name to a Pub/Sub topic when it starts the job. The
// register pulls the names from the topic's subscription and stores one Firestore
// document per job. It acknowledges a message after the document is stored. After a
// crash between the two the message is redelivered, and the existing document stays as
// it is.
//
// The register also stores a few notes for package reconcile. Its passes, which are
// scheduled runs, look for jobs that ended without a delivered event, and publish the
// missing events.
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
	// MaxOpen is the maximum number of open jobs that a pass (see package reconcile)
	// reads. It bounds the cost of a pass, which reads all of them.
	MaxOpen = 10_000

	// MaxAge is the age, counted from RegisteredAt, after which a pass sets a job that
	// has not ended to StateLost. The API keeps an interaction for at most 55 days.
	MaxAge = 56 * 24 * time.Hour

	// keepClosed is the retention of a closed or lost job. It exceeds the 7 days for
	// which the topic and the subscription keep a message at most (terraform/jobs.tf):
	// until then a redelivered message must find the document, or it would open the job
	// again.
	keepClosed = 8 * 24 * time.Hour

	// DefaultPatience is the default time for which Receive pulls. Receive repeats the
	// pull in that time because one pull may return only a part of the backlog.
	DefaultPatience = 5 * time.Second
)

// The states of a job.
const (
	StateOpen   = "open"
	StateClosed = "closed" // its event was delivered, published by a pass, or only logged; or it has no event

	// StateLost is the state of a job to which the API answered 404 or 403 in at least
	// five passes over at least an hour, or that is older than MaxAge and has not
	// ended.
	StateLost = "lost"
)

// A Job is a registered job, and its document in Firestore. Fields may be added, but
// not removed or changed: during an upgrade, instances of two releases run side by
// side.
type Job struct {
	Name  string `firestore:"name"` // interactions/ID or models/MODEL/operations/ID
	Kind  Kind   `firestore:"kind"`
	State string `firestore:"state"` // the only indexed field

	RegisteredAt time.Time `firestore:"registered_at"` // publish time of its message

	// NextAt is the time before which passes make no API call for the job. Independently
	// of NextAt, they make none until the Grace of package reconcile has passed since
	// RegisteredAt. If NextAt is zero, only that second bound applies.
	NextAt time.Time `firestore:"next_at"`

	// EndedAt is the time at which a pass first saw in the API that the job had ended,
	// if an event is due for it. It is zero until then, and stays zero if no event is
	// due or if the delivery was found first.
	EndedAt time.Time `firestore:"ended_at"`

	// Misses is the number of 404 or 403 answers of the API about the job since the
	// last successful one, counted only in passes in which another call succeeded: with
	// a revoked key the API shows no job at all. MissedSince is the time of the first
	// one; zero if Misses is 0.
	Misses      int       `firestore:"misses"`
	MissedSince time.Time `firestore:"missed_since"`

	// ExpireAt is the time after which Firestore's TTL policy deletes the document: for
	// an open job, MaxAge plus eight days after its registration; for a closed or lost
	// job, eight days after it was saved.
	ExpireAt time.Time `firestore:"expire_at"`

	updated time.Time // update time of the document as read: a precondition of Save
}

// Same reports whether saving b in place of a would change nothing. It ignores
// ExpireAt: Save sets it for a closed or lost job, and no caller changes it for an open
// one.
func Same(a, b Job) bool {
	return a.State == b.State && a.NextAt.Equal(b.NextAt) && a.EndedAt.Equal(b.EndedAt) &&
		a.Misses == b.Misses && a.MissedSince.Equal(b.MissedSince)
}

// A Place names the Google Cloud resources of a register. All fields are required.
type Place struct {
	Project, Database string // of Firestore, for example "my-project" and "(default)"
	Jobs, Notes       string // Firestore collections; must differ from each other and from the ledger's, which Open does not check
	Subscription      string // full name of the subscription to pull, projects/P/subscriptions/S
	Rejected          string // full name of the topic for rejected messages, projects/P/topics/T
}

// A Register stores jobs and notes. Create one with [Open]. Do not change its exported
// fields during use. It is safe for concurrent use, also by several instances.
type Register struct {
	Patience time.Duration // time for which Receive pulls; Open sets DefaultPatience
	Log      *slog.Logger

	place      Place
	client     *firestore.Client
	jobs       *firestore.CollectionRef
	notes      *firestore.CollectionRef
	subscriber *pubsub.SubscriptionAdminClient
	publisher  *pubsub.TopicAdminClient
}

// Open returns the register at a place. It opens no connection yet, but fails if a
// client cannot be created or a collection's name is invalid. The options apply to all
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
		return nil, fmt.Errorf("firestore collections %q and %q: invalid name", place.Jobs, place.Notes)
	}
	if r.subscriber, err = pubsub.NewSubscriptionAdminClient(ctx, opts...); err != nil {
		return nil, fmt.Errorf("pub/sub client: %w", err)
	}
	if r.publisher, err = pubsub.NewTopicAdminClient(ctx, opts...); err != nil {
		return nil, fmt.Errorf("pub/sub client: %w", err)
	}
	return r, nil
}

// Close closes the connections. The register cannot be used after that.
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

// Warm connects to Firestore by reading one document, which need not exist.
func (r *Register) Warm(ctx context.Context) error {
	_, err := r.notes.Doc("warm-up").Get(ctx)
	if err != nil && status.Code(err) != codes.NotFound {
		return fmt.Errorf("firestore: %w", err)
	}
	return nil
}

// Jobs returns at most MaxOpen open jobs, and reports whether there are more. It logs
// and skips documents that it cannot decode.
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

// Save writes State, NextAt, EndedAt, Misses, MissedSince and ExpireAt of a job that
// Jobs or Receive returned. If State is not StateOpen, it sets ExpireAt to eight days
// from now. If the document has changed or was deleted since it was read, Save does
// nothing and returns nil: the other pass's change is kept.
//
// A Job can be saved once, because Save does not renew the update time that it
// compares: a second Save of the same Job has no effect. To save it again, read it
// again.
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

// create stores a job unless a document for it exists. It returns true if this call
// created it. It returns false, without an error, if the document existed, or if an
// earlier attempt of the client created it and the reply was lost.
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

// documentID returns the id of a job's document, 64 hex digits. The job's name cannot
// be the id because it contains slashes.
func documentID(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:])
}
