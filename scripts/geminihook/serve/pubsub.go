package serve

import (
	"context"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/geminihook/geminihook/shared/gcptest"
)

// A pubSub is the embedded Pub/Sub, with the subscription that the reconciler pulls.
// The subscription is a separate queue, because a gcptest.PubSub with a subscription
// keeps every message of all topics in memory.
type pubSub struct {
	*gcptest.PubSub
	jobs *gcptest.Queues
}

func newPubSub(watch func(topic string, m *pubsubpb.PubsubMessage), topics []string) *pubSub {
	return &pubSub{
		PubSub: gcptest.NewPubSub(watch, topics...),
		jobs:   gcptest.NewQueues(nil, map[string]string{subscriptionName(jobsTopic): topicName(jobsTopic)}),
	}
}

// Register implements [gcptest.Service].
func (p *pubSub) Register(s grpc.ServiceRegistrar) {
	pubsubpb.RegisterPublisherServer(s, p)
	pubsubpb.RegisterSubscriberServer(s, p)
}

// Publish implements [pubsubpb.PublisherServer].
func (p *pubSub) Publish(ctx context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	res, err := p.PubSub.Publish(ctx, req)
	if err == nil && req.Topic == topicName(jobsTopic) {
		_, err = p.jobs.Publish(ctx, proto.CloneOf(req))
	}
	return res, err
}

// maxWait is how long a Pull on an empty subscription waits for a message.
const maxWait = 2 * time.Second

// Pull implements [pubsubpb.SubscriberServer]. If there is no message within maxWait,
// it returns an empty reply. Without a reply, the gRPC server would count the client's
// keepalive pings as abuse and close the connection.
func (p *pubSub) Pull(ctx context.Context, req *pubsubpb.PullRequest) (*pubsubpb.PullResponse, error) {
	if req.Subscription != subscriptionName(jobsTopic) {
		return p.PubSub.Pull(ctx, req)
	}
	waiting, cancel := context.WithTimeout(ctx, maxWait)
	defer cancel()
	res, err := p.jobs.Pull(waiting, req)
	if err != nil && waiting.Err() != nil && ctx.Err() == nil {
		return new(pubsubpb.PullResponse), nil
	}
	return res, err
}

// Acknowledge implements [pubsubpb.SubscriberServer].
func (p *pubSub) Acknowledge(ctx context.Context, req *pubsubpb.AcknowledgeRequest) (*emptypb.Empty, error) {
	if req.Subscription == subscriptionName(jobsTopic) {
		return p.jobs.Acknowledge(ctx, req)
	}
	return p.PubSub.Acknowledge(ctx, req)
}
