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

// A document holds the record of one delivery. Each method is one step, which takes effect
// or does not. After an error other than errExists and errChanged, the outcome is unknown.
//
// If Firestore answers ABORTED, the step conflicted with another writer and had no effect.
// The steps of a claim then return errChanged, and remove tries again.
type document interface {
	// create writes the record if there is none, and returns its update time. It returns
	// errExists if there is one: that of another owner, or our own if its reply was lost.
	// It returns errChanged if it conflicted with another writer.
	create(ctx context.Context, r *Record) (updated time.Time, err error)

	// read returns the record. It returns errChanged if the record no longer exists, or
	// if the read conflicted with a writer.
	read(ctx context.Context) (*snapshot, error)

	// replace overwrites the record if its update time is still seen, and returns the new
	// update time. It returns errChanged if another owner was faster, or if the reply to
	// our own write was lost.
	replace(ctx context.Context, r *Record, seen time.Time) (updated time.Time, err error)

	// set overwrites the record without a condition.
	set(ctx context.Context, r *Record) error

	// remove deletes the record if its update time is still seen.
	remove(ctx context.Context, seen time.Time) error
}

var (
	// errExists means that the document has a record.
	errExists = errors.New("the record exists")

	// errChanged means that the record changed since it was read, or that the outcome of
	// our own write is unknown. The claim starts again.
	errChanged = errors.New("the record changed")
)

// stored is a document in Firestore. Creates and sets of different documents at the same
// time share a call.
type stored struct {
	client *firestore.Client
	writes *writer
	ref    *firestore.DocumentRef
}

// create is one write with a precondition. It waits for no lock.
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

// replace is a transaction that contains only the write, with the update time seen as its
// precondition. It waits for no lock. The client makes one attempt: by default it would
// retry an aborted transaction for longer than a delivery may take, without reading the
// record again.
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

// bounded waits for a transaction until ctx ends. The client would wait five seconds
// longer for a rollback. The rollback is not necessary: Firestore drops an unfinished
// transaction by itself.
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

// update returns the operation that writes all fields of the record.
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
