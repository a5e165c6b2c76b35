package inspector

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
)

// recordTimeout bounds the reading of records, which are on this machine.
const recordTimeout = 2 * time.Second

// A Record is a document of the ledger, as far as it is shown.
type Record struct {
	Endpoint   string    `firestore:"endpoint"`
	BodySHA256 string    `firestore:"body_sha256"`
	State      string    `firestore:"state"`
	Attempts   int       `firestore:"attempts"`
	Topic      string    `firestore:"topic"`
	MessageID  string    `firestore:"message_id"`
	ClaimedAt  time.Time `firestore:"claimed_at"`
	DoneAt     time.Time `firestore:"done_at"`
	ExpireAt   time.Time `firestore:"expire_at"`

	ID string `firestore:"-"` // the document's
}

// Records reads the ledger that the functions write. Only a collection in a
// Firestore on this machine is to be asked in this way: it looks records up by a
// field that has no index in a deployed one.
type Records struct {
	Collection *firestore.CollectionRef
}

// Find returns the records of a webhook-id at an endpoint. There is one, or none, or
// for tokens, which bind no id, one for each body.
func (r *Records) Find(ctx context.Context, endpoint, webhookID string) ([]Record, error) {
	if webhookID == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	docs, err := r.Collection.Where("webhook_id", "==", webhookID).Documents(ctx).GetAll()
	if err != nil {
		return nil, fmt.Errorf("the ledger: %w", err)
	}
	var found []Record
	for _, doc := range docs {
		record := Record{ID: doc.Ref.ID}
		if err := doc.DataTo(&record); err != nil {
			return nil, fmt.Errorf("the ledger: %w", err)
		}
		if record.Endpoint == endpoint {
			found = append(found, record)
		}
	}
	return found, nil
}
