package redrive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// The attributes that Pub/Sub adds to a dead letter. Others begin with the same prefix:
// …DeliveryCount, …DeliveryErrorMessage and …TopicPublishTime.
// https://cloud.google.com/pubsub/docs/handling-failures
const (
	deadLetterPrefix   = "CloudPubSubDeadLetterSource"
	sourceSubscription = deadLetterPrefix + "Subscription"        // an id
	sourceProject      = deadLetterPrefix + "SubscriptionProject" // of the subscription
)

// deletedTopic is the topic of a subscription whose topic was deleted.
const deletedTopic = "_deleted-topic_"

// sourceOf returns the full name of the subscription that gave up a letter, or "" if the
// letter does not tell. The subscription is in project if the letter names none.
func sourceOf(m *pubsubpb.PubsubMessage, project string) string {
	name := m.Attributes[sourceSubscription]
	if strings.HasPrefix(name, "projects/") {
		return name
	}
	if named := m.Attributes[sourceProject]; named != "" {
		project = named
	}
	if name == "" || strings.Contains(name+project, "/") {
		return ""
	}
	return "projects/" + project + "/subscriptions/" + name
}

// A source is a subscription that gave up letters: its topic, in full, or why letters
// cannot go back there.
type source struct {
	topic string
	err   error
}

// find looks up a subscription that gave up letters. It fails if Pub/Sub could not answer
// for now.
//
// Anyone who may publish to the topic of dead letters can write any name into one. So the
// subscription must be one that sends its dead letters there.
func (r *Redrive) find(ctx context.Context, subscription string) (source, error) {
	s, err := r.Subscriber.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: subscription})
	name := path.Base(subscription)
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound, codes.InvalidArgument:
		return source{err: fmt.Errorf("there is no subscription %s any more, which gave it up", name)}, nil
	case codes.PermissionDenied:
		return source{err: fmt.Errorf("you may not look at %s, which gave it up: roles/pubsub.viewer allows it", subscription)}, nil
	default:
		return source{}, fmt.Errorf("subscription %s: %w", name, err)
	}
	switch {
	case s.Topic == deletedTopic:
		return source{err: fmt.Errorf("the topic of subscription %s is deleted", name)}, nil
	case s.DeadLetterPolicy.GetDeadLetterTopic() != r.deadTopic:
		return source{err: fmt.Errorf("subscription %s does not send its dead letters here", name)}, nil
	case s.Topic == r.deadTopic:
		return source{err: errors.New("a subscription to the topic of dead letters gave it up")}, nil
	}
	return source{topic: s.Topic}, nil
}

// original returns a message as it was before Pub/Sub moved it.
func original(m *pubsubpb.PubsubMessage) *pubsubpb.PubsubMessage {
	attributes := maps.Clone(m.Attributes)
	maps.DeleteFunc(attributes, func(key, _ string) bool { return strings.HasPrefix(key, deadLetterPrefix) })
	return &pubsubpb.PubsubMessage{Data: m.Data, Attributes: attributes, OrderingKey: m.OrderingKey}
}
