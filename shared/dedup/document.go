package dedup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// A document is where one delivery's record is kept. Each method is one step on it,
// which happens or does not; an error that is none of ours leaves open which.
//
// If Firestore answers ABORTED, the step met another writer and did not happen: those
// of a claim look again, the others are repeated.
type document interface {
	// create makes the record and returns its update time. It returns errExists if
	// there is one: another owner's, or our own whose reply got lost; and errChanged if
	// it met another writer.
	create(ctx context.Context, r *Record) (updated time.Time, err error)

	// read returns the record as it is, or errChanged if there is none any more or it
	// met a writer.
	read(ctx context.Context) (*snapshot, error)

	// replace writes the record over the one that was updated at seen, and returns its
	// update time. It returns errChanged where somebody else was first, or our reply
	// got lost.
	replace(ctx context.Context, r *Record, seen time.Time) (updated time.Time, err error)

	// set writes the record over whatever there is.
	set(ctx context.Context, r *Record) error

	// remove deletes the record that was updated at seen, and no other.
	remove(ctx context.Context, seen time.Time) error
}

var (
	// errExists means that there is a record.
	errExists = errors.New("there is a record")

	// errChanged means that the record is not as it was seen, or that it cannot be
	// known whether our own write to it went through: look again.
	errChanged = errors.New("the record changed under us")
)

// stored is a document in Firestore. Those that are created or set at the same time are
// written together.
type stored struct {
	client *firestore.Client
	writes *writer
	ref    *firestore.DocumentRef
}

// create is one write. One instance wins; no lock is waited for.
func (s stored) create(ctx context.Context, r *Record) (time.Time, error) {
	updated, err := s.writes.do(ctx, &firestorepb.Write{
		Operation:       s.update(r),
		CurrentDocument: &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_Exists{Exists: false}},
	})
	switch status.Code(err) {
	case codes.OK:
		return updated, nil
	case codes.AlreadyExists:
		return time.Time{}, errExists
	case codes.Aborted:
		return time.Time{}, errChanged
	}
	return time.Time{}, fmt.Errorf("claim: %w", err)
}

// read reads without a lock.
func (s stored) read(ctx context.Context) (*snapshot, error) {
	doc, err := s.ref.Get(ctx)
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound, codes.Aborted:
		return nil, errChanged
	default:
		return nil, fmt.Errorf("read the record: %w", err)
	}
	seen := snapshot{updated: doc.UpdateTime, read: doc.ReadTime}
	if err := doc.DataTo(&seen.Record); err != nil {
		return nil, fmt.Errorf("read the record: %w", err)
	}
	return &seen, nil
}

// replace is a transaction that holds nothing but the write, guarded by the update
// time that was seen: it waits for no lock. The client makes one attempt: it would
// repeat an aborted one for longer than a delivery has, without a look at the record.
func (s stored) replace(ctx context.Context, r *Record, seen time.Time) (time.Time, error) {
	var response firestore.CommitResponse
	err := bounded(ctx, func() error {
		return s.client.RunTransaction(ctx, func(_ context.Context, tx *firestore.Transaction) error {
			return tx.Update(s.ref, r.updates(), firestore.LastUpdateTime(seen))
		}, firestore.MaxAttempts(1), firestore.WithCommitResponseTo(&response))
	})
	switch status.Code(err) {
	case codes.OK:
		return response.CommitTime(), nil
	case codes.FailedPrecondition, codes.InvalidArgument, codes.NotFound, codes.Aborted:
		return time.Time{}, errChanged
	}
	return time.Time{}, fmt.Errorf("take over: %w", err)
}

// bounded waits for a transaction until ctx ends. The client waits five seconds
// longer, for a rollback that nobody needs: Firestore forgets the transaction by
// itself.
func bounded(ctx context.Context, transaction func() error) error {
	done := make(chan error, 1)
	go func() { done <- transaction() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s stored) set(ctx context.Context, r *Record) error {
	_, err := s.writes.do(ctx, &firestorepb.Write{Operation: s.update(r)})
	return err
}

// update is the operation that writes the whole record.
func (s stored) update(r *Record) *firestorepb.Write_Update {
	return &firestorepb.Write_Update{Update: newDocument(s.ref.Path, r)}
}

func (s stored) remove(ctx context.Context, seen time.Time) (err error) {
	for range maxRounds {
		_, err = s.ref.Delete(ctx, firestore.LastUpdateTime(seen))
		if status.Code(err) != codes.Aborted {
			break
		}
	}
	return err
}
