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

// recordTimeout bounds the reading of records, which are on this machine.
const recordTimeout = 2 * time.Second

// Records reads the ledger that the functions write.
type Records struct {
	Collection *firestore.CollectionRef
}

// of returns the records that a delivery may have, by their documents' ids: two if it
// was sent both with a signature and with a JWT. Its own scheme does not tell which one is
// its, since a refused delivery may be of any or of none.
func (r *Records) of(ctx context.Context, d *delivery) (map[string]dedup.Record, error) {
	id := d.webhookID()
	if id == "" {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(ctx, recordTimeout)
	defer cancel()
	found := make(map[string]dedup.Record)
	for _, scheme := range []webhook.Scheme{webhook.V1, webhook.JWT} { // v1a's ids are made as v1's
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
			return nil, fmt.Errorf("the ledger: %w", err)
		}
		found[name] = record
	}
	return found, nil
}
