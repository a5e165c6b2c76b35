package gcptest

import (
	"context"
	"strconv"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// ackDeadline is the ack deadline of all subscriptions of [Queues], in virtual time.
const ackDeadline = time.Minute

// Queues is a Pub/Sub server for a testing/synctest bubble. [PubSub] cannot run in one,
// because pstest listens on a socket. Queues implements Publish, Pull and Acknowledge.
// A message that is not acknowledged within a minute is due again. A new Pull returns
// it at once. A Pull that was already waiting returns it up to a minute later. Queues
// is safe for concurrent use; create one with [NewQueues].
type Queues struct {
	pubsubpb.UnimplementedPublisherServer
	pubsubpb.UnimplementedSubscriberServer

	watch         func(topic string, m *pubsubpb.PubsubMessage)
	subscriptions map[string]string // topic of each subscription

	mu       sync.Mutex
	last     int
	messages map[string][]*queued // unacknowledged messages of each subscription
	arrived  chan struct{}        // closed and replaced when a message arrives
}

// queued is an unacknowledged message of a subscription.
type queued struct {
	message *pubsubpb.PubsubMessage
	id      string    // ack id of the last delivery; empty before the first
	due     time.Time // time of the next delivery
}

// NewQueues returns a Queues with these subscriptions. The keys of the map are full
// names of subscriptions, the values full names of their topics. A message to a topic
// without subscriptions is accepted and dropped. watch may be nil; else it is called
// as [NewPubSub] states.
func NewQueues(watch func(topic string, m *pubsubpb.PubsubMessage), subscriptions map[string]string) *Queues {
	return &Queues{watch: watch, subscriptions: subscriptions, messages: make(map[string][]*queued), arrived: make(chan struct{})}
}

// Register implements [Service].
func (q *Queues) Register(s grpc.ServiceRegistrar) {
	pubsubpb.RegisterPublisherServer(s, q)
	pubsubpb.RegisterSubscriberServer(s, q)
}

// Publish implements [pubsubpb.PublisherServer]. It fails with InvalidArgument if a
// message is empty or exceeds Pub/Sub's limits. All topics exist.
func (q *Queues) Publish(_ context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	if err := checkMessages(req.Messages); err != nil {
		return nil, err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	response := new(pubsubpb.PublishResponse)
	for _, m := range req.Messages {
		q.last++
		m.MessageId, m.PublishTime = strconv.Itoa(q.last), timestamppb.Now()
		response.MessageIds = append(response.MessageIds, m.MessageId)
		for subscription, topic := range q.subscriptions {
			if topic == req.Topic {
				q.messages[subscription] = append(q.messages[subscription], &queued{message: proto.CloneOf(m)})
			}
		}
		if q.watch != nil {
			q.watch(req.Topic, proto.CloneOf(m))
		}
	}
	close(q.arrived)
	q.arrived = make(chan struct{})
	return response, nil
}

// Pull implements [pubsubpb.SubscriberServer]. It waits until there is a message or
// ctx is done. The real one waits for some seconds.
func (q *Queues) Pull(ctx context.Context, req *pubsubpb.PullRequest) (*pubsubpb.PullResponse, error) {
	if q.subscriptions[req.Subscription] == "" {
		return nil, status.Errorf(codes.NotFound, "no subscription %q", req.Subscription)
	}
	for {
		messages, arrived := q.take(req)
		if len(messages) > 0 {
			return &pubsubpb.PullResponse{ReceivedMessages: messages}, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-time.After(ackDeadline): // a message may be due again
		}
	}
}

// take returns the messages that are due, at most req.MaxMessages, and a channel that
// is closed when another message arrives.
func (q *Queues) take(req *pubsubpb.PullRequest) (messages []*pubsubpb.ReceivedMessage, arrived <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for _, m := range q.messages[req.Subscription] {
		if len(messages) < int(req.MaxMessages) && !now.Before(m.due) {
			q.last++
			m.id, m.due = strconv.Itoa(q.last), now.Add(ackDeadline)
			messages = append(messages, &pubsubpb.ReceivedMessage{AckId: m.id, Message: m.message})
		}
	}
	return messages, q.arrived
}

// Acknowledge implements [pubsubpb.SubscriberServer]. It ignores ack ids of earlier
// deliveries of a message.
func (q *Queues) Acknowledge(_ context.Context, req *pubsubpb.AcknowledgeRequest) (*emptypb.Empty, error) {
	acked := make(map[string]bool)
	for _, id := range req.AckIds {
		acked[id] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var left []*queued
	for _, m := range q.messages[req.Subscription] {
		if m.id == "" || !acked[m.id] {
			left = append(left, m)
		}
	}
	q.messages[req.Subscription] = left
	return new(emptypb.Empty), nil
}

// Waiting returns the number of unacknowledged messages of a subscription.
func (q *Queues) Waiting(subscription string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages[subscription])
}
