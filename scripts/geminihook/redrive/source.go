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

// Attributes that Pub/Sub adds to a dead letter. Others have the same prefix:
// …DeliveryCount, …DeliveryErrorMessage and …TopicPublishTime.
// https://cloud.google.com/pubsub/docs/handling-failures
const (
	deadLetterPrefix   = "CloudPubSubDeadLetterSource"
	sourceSubscription = deadLetterPrefix + "Subscription"        // the id of the subscription that it comes from
	sourceProject      = deadLetterPrefix + "SubscriptionProject" // the project of that subscription
)

// deletedTopic is the topic of a subscription if its real topic was deleted.
const deletedTopic = "_deleted-topic_"

// sourceOf returns the full name of the subscription that a letter comes from, or "" if
// its attributes do not name one. project is used if they name no project.
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

// A source is a subscription that dead letters come from: the full name of its topic,
// or the reason for which letters cannot go back there.
type source struct {
	topic string
	err   error
}

// find looks up a subscription that dead letters come from. It fails if Pub/Sub does
// not answer, or answers with an error that may pass.
//
// Anyone who may publish to the dead-letter topic can put any name into a letter. find
// therefore accepts only a subscription that sends its dead letters to that topic.
func (r *Redrive) find(ctx context.Context, subscription string) (source, error) {
	s, err := r.Clients.Subscriptions.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: subscription})
	name := path.Base(subscription)
	switch status.Code(err) {
	case codes.OK:
	case codes.NotFound, codes.InvalidArgument:
		return source{err: fmt.Errorf("subscription %s, which it comes from, no longer exists", name)}, nil
	case codes.PermissionDenied:
		return source{err: fmt.Errorf("%s, which it comes from: permission denied: grant yourself roles/pubsub.viewer", subscription)}, nil
	default:
		return source{}, fmt.Errorf("subscription %s: %w", name, err)
	}
	switch {
	case s.Topic == deletedTopic:
		return source{err: fmt.Errorf("subscription %s has lost its topic: the topic was deleted", name)}, nil
	case s.DeadLetterPolicy.GetDeadLetterTopic() != r.deadTopic:
		return source{err: fmt.Errorf("subscription %s has another dead-letter topic, or none", name)}, nil
	case s.Topic == r.deadTopic:
		return source{err: errors.New("it comes from a subscription to the dead-letter topic itself")}, nil
	}
	return source{topic: s.Topic}, nil
}

// original returns a message as it was before Pub/Sub made it a dead letter.
func original(m *pubsubpb.PubsubMessage) *pubsubpb.PubsubMessage {
	attributes := maps.Clone(m.Attributes)
	maps.DeleteFunc(attributes, func(key, _ string) bool { return strings.HasPrefix(key, deadLetterPrefix) })
	return &pubsubpb.PubsubMessage{Data: m.Data, Attributes: attributes, OrderingKey: m.OrderingKey}
}
