package dedup

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// restless is a document that somebody changes between any two looks at it.
type restless struct {
	document
	seen     snapshot
	attempts []int // of the records that were to be created
	vanishes bool  // once it has been read
}

func (r *restless) create(_ context.Context, rec *Record) (time.Time, error) {
	r.attempts = append(r.attempts, rec.Attempts)
	if r.vanishes && len(r.attempts) > 1 {
		return time.Now(), nil
	}
	return time.Time{}, errExists
}

func (r *restless) read(context.Context) (*snapshot, error) { return &r.seen, nil }

func (r *restless) replace(context.Context, *Record, time.Time) (time.Time, error) {
	return time.Time{}, errChanged
}

func (r *restless) remove(context.Context, time.Time) error { return errors.New("down") }

func newRestless() (*restless, *claim) {
	now := time.Now()
	r := &restless{seen: snapshot{
		Record:  Record{Owner: "other", State: StateClaimed, Attempts: 7, ExpireAt: now.Add(time.Hour)},
		updated: now, read: now.Add(DefaultLease),
	}}
	return r, &claim{document: r, record: Record{Owner: "me"}}
}

// A record that always changes is given up.
func TestRestlessRecord(t *testing.T) {
	r, c := newRestless()
	if err := c.acquire(t.Context(), DefaultLease); !errors.Is(err, errChanged) || !strings.Contains(err.Error(), "4 times") {
		t.Errorf("%v", err)
	}
	if len(r.attempts) != 4 {
		t.Errorf("%d rounds, want 4", len(r.attempts))
	}
}

// A takeover that came to nothing leaves nothing behind in the claim that follows it.
func TestAttemptsStartAnew(t *testing.T) {
	r, c := newRestless()
	r.vanishes = true
	if err := c.acquire(t.Context(), DefaultLease); err != nil || c.record.Attempts != 1 || r.attempts[1] != 1 {
		t.Errorf("%v, after attempts %v", err, r.attempts)
	}
}

// A release that fails is told beside its cause.
func TestReleaseFails(t *testing.T) {
	_, c := newRestless()
	err := c.release(t.Context(), webhook.ErrNotPublished)
	if !errors.Is(err, webhook.ErrNotPublished) || !strings.HasSuffix(err.Error(), "; release: down") {
		t.Errorf("%v", err)
	}
}

// slow is a document whose claim takes all the time that there is.
type slow struct {
	document
	removed bool
}

func (s *slow) create(ctx context.Context, _ *Record) (time.Time, error) {
	<-ctx.Done()
	return time.Unix(1, 0), nil
}

func (s *slow) remove(ctx context.Context, seen time.Time) error {
	s.removed = seen.Equal(time.Unix(1, 0))
	return ctx.Err()
}

// A claim that leaves no time to publish is released, on time of the ledger's own.
func TestClaimTakesAllTheTime(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	s := new(slow)
	l := &Ledger{Lease: DefaultLease, EndTimeout: DefaultEndTimeout}
	_, err := l.once(ctx, &claim{document: s}, func(ctx context.Context) (webhook.Receipt, error) {
		return webhook.Receipt{}, fmt.Errorf("%w: %w", webhook.ErrNotPublished, ctx.Err()) // as package publish does
	})
	if !errors.Is(err, webhook.ErrNotPublished) || !errors.Is(err, context.DeadlineExceeded) || !s.removed {
		t.Errorf("%v, released: %v", err, s.removed)
	}
}
