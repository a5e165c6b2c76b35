package gcptest

import (
	"cmp"
	"context"
	"regexp"
	"strings"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/pubsub/v2/pstest"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
)

// Pub/Sub's limits on one call of Publish.
const (
	maxMessages       = 1000
	maxMessageData    = 10_000_000 // bytes, here of all messages in a call together
	maxAttributes     = 100
	maxAttributeKey   = 256  // bytes
	maxAttributeValue = 1024 // bytes
)

// topicName matches the full name of a topic. The reserved prefix goog is checked
// apart.
var topicName = regexp.MustCompile(`^projects/[^/]+/topics/[a-zA-Z][a-zA-Z0-9._~+%-]{2,254}$`)

// A PubSub is a Pub/Sub server with topics and subscriptions. It adds to pstest,
// Google's fake of Pub/Sub, the real limits on messages and a function that sees each
// message. It is safe for concurrent use; create one with [NewPubSub].
type PubSub struct {
	// The methods of pstest. Those below replace some of them.
	pubsubpb.PublisherServer
	pubsubpb.SubscriberServer

	server *pstest.Server
	watch  func(topic string, m *pubsubpb.PubsubMessage)

	mu         sync.Mutex // one Publish at a time, so that watch is called in the order of the ids
	subscribed bool       // a subscription was created at some time
}

// NewPubSub returns a PubSub with these topics, "projects/P/topics/T". Clients may
// create more. Publishing to a topic that does not exist fails with NotFound.
//
// If watch is not nil, it is called with a copy of each accepted message, including
// its id and publish time, before Publish returns. Calls are made one at a time, in
// the order of the ids. watch must not call the PubSub.
func NewPubSub(watch func(topic string, m *pubsubpb.PubsubMessage), topics ...string) *PubSub {
	server := pstest.NewServer() // it also listens on a port of its own, which is not used
	p := &PubSub{PublisherServer: &server.GServer, SubscriberServer: &server.GServer, server: server, watch: watch}
	for _, t := range topics {
		_, _ = server.GServer.CreateTopic(context.Background(), &pubsubpb.Topic{Name: t}) // fails only for a duplicate, which is harmless
	}
	return p
}

// Register implements [Service].
func (p *PubSub) Register(s grpc.ServiceRegistrar) {
	pubsubpb.RegisterPublisherServer(s, p)
	pubsubpb.RegisterSubscriberServer(s, p)
}

// CreateTopic implements [pubsubpb.PublisherServer]. It fails with InvalidArgument if
// the name is not valid, and with AlreadyExists if the topic exists.
func (p *PubSub) CreateTopic(ctx context.Context, req *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	if err := checkTopicName(req.Name); err != nil {
		return nil, err
	}
	return p.server.GServer.CreateTopic(ctx, req)
}

// CreateSubscription implements [pubsubpb.SubscriberServer]. Until the first
// subscription exists, Publish drops each message. From then on all messages stay in
// memory, even acknowledged ones: pstest can only drop all messages at once, including
// those that are not yet delivered.
func (p *PubSub) CreateSubscription(ctx context.Context, req *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subscribed = true
	return p.server.GServer.CreateSubscription(ctx, req)
}

// Publish implements [pubsubpb.PublisherServer]. It accepts all messages of the call,
// or fails: with NotFound if the topic does not exist, with InvalidArgument if a
// message is empty or exceeds Pub/Sub's limits.
func (p *PubSub) Publish(ctx context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	if err := cmp.Or(checkTopicName(req.Topic), checkMessages(req.Messages)); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	res, err := p.server.GServer.Publish(ctx, req) // sets id and publish time in the messages
	if err != nil {
		return nil, err
	}
	if !p.subscribed {
		p.server.ClearMessages()
	}
	if p.watch != nil {
		for _, m := range req.Messages {
			p.watch(req.Topic, proto.CloneOf(m))
		}
	}
	return res, nil
}

func checkTopicName(name string) error {
	if !topicName.MatchString(name) || strings.Contains(name, "/topics/goog") {
		return invalid("bad topic name %q", name)
	}
	return nil
}

// checkMessages returns InvalidArgument if the messages exceed Pub/Sub's limits.
func checkMessages(messages []*pubsubpb.PubsubMessage) error {
	if n := len(messages); n == 0 || n > maxMessages {
		return invalid("%d messages in a publish, must be 1 to %d", n, maxMessages)
	}
	size := 0
	for _, m := range messages {
		if len(m.Data) == 0 && len(m.Attributes) == 0 {
			return invalid("message has neither data nor attributes")
		}
		if err := checkAttributes(m.Attributes); err != nil {
			return err
		}
		size += len(m.Data)
	}
	if size > maxMessageData {
		return invalid("%d bytes of data, more than %d", size, maxMessageData)
	}
	return nil
}

// reservedKey reports whether a key begins with "goog", which Pub/Sub keeps for itself.
// Its own clients write a message's place in a trace under keys with the prefix
// "googclient_" (cloud.google.com/go/pubsub/v2, injectPropagation).
func reservedKey(key string) bool {
	return strings.HasPrefix(key, "goog") && !strings.HasPrefix(key, "googclient_")
}

// checkAttributes returns InvalidArgument if the attributes of a message exceed
// Pub/Sub's limits.
func checkAttributes(attributes map[string]string) error {
	if n := len(attributes); n > maxAttributes {
		return invalid("%d attributes, more than %d", n, maxAttributes)
	}
	for k, v := range attributes {
		if k == "" || reservedKey(k) || len(k) > maxAttributeKey || len(v) > maxAttributeValue {
			return invalid("attribute %.40q has an invalid key (%d bytes) or value (%d bytes)", k, len(k), len(v))
		}
	}
	return nil
}
