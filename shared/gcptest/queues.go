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

// ackDeadline is the ack deadline of all subscriptions of [Queues].
const ackDeadline = time.Minute

// Queues are Pub/Sub topics and pull subscriptions that live in a bubble of testing/synctest, which [PubSub] cannot since
// pstest listens on a socket. They model Publish, Pull and Acknowledge, and nothing else. They may be used concurrently.
type Queues struct {
	pubsubpb.UnimplementedPublisherServer
	pubsubpb.UnimplementedSubscriberServer

	watch         func(topic string, m *pubsubpb.PubsubMessage)
	subscriptions map[string]string // their topics

	mu       sync.Mutex
	last     int
	messages map[string][]*queued // by subscription
	arrived  chan struct{}        // closed and replaced when a message arrives
}

type queued struct {
	message *pubsubpb.PubsubMessage
	id      string    // of the last delivery
	due     time.Time // for the next delivery
}

// NewQueues returns the topics and subscriptions of a map from subscription to topic, both named in full. A message to
// another topic is only watched. watch, which may be nil, is called as that of [NewPubSub] is.
func NewQueues(watch func(topic string, m *pubsubpb.PubsubMessage), subscriptions map[string]string) *Queues {
	return &Queues{watch: watch, subscriptions: subscriptions, messages: make(map[string][]*queued), arrived: make(chan struct{})}
}

// Register implements [Service].
func (q *Queues) Register(s grpc.ServiceRegistrar) {
	pubsubpb.RegisterPublisherServer(s, q)
	pubsubpb.RegisterSubscriberServer(s, q)
}

// Publish implements [pubsubpb.PublisherServer], with Pub/Sub's limits on messages.
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

// Pull implements [pubsubpb.SubscriberServer]. It waits for a message, as the real one does for a while.
func (q *Queues) Pull(ctx context.Context, req *pubsubpb.PullRequest) (*pubsubpb.PullResponse, error) {
	if q.subscriptions[req.Subscription] == "" {
		return nil, status.Errorf(codes.NotFound, "no subscription %q", req.Subscription)
	}
	for {
		messages, arrived := q.take(req)
		if len(messages) > 0 || req.ReturnImmediately { //nolint:staticcheck // tests read topics with it
			return &pubsubpb.PullResponse{ReceivedMessages: messages}, nil
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, status.FromContextError(ctx.Err()).Err()
		case <-time.After(ackDeadline): // one may be due again
		}
	}
}

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

// Acknowledge implements [pubsubpb.SubscriberServer]. An id that is not the latest of its message is passed over.
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

// Waiting counts the messages of a subscription that are not acknowledged.
func (q *Queues) Waiting(subscription string) int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.messages[subscription])
}
