// Package dedup keeps a record of each delivery in Firestore, so that it is published once.
//
// The contract: a delivery whose Once returned nil is on its topic. It is there
// more than once only if a publish or a mark failed or its outcome could not be
// known, or if an owner stalled past its lease.
//
// A delivery's record has two states: claimed, by a Create in which only one instance
// succeeds, then done, by the owner that published it. A claim is a lease: if its owner
// dies, the first retry after the lease has expired takes the record over.
// No step reads inside a transaction, because two readers of one document that
// then write it block each other until a time-out.
package dedup

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/dial"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	// DefaultLease is how long an owner may be silent. It is longer than the ten
	// seconds that the platform gives a request between SIGTERM and SIGKILL, so that
	// the owner of an expired lease has died or stalled.
	DefaultLease = 30 * time.Second

	// DefaultRetention is how long a record is kept. It must outlast the sender's
	// retries, 24 hours, plus the tolerance; three days leave room for a sender that
	// is held up.
	DefaultRetention = 72 * time.Hour

	// DefaultEndTimeout bounds the mark or the release, which run on time of their
	// own: they are what makes the work before them count.
	DefaultEndTimeout = 2 * time.Second

	// markAttempts is for how many attempts to mark there is time when each gets
	// lost on the way.
	markAttempts = 2

	// markPause lies between two attempts.
	markPause = 50 * time.Millisecond

	// maxRounds bounds how often a claim is looked at again because the record
	// changed in between. Each round needs another instance to have moved.
	maxRounds = 4
)

// A Ledger is the set of records. Its fields are not to be changed in use. It is
// safe for concurrent use.
type Ledger struct {
	// As in the constants, which Open fills in.
	Lease      time.Duration
	Retention  time.Duration
	EndTimeout time.Duration

	client  *firestore.Client // reads, takes over and releases
	records *firestore.CollectionRef
	writes  *writer // creates and marks
}

// Open returns the ledger in a collection of a database: "(default)" or a named
// one. Nothing is connected yet.
func Open(ctx context.Context, project, database, collection string, opts ...option.ClientOption) (*Ledger, error) {
	client, err := firestore.NewClientWithDatabase(ctx, project, database, append(dial.Options(), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("firestore client: %w", err)
	}
	writes, err := openWriter(ctx, "projects/"+project+"/databases/"+database, opts...)
	if err != nil {
		client.Close()
		return nil, fmt.Errorf("firestore client: %w", err)
	}
	records := client.Collection(collection)
	if records == nil {
		_ = errors.Join(writes.close(), client.Close())
		return nil, fmt.Errorf("firestore collection %q: not a name", collection)
	}
	return &Ledger{
		Lease: DefaultLease, Retention: DefaultRetention, EndTimeout: DefaultEndTimeout,
		client: client, records: records, writes: writes,
	}, nil
}

// Close lets go of the connections.
func (l *Ledger) Close() error { return errors.Join(l.writes.close(), l.client.Close()) }

// Warm opens the connections, one of them by reading a record that is never there, so
// that the first delivery does not wait for them.
func (l *Ledger) Warm(ctx context.Context) error {
	l.writes.connect()
	_, err := l.records.Doc("warm-up").Get(ctx)
	if err != nil && status.Code(err) != codes.NotFound {
		return fmt.Errorf("firestore: %w", err)
	}
	return nil
}

// Once acquires the delivery's record, calls do, and marks the record done. It does not
// call do, and returns ErrDuplicate or ErrMismatch, if the delivery is done already, or a
// *BusyError if another instance holds the record.
//
// An error of do is returned as it is, beside its receipt. If it is ErrNotPublished, the
// record is released, so that the sender's next attempt starts afresh; otherwise the
// delivery may have been published, and the record stays claimed until its lease expires.
// ErrUnmarked means that do succeeded and only the mark failed. Any other error is
// Firestore's, and do was not called.
//
// ctx bounds the claim and do. The mark or the release has EndTimeout of its own.
func (l *Ledger) Once(ctx context.Context, d *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
	return l.once(ctx, &claim{
		document: stored{l.client, l.writes, l.records.Doc(DocumentID(d))},
		record:   newRecord(d, rand.Text(), time.Now(), l.Retention),
	}, do)
}

// once is Once, on any document.
func (l *Ledger) once(ctx context.Context, c *claim, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
	if err := c.acquire(ctx, l.Lease); err != nil {
		return webhook.Receipt{}, err
	}
	receipt, err := do(ctx)

	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), l.EndTimeout)
	defer cancel()
	switch {
	case err == nil:
		return receipt, c.mark(ctx, receipt, l)
	case errors.Is(err, webhook.ErrNotPublished):
		return receipt, c.release(ctx, err)
	}
	return receipt, err
}
