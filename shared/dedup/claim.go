package dedup

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/webhook"
)

// claim is a delivery's record, held by us once updated is set.
type claim struct {
	ref     *firestore.DocumentRef
	record  record
	updated time.Time // the record's update time when it became ours
}

// create makes the record. One instance wins: the others get AlreadyExists, and so
// does the winner whose first reply got lost.
func (c *claim) create(ctx context.Context) error {
	c.record.Attempts = 1
	result, err := c.ref.Create(ctx, c.record)
	if err != nil {
		return err
	}
	c.updated = result.UpdateTime
	return nil
}

// takeOver makes a lapsed record ours. The transaction holds nothing but the write,
// guarded by the update time that was seen: it waits for no lock. It returns
// errChanged where somebody else was first, or our reply got lost.
func (c *claim) takeOver(ctx context.Context, client *firestore.Client, seen *sighting) error {
	c.record.Attempts = 1
	if !seen.expired() {
		c.record.Attempts += seen.Attempts
	}
	var response firestore.CommitResponse
	err := client.RunTransaction(ctx, func(_ context.Context, tx *firestore.Transaction) error {
		return tx.Update(c.ref, c.record.updates(), firestore.LastUpdateTime(seen.updated))
	}, firestore.WithCommitResponseTo(&response))
	switch status.Code(err) {
	case codes.OK:
		c.updated = response.CommitTime()
		return nil
	case codes.FailedPrecondition, codes.InvalidArgument, codes.NotFound, codes.Aborted:
		return errChanged
	}
	return fmt.Errorf("take over: %w", err)
}

// release gives the delivery back because of cause, which it returns, unless
// somebody has taken it over. Where it fails the lease will do the same later.
func (c *claim) release(ctx context.Context, cause error) error {
	if _, err := c.ref.Delete(ctx, firestore.LastUpdateTime(c.updated)); err != nil {
		return fmt.Errorf("%w; release: %w", cause, err)
	}
	return cause
}

// mark records the delivery as done. The write is unconditional: whoever marks has
// the acknowledgement in hand, so done is true whoever writes it, and a guard would
// only turn a lost reply into a second copy. It is tried until ctx ends, and then
// fails with ErrUnmarked.
func (c *claim) mark(ctx context.Context, receipt webhook.Receipt, l *Ledger) error {
	done := c.record
	done.State = stateDone
	done.Topic, done.MessageID = receipt.Topic, receipt.MessageID
	done.DoneAt = time.Now()
	done.ExpireAt = done.DoneAt.Add(l.Retention)
	for {
		err := c.set(ctx, done, l.EndTimeout/markAttempts)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", webhook.ErrUnmarked, err)
		case <-time.After(markPause):
		}
	}
}

func (c *claim) set(ctx context.Context, done record, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	_, err := c.ref.Set(ctx, done)
	return err
}
