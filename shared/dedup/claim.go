package dedup

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// claim is a delivery's record. This delivery owns the record when updated is set.
type claim struct {
	document
	record  Record
	updated time.Time // update time of the write that acquired the record
}

// acquire creates or takes over the record. It fails with ErrDuplicate, ErrMismatch, a
// *BusyError, or an error of Firestore.
func (c *claim) acquire(ctx context.Context, lease time.Duration) (err error) {
	for range maxRounds {
		c.record.Attempts = 1
		if c.updated, err = c.create(ctx, &c.record); errors.Is(err, errExists) {
			err = c.acquireExisting(ctx, lease)
		}
		if !errors.Is(err, errChanged) {
			return err
		}
	}
	return fmt.Errorf("claim: %w %d times", errChanged, maxRounds)
}

// acquireExisting reads a record that existed before our create, or that our create wrote
// although its reply was lost, and acquires it if decide allows that.
func (c *claim) acquireExisting(ctx context.Context, lease time.Duration) error {
	seen, err := c.read(ctx)
	if err != nil {
		return err
	}
	switch decide(seen, &c.record, lease) {
	case ours:
		c.updated = seen.updated
		c.record.Attempts = seen.Attempts
		return nil
	case duplicate:
		return webhook.ErrDuplicate
	case mismatch:
		return webhook.ErrMismatch
	case busy:
		return &webhook.BusyError{RetryAfter: lease - seen.age()}
	default: // available
		return c.takeOver(ctx, seen)
	}
}

// takeOver overwrites a record because its lease, or the record itself, has expired.
func (c *claim) takeOver(ctx context.Context, seen *snapshot) (err error) {
	if !seen.expired() {
		c.record.Attempts += seen.Attempts
	}
	c.updated, err = c.replace(ctx, &c.record, seen.updated)
	return err
}

// release deletes the record unless another owner has acquired it, and returns cause. If
// the release fails, the lease expires later, with the same effect.
func (c *claim) release(ctx context.Context, cause error) error {
	if err := c.remove(ctx, c.updated); err != nil {
		return fmt.Errorf("%w; release: %w", cause, err)
	}
	return cause
}

// mark records the delivery as done. The write has no precondition: the caller has Pub/Sub's
// acknowledgement, so done is true even if another owner has the record. A precondition
// would turn a lost reply into a second copy. mark tries again until ctx ends, and then
// fails with ErrUnmarked.
func (c *claim) mark(ctx context.Context, receipt webhook.Receipt, l *Ledger) error {
	done := c.record
	done.State = StateDone
	done.Topic, done.MessageID = receipt.Topic, receipt.MessageID
	done.DoneAt = time.Now()
	done.ExpireAt = done.DoneAt.Add(l.Retention)
	for {
		err := c.attempt(ctx, &done, l.EndTimeout/markAttempts)
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

func (c *claim) attempt(ctx context.Context, done *Record, timeout time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return c.set(ctx, done)
}
