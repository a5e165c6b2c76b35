package publish

import (
	"context"
	"fmt"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/together"
)

// The bounds of one call, for more than one message. Pub/Sub's are 1,000 messages and 10
// MB; within these a call takes no longer than that of one large message, and no more
// memory.
const (
	maxMessages = 100
	maxData     = 1 << 20 // bytes of data
)

// A topic publishes messages: those that arrive at the same time in one call, which
// Pub/Sub accepts or refuses as a whole. It is safe for concurrent use.
type topic struct {
	name   string
	client *pubsub.TopicAdminClient
	calls  together.Caller[*pubsubpb.PubsubMessage, outcome]
}

// An outcome is what became of one message.
type outcome struct {
	id       string // of the message
	attempts attempts
	err      error
	again    bool // refused because of itself or of another: try it by itself
}

// refused reports whether the message is certainly not on the topic.
func (o *outcome) refused() bool { return o.attempts == 1 && refused(o.err) }

func newTopic(name string, client *pubsub.TopicAdminClient) *topic {
	t := &topic{name: name, client: client}
	t.calls.Call, t.calls.Fits = t.call, fits
	return t
}

// publish publishes a message. If others are published at the same time, it makes one
// call with theirs. If Pub/Sub finds fault with one of the messages, each is published by
// itself, so that the fault is its own message's.
func (t *topic) publish(ctx context.Context, m *pubsubpb.PubsubMessage) outcome {
	o, err := t.calls.Do(ctx, m)
	switch {
	case err != nil:
		return outcome{err: err}
	case o.again:
		return t.send(ctx, []*pubsubpb.PubsubMessage{m})[0]
	}
	return o
}

func fits(messages []*pubsubpb.PubsubMessage, more *pubsubpb.PubsubMessage) bool {
	size := len(more.Data)
	for _, m := range messages {
		size += len(m.Data)
	}
	return len(messages) < maxMessages && size <= maxData
}

func (t *topic) call(ctx context.Context, messages []*pubsubpb.PubsubMessage) ([]outcome, error) {
	all := t.send(ctx, messages)
	for i := range all {
		all[i].again = len(all) > 1 && all[i].refused() && status.Code(all[i].err) == codes.InvalidArgument
	}
	return all, nil
}

// send makes one call.
func (t *topic) send(ctx context.Context, messages []*pubsubpb.PubsubMessage) []outcome {
	var attempts attempts
	response, err := t.client.Publish(ctx, &pubsubpb.PublishRequest{Topic: t.name, Messages: messages}, attempts.count())
	if err == nil {
		attempts++
		if n := len(response.GetMessageIds()); n != len(messages) {
			err = fmt.Errorf("%d message ids for %d messages", n, len(messages))
		}
	}
	all := make([]outcome, len(messages))
	for i := range all {
		all[i] = outcome{attempts: attempts, err: err}
		if err == nil {
			all[i].id = response.MessageIds[i]
		}
	}
	return all
}
