// Package publish hands a delivery downstream: one Pub/Sub message a delivery, with
// the body as it came and the rest in CloudEvents attributes.
package publish

import (
	"context"
	"fmt"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/dial"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A Publisher publishes to the topics of its routes. It is safe for concurrent use.
type Publisher struct {
	client *pubsub.TopicAdminClient
	routes Routes
	topics map[string]*topic // by full name
}

// Open returns a publisher. Nothing is connected yet.
//
// It uses the client under the batching one of package pubsub, whose timer would delay
// each event, and whose work outlives the request. Events that arrive at the same time
// share a call all the same (package together).
func Open(ctx context.Context, routes Routes, opts ...option.ClientOption) (*Publisher, error) {
	client, err := pubsub.NewTopicAdminClient(ctx, append(dial.Options(), opts...)...)
	if err != nil {
		return nil, fmt.Errorf("pub/sub client: %w", err)
	}
	p := &Publisher{client: client, routes: routes, topics: make(map[string]*topic)}
	for _, name := range routes {
		p.topics[name] = newTopic(name, client)
	}
	return p, nil
}

// Close lets go of the connections.
func (p *Publisher) Close() error { return p.client.Close() }

// Warm begins to connect, so that the first delivery does not wait for it.
func (p *Publisher) Warm(context.Context) error {
	//lint:ignore SA1019 deprecated because of pools: this client has one connection
	p.client.Connection().Connect()
	return nil
}

// Publish puts the delivery on its topic and returns once Pub/Sub has stored it.
// It fails with ErrNotPublished if Pub/Sub refused it outright, or if ctx was over
// before the call: nothing was sent then. After any other error it may be on the
// topic all the same, or get there yet. Beside an error the receipt has the topic, and
// the attempts as far as they are known.
func (p *Publisher) Publish(ctx context.Context, d *webhook.Delivery) (webhook.Receipt, error) {
	topic := p.routes.Topic(d.Event.Type)
	if err := ctx.Err(); err != nil {
		return webhook.Receipt{Topic: topic}, fmt.Errorf("%w to %s: no time was left for it: %w", webhook.ErrNotPublished, topic, err)
	}
	o := p.topics[topic].publish(ctx, &pubsubpb.PubsubMessage{Data: d.Body, Attributes: attributes(d)})
	receipt := webhook.Receipt{Topic: topic, MessageID: o.id, Attempts: int(o.attempts)}
	switch {
	case o.refused():
		return receipt, fmt.Errorf("%w to %s: %w", webhook.ErrNotPublished, topic, o.err)
	case o.err != nil:
		return receipt, fmt.Errorf("publish to %s: %w", topic, o.err)
	}
	return receipt, nil
}

// refused reports whether err says that the server looked at the request and did
// nothing.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.FailedPrecondition:
		return true
	}
	return false
}

// attempts counts the attempts of one call that failed. A refusal counts only as
// the answer to the first: behind a later one an applied attempt may hide, whose
// reply got lost.
type attempts int

// count lets the client retry as it would by itself, and counts.
func (a *attempts) count() gax.CallOption {
	return gax.WithRetry(func() gax.Retryer {
		return &counter{a, gax.OnCodes(retryable, gax.Backoff{
			Initial:    50 * time.Millisecond,
			Max:        time.Second,
			Multiplier: 2,
		})}
	})
}

type counter struct {
	attempts *attempts
	gax.Retryer
}

func (c *counter) Retry(err error) (time.Duration, bool) {
	*c.attempts++
	return c.Retryer.Retry(err)
}

// retryable are the codes that Google's client retries a Publish on, less those
// that can only come from our own context.
var retryable = []codes.Code{
	codes.Aborted, codes.Internal, codes.ResourceExhausted, codes.Unknown, codes.Unavailable,
}
