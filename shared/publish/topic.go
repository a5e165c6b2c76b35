package publish

import (
	"context"
	"fmt"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"github.com/googleapis/gax-go/v2"
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
	calls  together.Caller[*pending, outcome]
}

// An outcome is the result for one message.
type outcome struct {
	id       string // the message's id
	attempts int    // those that may have published the message
	err      error
	again    bool // the shared call is over, but the message can be published alone
}

// refused reports whether the message is certainly not on the topic. A rejection proves
// that only as the reply to the first attempt: an earlier attempt may have been applied
// although its reply was lost.
func (o *outcome) refused() bool { return o.attempts == 1 && refused(o.err) }

func newTopic(name string, client *pubsub.TopicAdminClient) *topic {
	t := &topic{name: name, client: client}
	t.calls.Call, t.calls.Fits = t.call, fits
	return t
}

// publish publishes a message. It shares a call with other messages that arrive at the
// same time, until Pub/Sub rejects the call because a message is invalid, or until the
// call would be retried with a message whose caller no longer waits. Each message is
// then published alone: only the invalid one fails, and the abandoned one is not sent
// again.
func (t *topic) publish(ctx context.Context, m *pubsubpb.PubsubMessage) outcome {
	p := &pending{message: m}
	o, err := t.calls.Do(ctx, p)
	switch {
	case err != nil:
		return outcome{attempts: p.abandon(), err: err}
	case o.again:
		if o.refused() {
			p.forgive()
		}
		alone, _ := t.send(ctx, []*pending{p})
		return alone[0]
	}
	return o
}

func fits(messages []*pending, more *pending) bool {
	size := len(more.message.Data)
	for _, p := range messages {
		size += len(p.message.Data)
	}
	return len(messages) < maxMessages && size <= maxData
}

func (t *topic) call(ctx context.Context, messages []*pending) ([]outcome, error) {
	all, abandoned := t.send(ctx, messages)
	for i := range all {
		o := &all[i]
		o.again = abandoned || len(all) > 1 && o.refused() && status.Code(o.err) == codes.InvalidArgument
	}
	return all, nil
}

// send publishes messages in one call, with retries, and returns an outcome for each of
// them. abandoned reports that it made no further attempt because a caller no longer
// waits.
func (t *topic) send(ctx context.Context, messages []*pending) (all []outcome, abandoned bool) {
	request := &pubsubpb.PublishRequest{Topic: t.name, Messages: make([]*pubsubpb.PubsubMessage, len(messages))}
	for i, p := range messages {
		request.Messages[i] = p.message
	}
	r := newRetryer(messages)
	response, err := t.client.Publish(ctx, request, gax.WithRetry(func() gax.Retryer { return r }))
	last := 0 // attempts that did not fail
	if err == nil {
		last = 1
		if n := len(response.GetMessageIds()); n != len(messages) {
			err = fmt.Errorf("%d message ids for %d messages", n, len(messages))
		}
	}
	all = make([]outcome, len(messages))
	for i, p := range messages {
		all[i] = outcome{attempts: p.failures() + last, err: err}
		if err == nil {
			all[i].id = response.MessageIds[i]
		}
	}
	return all, r.abandoned
}
