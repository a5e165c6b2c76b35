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

// The bounds of a call that several messages share. They are far below Pub/Sub's limits
// (1,000 messages and 10 MB), so that a shared call takes no more time and memory than
// the call of one large message.
const (
	maxMessages = 100
	maxData     = 1 << 20 // bytes of data
)

// A topic publishes messages to one topic. Messages that arrive at the same time share one
// call, which Pub/Sub accepts or rejects as a whole. It is safe for concurrent use.
type topic struct {
	name   string
	client *pubsub.TopicAdminClient
	calls  together.Caller[*pubsubpb.PubsubMessage, outcome]
}

// An outcome is the result for one message.
type outcome struct {
	id       string // the message's id
	attempts attempts
	err      error
	again    bool // rejected because of this or another message: try it alone
}

// refused reports whether the message is certainly not on the topic.
func (o *outcome) refused() bool { return o.attempts == 1 && refused(o.err) }

func newTopic(name string, client *pubsub.TopicAdminClient) *topic {
	t := &topic{name: name, client: client}
	t.calls.Call, t.calls.Fits = t.call, fits
	return t
}

// publish publishes a message. It shares a call with other messages that arrive at the
// same time. If Pub/Sub rejects the call because a message is invalid, each message is
// published alone, so that only the invalid one fails.
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

// send publishes messages in one call and returns an outcome for each of them.
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
