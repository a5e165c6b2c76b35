// Package examples is the downstream side: what a subscriber to the topics does. It
// is meant to be copied, and imports nothing of the receiver.
package examples

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Once remembers in Firestore which events were handled, a document each.
//
// A document is of use for as long as its event may come back. Pub/Sub delivers at
// least once for as long as the subscription keeps messages (7 days as this project
// is deployed, 31 at most); and after a fault the receiver may publish a second copy
// while the sender repeats the delivery, 24 hours. So keep documents for longer than
// both together. A TTL policy on the field expire_at deletes them:
//
//	gcloud firestore fields ttls update expire_at --collection-group=handled --enable-ttl
type Once struct {
	Client     *firestore.Client
	Collection string        // such as "handled"
	Keep       time.Duration // such as 10 days; zero is an error
}

var (
	// errNoEvent is returned for a message that the receiver did not publish.
	errNoEvent = errors.New("no ce-source and ce-id")

	// errNoKeep is returned if Keep is not set: the TTL policy would delete each
	// document at once, and a second copy would be handled again.
	errNoKeep = errors.New("Once.Keep is not positive, set it to such as 10 days")
)

// Do runs handle unless the message's event was handled before, and reports whether
// it did. What handle writes through tx and the mark that it was handled are one
// transaction: both are there, or neither. After an error the transaction may have
// been committed all the same, if Firestore's reply was lost: do not acknowledge the
// message; when it comes again, Do finds out.
//
// handle may be called more than once, since Firestore repeats a transaction that
// met another: what it does other than through tx must bear that. For what lies
// outside, a mail or a call of another API, there is no such transaction: give it the
// event's source and id as an idempotency key, or accept that it may happen twice.
func (o *Once) Do(ctx context.Context, m *pubsub.Message, handle func(tx *firestore.Transaction) error) (first bool, err error) {
	source, id := m.Attributes["ce-source"], m.Attributes["ce-id"]
	if source == "" || id == "" {
		return false, errNoEvent
	}
	if o.Keep <= 0 {
		return false, errNoKeep
	}
	seen := o.Client.Collection(o.Collection).Doc(key(source, id))
	err = o.Client.RunTransaction(ctx, func(_ context.Context, tx *firestore.Transaction) error {
		_, err := tx.Get(seen)
		if first = status.Code(err) == codes.NotFound; !first {
			return err // nil if it was handled before
		}
		if err := handle(tx); err != nil {
			return err
		}
		return tx.Create(seen, map[string]any{"source": source, "id": id, "expire_at": time.Now().Add(o.Keep)})
	})
	return first && err == nil, err
}

// key is a document's id. An event's own may hold slashes, and be too long.
func key(source, id string) string {
	sum := sha256.Sum256([]byte(source + "\n" + id))
	return hex.EncodeToString(sum[:])
}
