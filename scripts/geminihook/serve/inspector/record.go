package inspector

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/webhook"
)

// recordTimeout bounds the reading of a delivery's records. Firestore runs on this
// machine.
const recordTimeout = 2 * time.Second

// Records reads the functions' dedup records.
type Records struct {
	Collection *firestore.CollectionRef
}

// of returns the records with a delivery's endpoint and webhook-id, by document id.
// There are two if the id was sent both with a signature and with a JWT, because a
// JWT's document id includes the body. of looks for both, because a rejected delivery
// has no verified scheme. It fails if Firestore fails.
func (r *Records) of(ctx context.Context, d *delivery) (map[string]dedup.Record, error) {
	id := d.webhookID()
	if id == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	found := make(map[string]dedup.Record)
	for _, scheme := range []webhook.Scheme{webhook.V1, webhook.JWT} { // v1a has the same document ids as v1
		name := dedup.DocumentID(&webhook.Delivery{Endpoint: d.endpoint, Scheme: scheme, ID: id, Body: d.body})
		doc, err := r.Collection.Doc(name).Get(ctx)
		if status.Code(err) == codes.NotFound {
			continue
		}
		var record dedup.Record
		if err == nil {
			err = doc.DataTo(&record)
		}
		if err != nil {
			return nil, fmt.Errorf("reading the record failed: %w", err)
		}
		found[name] = record
	}
	return found, nil
}
