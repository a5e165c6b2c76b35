package examples

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2"
)

// Register publishes the name of a started job to the topic NAME-jobs, for example
// geminihook-jobs. If Gemini never delivers the job's event, the reconciler publishes it.
//
// The name of a background interaction is its id, and that of a video the name of its
// operation, "models/…/operations/…". Batches need no registration, because the API lists
// them.
//
// If Register fails, the name may or may not have been published. Register the job again:
// a name that is published twice is stored once.
func Register(ctx context.Context, jobs *pubsub.Publisher, name string) error {
	if _, err := jobs.Publish(ctx, &pubsub.Message{Data: []byte(name)}).Get(ctx); err != nil {
		return fmt.Errorf("register job %s: %w", name, err)
	}
	return nil
}
