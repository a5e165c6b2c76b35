// Package dedup keeps a record of each delivery in Firestore, so that the delivery is
// published once.
//
// A record has two states. An attempt at a delivery, which is one call of Once, creates
// the record in the state claimed, and is then its owner; only one of several
// concurrent creates succeeds. After the owner has published the delivery, it marks the
// record as done. If the message was not published, it releases the record, which
// deletes it. A claim is a lease: if the owner dies, the first retry after the lease
// has expired takes the record over.
//
// The contract: a delivery for which Once returned nil is on its topic. It is there
// more than once only if a publish or a mark failed, if the outcome of one of them is
// unknown, if an owner stalled for longer than its lease, or if an attempt arrives
// after the record has expired.
//
// No step reads inside a transaction. Firestore locks a document that a transaction reads.
// Two transactions that read one document and then write it would block each other until
// a timeout.
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
	// DefaultLease is the time after which another attempt may take over a claim. It
	// must be longer than the timeout of the ctx that a caller passes to Once plus
	// EndTimeout (5 + 2 seconds in this project), and than the ten seconds that the
	// platform gives a request between SIGTERM and SIGKILL. So if a lease has expired,
	// its owner has died or stalled.
	DefaultLease = 30 * time.Second

	// DefaultRetention is the time until a record expires. It must be longer than the
	// 24 hours for which Gemini retries a delivery, plus the timestamp tolerance, and
	// than the look-back of package reconcile (48 hours by default): if the record of a
	// delivery is gone, the reconciler takes its event for missing and publishes it
	// again. Three days leave room for a sender that is delayed.
	DefaultRetention = 72 * time.Hour

	// DefaultEndTimeout is the timeout of the mark or the release. It does not depend on
	// the deadline of the claim and the publish: if these used up their time, the record
	// must still be marked or released.
	DefaultEndTimeout = 2 * time.Second

	// markAttempts is the number of attempts to mark for which EndTimeout has time if
	// each of them is lost on the network.
	markAttempts = 2

	// markPause is the pause between two attempts to mark.
	markPause = 50 * time.Millisecond

	// maxRounds is the maximum number of times that a claim starts again because the
	// record changed in between. Each round means that another attempt at the same
	// delivery has written.
	maxRounds = 4
)

// A Ledger is the set of records in one Firestore collection. It is safe for concurrent
// use, but its fields must not change after the first call of Once.
type Ledger struct {
	// Lease, Retention and EndTimeout are explained at the constants, which Open sets.
	// None of them may be zero.
	Lease      time.Duration
	Retention  time.Duration
	EndTimeout time.Duration

	client  *firestore.Client // reads, takes over and releases
	records *firestore.CollectionRef
	writes  *writer // creates and marks
}

// Open returns the ledger in a collection of a database, "(default)" or a named one. It
// does not connect. Take database and collection from ParseDatabase and
// ParseCollection: Open does not check their form. It fails if a client cannot be
// configured, if project or database is empty, or if collection is empty or the path of
// a document ("a/b"). If FIRESTORE_EMULATOR_HOST is set, the ledger uses the emulator
// at that address, without TLS.
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
		return nil, fmt.Errorf("firestore collection %q: invalid name", collection)
	}
	return &Ledger{
		Lease: DefaultLease, Retention: DefaultRetention, EndTimeout: DefaultEndTimeout,
		client: client, records: records, writes: writes,
	}, nil
}

// Close closes the connections. Calls of Once that have not returned fail.
func (l *Ledger) Close() error { return errors.Join(l.writes.close(), l.client.Close()) }

// Warm opens the connection for reads and begins to open the one for writes, so that
// the first delivery does not wait for them. It reads a record that never exists, and
// fails with any error of that read except NotFound, which Firestore also returns if
// the database does not exist. So a nil error does not prove that the database exists.
func (l *Ledger) Warm(ctx context.Context) error {
	l.writes.connect()
	_, err := l.records.Doc("warm-up").Get(ctx)
	if err != nil && status.Code(err) != codes.NotFound {
		return fmt.Errorf("firestore: %w", err)
	}
	return nil
}

// Once acquires the delivery's record, calls do, and marks the record as done. The
// errors named here are those of package webhook. If the delivery was published before,
// Once returns ErrDuplicate or, if the body was another one, ErrMismatch, which wraps
// ErrDuplicate. With a JWT another body is another delivery (see DocumentID), so
// ErrMismatch does not occur. If another attempt at the same delivery, perhaps in this
// instance, holds the record, it returns a *BusyError. In these cases it does not call
// do.
//
// If do fails, Once returns its receipt and its error. If the error is ErrNotPublished,
// Once releases the record, so that the sender's next attempt need not wait until the
// lease expires. If the release fails too, the returned error wraps both errors. After
// any other error of do the outcome is unknown, and the record stays claimed until its
// lease expires.
//
// ErrUnmarked means that do succeeded and the mark failed. The receipt is valid then.
// If do was not called and the error is none of those above, the claim failed: the
// record may be claimed until its lease expires.
//
// ctx bounds the claim and do. It must have a deadline, so that both end well within
// Lease. The mark or the release has EndTimeout, whatever the deadline of ctx.
func (l *Ledger) Once(ctx context.Context, d *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
	return l.once(ctx, &claim{
		document: stored{l.client, l.writes, l.records.Doc(DocumentID(d))},
		record:   newRecord(d, rand.Text(), time.Now(), l.Retention),
	}, do)
}

// once is Once for any implementation of document. The model test has its own.
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
