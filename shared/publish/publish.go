// Package publish publishes each delivery as one Pub/Sub message. The message's data is
// the body as received. Its attributes are those of a CloudEvent, in the binary mode of
// the Pub/Sub binding:
//
//	ce-specversion           "1.0"
//	ce-id                    the webhook-id
//	ce-source                //generativelanguage.googleapis.com/webhooks/ENDPOINT; /jwt follows for scheme jwt
//	ce-type                  the event's type
//	ce-subject               the event's data.id
//	ce-time                  the event's timestamp, RFC 3339 in UTC
//	ce-scheme                v1, v1a, jwt or api
//	ce-receivedtime          the time of the verification, RFC 3339 in UTC
//	ce-traceparent           the request's place in a trace
//	googclient_traceparent   the same, under the name that Google's clients use
//	content-type             as received
//	content-encoding         as received
//
// ENDPOINT is static, dynamic or reconciled. A reconciled event was rebuilt by package
// reconcile because Gemini did not deliver it: its ce-scheme is api, its ce-id begins with
// "reconciled_", and its ce-receivedtime is the start of the pass that rebuilt it.
//
// An attribute is left out if the delivery has no value for it, or if the value has
// more than 1,024 bytes or is not valid UTF-8. Consumers recognise copies of one
// message by ce-source and ce-id. If ce-source ends in /jwt, they must also compare the
// data: a JWT does not cover the id, so two different deliveries can have the same
// pair. Two webhooks, or Gemini and package reconcile, can announce the same event with
// another ce-id, and perhaps another ce-source. So its handling must also be idempotent
// by ce-type and the part of ce-subject after its last slash. The exception is
// interaction.requires_action, which a job can have several times.
package publish

import (
	"context"
	"fmt"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
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

// Open returns a publisher for the topics of routes. It does not connect. It fails if
// routes has no "*", or if the client cannot be configured.
//
// It uses the generated client (package pubsub/v2/apiv1). The hand-written client of
// package pubsub collects messages until a timer fires, which would delay each event,
// and may publish after the request has ended. Publisher combines messages that arrive
// at the same time into one call, without a delay for a message that arrives alone (see
// package together).
func Open(ctx context.Context, routes Routes, opts ...option.ClientOption) (*Publisher, error) {
	if _, ok := routes[fallback]; !ok {
		return nil, errNoFallback
	}
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

// Close closes the connection. Calls of Publish that have not returned fail.
func (p *Publisher) Close() error { return p.client.Close() }

// Warm starts to connect, so that the first delivery does not wait for that. It does not
// wait and does not fail.
func (p *Publisher) Warm(context.Context) error {
	//lint:ignore SA1019 deprecated because of pools: this client has one connection
	p.client.Connection().Connect()
	return nil
}

// Publish publishes the delivery to its topic and returns when Pub/Sub has stored it.
//
// It retries after Aborted, Internal, ResourceExhausted, Unknown and Unavailable until ctx
// ends, or for 60 seconds if ctx has no deadline.
//
// It fails with ErrNotPublished if Pub/Sub rejected the first attempt with
// InvalidArgument, NotFound, PermissionDenied or FailedPrecondition, or if ctx had
// ended before the call. The message is certainly not on the topic then. After any
// other error the outcome is unknown: the message may be on the topic, or arrive there
// later. If Publish fails, the receipt has no MessageID. It has the topic, and in
// Attempts the number of attempts that may have published the message. After
// ErrNotPublished that is 1 if Pub/Sub rejected the message, and 0 if no attempt was
// made.
func (p *Publisher) Publish(ctx context.Context, d *webhook.Delivery) (webhook.Receipt, error) {
	topic := p.routes.Topic(d.Event.Type)
	if err := ctx.Err(); err != nil {
		return webhook.Receipt{Topic: topic}, fmt.Errorf("%w to %s: no time was left: %w", webhook.ErrNotPublished, topic, err)
	}
	o := p.topics[topic].publish(ctx, &pubsubpb.PubsubMessage{Data: d.Body, Attributes: attributes(d)})
	receipt := webhook.Receipt{Topic: topic, MessageID: o.id, Attempts: o.attempts}
	switch {
	case o.refused():
		return receipt, fmt.Errorf("%w to %s: %w", webhook.ErrNotPublished, topic, o.err)
	case o.err != nil:
		return receipt, fmt.Errorf("publish to %s: %w", topic, o.err)
	}
	return receipt, nil
}

// refused reports whether err means that the server rejected the request without an
// effect.
func refused(err error) bool {
	switch status.Code(err) {
	case codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.FailedPrecondition:
		return true
	}
	return false
}
