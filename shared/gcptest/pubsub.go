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

// Pub/Sub's limits on a publish.
const (
	maxMessages       = 1000
	maxMessageData    = 10_000_000 // bytes, of all messages together here
	maxAttributes     = 100
	maxAttributeKey   = 256  // bytes
	maxAttributeValue = 1024 // bytes
)

var topicName = regexp.MustCompile(`^projects/[^/]+/topics/[a-zA-Z][a-zA-Z0-9._~+%-]{2,254}$`)

// A PubSub is pstest, Google's own stand-in for Pub/Sub, with what this project
// needs beside it: the limits that the real one holds, and a watcher of every
// message. It has topics and subscriptions. It may be used concurrently; make one
// with [NewPubSub].
type PubSub struct {
	// pstest's, but for the methods below.
	pubsubpb.PublisherServer
	pubsubpb.SubscriberServer

	server *pstest.Server
	watch  func(topic string, m *pubsubpb.PubsubMessage)

	mu         sync.Mutex // one Publish at a time, so that the watcher sees the order of the ids
	subscribed bool       // ever
}

// NewPubSub returns a PubSub that has these topics, named in full, "projects/P/topics/T". Clients may create more; publishing
// to a topic that does not exist is NotFound.
//
// A watch that is not nil is called with each message accepted, its id and publish time included, before the publisher has
// its answer: one call at a time, in the order of the ids. The message is the watcher's to keep. It must not call the PubSub.
func NewPubSub(watch func(topic string, m *pubsubpb.PubsubMessage), topics ...string) *PubSub {
	server := pstest.NewServer() // it also listens by itself, on a port that nobody is told
	p := &PubSub{PublisherServer: &server.GServer, SubscriberServer: &server.GServer, server: server, watch: watch}
	for _, t := range topics {
		_, _ = server.GServer.CreateTopic(context.Background(), &pubsubpb.Topic{Name: t}) // fails for one named twice
	}
	return p
}

// Register implements [Service].
func (p *PubSub) Register(s grpc.ServiceRegistrar) {
	pubsubpb.RegisterPublisherServer(s, p)
	pubsubpb.RegisterSubscriberServer(s, p)
}

// CreateTopic implements [pubsubpb.PublisherServer]: InvalidArgument for a bad name, AlreadyExists where there is one of it.
func (p *PubSub) CreateTopic(ctx context.Context, req *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	if err := checkTopicName(req.Name); err != nil {
		return nil, err
	}
	return p.server.GServer.CreateTopic(ctx, req)
}

// CreateSubscription implements [pubsubpb.SubscriberServer]. From now on every message is kept: pstest forgets either all,
// what no subscriber has had yet included, or nothing.
func (p *PubSub) CreateSubscription(ctx context.Context, req *pubsubpb.Subscription) (*pubsubpb.Subscription, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.subscribed = true
	return p.server.GServer.CreateSubscription(ctx, req)
}

// Publish implements [pubsubpb.PublisherServer]: NotFound where there is no such topic, InvalidArgument where a message is
// empty or over Pub/Sub's limits. All messages are accepted, or none.
func (p *PubSub) Publish(ctx context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	if err := cmp.Or(checkTopicName(req.Topic), checkMessages(req.Messages)); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	res, err := p.server.GServer.Publish(ctx, req) // writes id and time into the messages
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

func checkMessages(messages []*pubsubpb.PubsubMessage) error {
	if n := len(messages); n == 0 || n > maxMessages {
		return invalid("%d messages, not 1 to %d", n, maxMessages)
	}
	size := 0
	for _, m := range messages {
		if len(m.Data) == 0 && len(m.Attributes) == 0 {
			return invalid("a message with neither data nor attributes")
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

func checkAttributes(attributes map[string]string) error {
	if n := len(attributes); n > maxAttributes {
		return invalid("%d attributes, more than %d", n, maxAttributes)
	}
	for k, v := range attributes {
		if k == "" || reservedKey(k) || len(k) > maxAttributeKey || len(v) > maxAttributeValue {
			return invalid("attribute %.40q: a key of %d bytes, a value of %d bytes", k, len(k), len(v))
		}
	}
	return nil
}
