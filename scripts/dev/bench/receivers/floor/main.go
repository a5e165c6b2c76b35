// Command floor is the lower bound of a delivery's cost: a handler that only makes the
// three calls. It does not verify, parse, log or retry.
package main

import (
	"context"
	"io"
	"log"
	"net/http"
	"os"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/geminihook/geminihook/scripts/dev/bench/internal/calls"
)

var where = calls.Where{
	Project:    os.Getenv("GOOGLE_CLOUD_PROJECT"),
	Collection: os.Getenv("FIRESTORE_COLLECTION"),
	Topic:      os.Getenv("TOPIC"),
}

// A receiver holds the stubs that protoc generates.
type receiver struct {
	firestore firestorepb.FirestoreClient
	pubsub    pubsubpb.PublisherClient
}

func newReceiver() (*receiver, error) {
	firestore, err := calls.Dial(os.Getenv("FIRESTORE_EMULATOR_HOST"))
	if err != nil {
		return nil, err
	}
	firestore.Connect()
	pubsub, err := calls.Dial(os.Getenv("PUBSUB_EMULATOR_HOST"))
	if err != nil {
		return nil, err
	}
	pubsub.Connect()
	return &receiver{firestorepb.NewFirestoreClient(firestore), pubsubpb.NewPublisherClient(pubsub)}, nil
}

func (r *receiver) serve(w http.ResponseWriter, req *http.Request) {
	if req.Method != http.MethodPost {
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	body, err := io.ReadAll(req.Body)
	if err == nil {
		err = r.process(req.Context(), req.Header.Get("Webhook-Id"), body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (r *receiver) process(ctx context.Context, id string, body []byte) error {
	if _, err := r.firestore.Commit(ctx, where.Commit(where.Claim(id, time.Now()))); err != nil {
		return err
	}
	if _, err := r.pubsub.Publish(ctx, where.Publish(id, body)); err != nil {
		return err
	}
	_, err := r.firestore.Commit(ctx, where.Commit(where.Mark(id, time.Now())))
	return err
}

func main() {
	r, err := newReceiver()
	if err != nil {
		log.Fatal(err)
	}
	functions.HTTP("Floor", r.serve)
	log.Fatal(funcframework.StartHostPort("127.0.0.1", os.Getenv("PORT")))
}
