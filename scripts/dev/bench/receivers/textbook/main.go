// Command textbook is a receiver that follows the samples of the client libraries. It
// uses the Standard Webhooks library, a transaction that reads and then creates a
// record, a publisher with default settings, and an update of the record.
package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http"
	"os"
	"sync"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"
	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/GoogleCloudPlatform/functions-framework-go/functions"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// errDuplicate ends the transaction of a delivery that already has a record.
var errDuplicate = errors.New("duplicate")

// A receiver holds the clients, which the first request creates.
type receiver struct {
	webhook   *standardwebhooks.Webhook
	database  *firestore.Client
	publisher *pubsub.Publisher
}

var theReceiver = sync.OnceValues(newReceiver)

func newReceiver() (r receiver, err error) {
	ctx, project := context.Background(), os.Getenv("GOOGLE_CLOUD_PROJECT")
	if r.webhook, err = standardwebhooks.NewWebhook(os.Getenv("WEBHOOK_SECRET")); err != nil {
		return r, err
	}
	if r.database, err = firestore.NewClient(ctx, project); err != nil {
		return r, err
	}
	messages, err := pubsub.NewClient(ctx, project)
	if err != nil {
		return r, err
	}
	r.publisher = messages.Publisher(os.Getenv("TOPIC"))
	return r, nil
}

func init() { functions.HTTP("Textbook", serve) }

func serve(w http.ResponseWriter, req *http.Request) {
	r, err := theReceiver()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if err := r.webhook.Verify(body, req.Header); err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	if err := r.process(req.Context(), req.Header.Get("Webhook-Id"), body); err != nil && !errors.Is(err, errDuplicate) {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// process claims the delivery, publishes it, and marks it done.
func (r receiver) process(ctx context.Context, id string, body []byte) error {
	record := r.database.Collection(os.Getenv("FIRESTORE_COLLECTION")).Doc(id)
	if err := r.claim(ctx, record, id); err != nil {
		return err
	}
	published := r.publisher.Publish(ctx, &pubsub.Message{Data: body, Attributes: map[string]string{"id": id}})
	if _, err := published.Get(ctx); err != nil {
		return err
	}
	_, err := record.Update(ctx, []firestore.Update{{Path: "state", Value: "done"}, {Path: "done_at", Value: firestore.ServerTimestamp}})
	return err
}

func (r receiver) claim(ctx context.Context, record *firestore.DocumentRef, id string) error {
	return r.database.RunTransaction(ctx, func(_ context.Context, tx *firestore.Transaction) error {
		_, err := tx.Get(record)
		switch {
		case err == nil:
			return errDuplicate
		case status.Code(err) != codes.NotFound:
			return err
		}
		return tx.Create(record, map[string]any{"id": id, "state": "claimed", "claimed_at": firestore.ServerTimestamp})
	})
}

func main() { log.Fatal(funcframework.StartHostPort("127.0.0.1", os.Getenv("PORT"))) }
