package examples

import (
	"context"
	"fmt"

	"cloud.google.com/go/pubsub/v2"
)

// Register publishes the name of a job that was just started to the topic …-jobs, such
// as geminihook-jobs. If the job's event never comes, the receiver's reconciler asks
// the Gemini API for the job and publishes the event itself.
//
// Batches need no registration, since the API lists them. A background interaction has
// its id as its name, a video its operation's name, "models/…/operations/…".
//
// An error means that it is not known whether the name was published. Register the job
// again: a name that was published twice does no harm.
func Register(ctx context.Context, jobs *pubsub.Publisher, name string) error {
	if _, err := jobs.Publish(ctx, &pubsub.Message{Data: []byte(name)}).Get(ctx); err != nil {
		return fmt.Errorf("register job %s: %w", name, err)
	}
	return nil
}
