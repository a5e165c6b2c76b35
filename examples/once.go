// Package examples contains code for subscribers of the topics: it handles an event once,
// fetches the results of a job, and registers a job. It is meant to be copied, and
// imports no other package of this repository.
package examples

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"strings"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Once handles each event once. It stores a document in Firestore for each event that was
// handled. All fields are required. It is safe for concurrent use, also by several
// instances.
//
// A document is needed as long as a copy of its event can arrive. Pub/Sub redelivers a
// message as long as the subscription keeps it: 7 days by default, at most 31. After a
// fault geminihook may publish a second copy as long as Gemini retries: 24 hours. So keep
// documents for longer than the sum of both. A TTL policy on the field expire_at deletes
// them:
//
//	gcloud firestore fields ttls update expire_at --collection-group=handled --enable-ttl
type Once struct {
	Client     *firestore.Client
	Collection string        // for example "handled"
	Keep       time.Duration // for example 10 days; must be positive
}

var (
	// errNoEvent means that geminihook did not publish the message.
	errNoEvent = errors.New("no ce-source and ce-id")

	// errNoKeep means that Keep is not positive. The TTL policy would delete each
	// document at once, and a second copy would be handled again.
	errNoKeep = errors.New("Once.Keep is not positive: set it to 10 days, for example")
)

// Do runs handle unless the message's event was handled before. It reports whether handle
// ran and succeeded. The writes that handle makes through tx and the document of the event
// are one transaction: all of them are stored, or none.
//
// Do fails if the message has no ce-source or no ce-id, if Keep is not positive, if handle
// fails, or if Firestore fails. Then do not acknowledge the message. The transaction may
// have been committed all the same, if only Firestore's reply was lost; when the message
// is redelivered, Do finds the document.
//
// Firestore repeats a transaction that conflicts with another, so handle may run more than
// once. Work outside of tx, such as a mail or a call of another API, is not part of the
// transaction: pass ce-source and ce-id on as an idempotency key, or accept that it can
// happen twice.
func (o *Once) Do(ctx context.Context, m *pubsub.Message, handle func(tx *firestore.Transaction) error) (first bool, err error) {
	source, id := m.Attributes["ce-source"], m.Attributes["ce-id"]
	if source == "" || id == "" {
		return false, errNoEvent
	}
	if o.Keep <= 0 {
		return false, errNoKeep
	}
	seen := o.Client.Collection(o.Collection).Doc(key(source, id, m.Data))
	err = o.Client.RunTransaction(ctx, func(_ context.Context, tx *firestore.Transaction) error {
		_, err := tx.Get(seen)
		if first = status.Code(err) == codes.NotFound; !first {
			return err // nil if the event was handled before
		}
		if err := handle(tx); err != nil {
			return err
		}
		return tx.Create(seen, map[string]any{"source": source, "id": id, "expire_at": time.Now().Add(o.Keep)})
	})
	return first && err == nil, err
}

// key returns the id of an event's document. It is a hash, because an event's own id may
// contain slashes or be too long for Firestore. A JWT does not cover the id, so the holder
// of one could take the id of a later event: there the data is part of the key.
func key(source, id string, data []byte) string {
	text := source + "\n" + id
	if strings.HasSuffix(source, "/jwt") {
		text += "\n" + string(data)
	}
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
