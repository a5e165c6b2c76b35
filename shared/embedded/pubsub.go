package embedded

import (
	"context"
	"regexp"
	"strconv"
	"strings"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
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

// A PubSub is a [pubsubpb.PublisherServer] that hands each message to a watcher as it is published, and keeps none. It has
// topics but no subscriptions. It may be used concurrently; make one with [NewPubSub].
type PubSub struct {
	pubsubpb.UnimplementedPublisherServer

	watch func(topic string, m *pubsubpb.PubsubMessage)

	mu     sync.Mutex
	topics map[string]*pubsubpb.Topic // by name
	last   uint64                     // id of the latest message
}

// NewPubSub returns a PubSub that has these topics, named in full, "projects/P/topics/T". Clients may create more; publishing
// to a topic that does not exist is NotFound.
//
// A watch that is not nil is called with each message accepted, its id and publish time included, before the publisher has
// its answer: one call at a time, in the order of the ids. The message is the watcher's to keep. It must not publish.
func NewPubSub(watch func(topic string, m *pubsubpb.PubsubMessage), topics ...string) *PubSub {
	p := &PubSub{watch: watch, topics: map[string]*pubsubpb.Topic{}}
	for _, t := range topics {
		p.topics[t] = &pubsubpb.Topic{Name: t}
	}
	return p
}

// Register implements [Service].
func (p *PubSub) Register(s grpc.ServiceRegistrar) { pubsubpb.RegisterPublisherServer(s, p) }

// CreateTopic implements [pubsubpb.PublisherServer]: InvalidArgument for a bad name, AlreadyExists where there is one of it.
func (p *PubSub) CreateTopic(_ context.Context, req *pubsubpb.Topic) (*pubsubpb.Topic, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.topic(req.Name); err == nil {
		return nil, status.Errorf(codes.AlreadyExists, "topic %q already exists", req.Name)
	} else if status.Code(err) != codes.NotFound {
		return nil, err
	}
	p.topics[req.Name] = proto.CloneOf(req)
	return req, nil
}

// GetTopic implements [pubsubpb.PublisherServer]: NotFound where there is none.
func (p *PubSub) GetTopic(_ context.Context, req *pubsubpb.GetTopicRequest) (*pubsubpb.Topic, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.topic(req.Topic)
}

// DeleteTopic implements [pubsubpb.PublisherServer]: NotFound where there is none.
func (p *PubSub) DeleteTopic(_ context.Context, req *pubsubpb.DeleteTopicRequest) (*emptypb.Empty, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.topic(req.Topic); err != nil {
		return nil, err
	}
	delete(p.topics, req.Topic)
	return &emptypb.Empty{}, nil
}

func (p *PubSub) topic(name string) (*pubsubpb.Topic, error) {
	if !topicName.MatchString(name) || strings.Contains(name, "/topics/goog") {
		return nil, invalid("bad topic name %q", name)
	}
	if t := p.topics[name]; t != nil {
		return t, nil
	}
	return nil, status.Errorf(codes.NotFound, "topic %q not found", name)
}

// Publish implements [pubsubpb.PublisherServer]: NotFound where there is no such topic, InvalidArgument where a message is
// empty or over Pub/Sub's limits. All messages are accepted, or none.
func (p *PubSub) Publish(_ context.Context, req *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.topic(req.Topic); err != nil {
		return nil, err
	}
	if err := checkMessages(req.Messages); err != nil {
		return nil, err
	}
	res := &pubsubpb.PublishResponse{}
	for _, m := range req.Messages {
		p.last++
		m = proto.CloneOf(m)
		m.MessageId, m.PublishTime = strconv.FormatUint(p.last, 10), timestamppb.Now()
		res.MessageIds = append(res.MessageIds, m.MessageId)
		if p.watch != nil {
			p.watch(req.Topic, m)
		}
	}
	return res, nil
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

func checkAttributes(attributes map[string]string) error {
	if n := len(attributes); n > maxAttributes {
		return invalid("%d attributes, more than %d", n, maxAttributes)
	}
	for k, v := range attributes {
		if k == "" || strings.HasPrefix(k, "goog") || len(k) > maxAttributeKey || len(v) > maxAttributeValue {
			return invalid("attribute %.40q: a key of %d bytes, a value of %d bytes", k, len(k), len(v))
		}
	}
	return nil
}
