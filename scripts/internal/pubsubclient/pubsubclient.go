// Package pubsubclient opens the clients of Pub/Sub for commands, and makes subscriptions
// that do not outlive a command for long.
package pubsubclient

import (
	"context"
	"crypto/rand"
	"fmt"
	"path"
	"strings"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/geminihook/geminihook/shared/dial"
)

const (
	// maxAnswer bounds, in bytes, what one Pull may bring: a hundred messages of Pub/Sub's
	// limit would be more, and come in several.
	maxAnswer = 64 << 20

	// unusedFor is after how long without use Pub/Sub deletes a subscription of ours by
	// itself: a day is the least that it takes.
	unusedFor = 24 * time.Hour

	// keptFor is the least for which a subscription keeps messages that were not pulled.
	keptFor = 10 * time.Minute
)

// Clients are the clients of one Pub/Sub.
type Clients struct {
	Topics        *pubsub.TopicAdminClient
	Subscriptions *pubsub.SubscriptionAdminClient
}

// Open returns clients of Google's Pub/Sub, or of the emulator that PUBSUB_EMULATOR_HOST
// names, unless the options lead elsewhere. Nothing is connected yet. Close them at the
// end.
func Open(ctx context.Context, opts ...option.ClientOption) (c Clients, err error) {
	opts = append(append(dial.Options(), option.WithGRPCDialOption(grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)))), opts...)
	if c.Topics, err = pubsub.NewTopicAdminClient(ctx, opts...); err != nil {
		return Clients{}, fmt.Errorf("Pub/Sub: %w", err)
	}
	if c.Subscriptions, err = pubsub.NewSubscriptionAdminClient(ctx, opts...); err != nil {
		c.Topics.Close()
		return Clients{}, fmt.Errorf("Pub/Sub: %w", err)
	}
	return c, nil
}

// Close closes the connections.
func (c Clients) Close() {
	c.Topics.Close()
	c.Subscriptions.Close()
}

// Subscribe makes a subscription of a command's own, in a project, to a topic, both by
// their full names but for the project's id. It returns its full name, which begins with
// the command's, also if it cannot know whether it was made. It sees what is published
// from now on. filter may be empty. Delete it at the end; otherwise Pub/Sub does after a
// day without use.
func (c Clients) Subscribe(ctx context.Context, command, project, topic, filter string) (name string, err error) {
	id := fmt.Sprintf("%s-%.200s-%s", command, path.Base(topic), strings.ToLower(rand.Text()))
	name = "projects/" + project + "/subscriptions/" + id
	_, err = c.Subscriptions.CreateSubscription(ctx, &pubsubpb.Subscription{
		Name:                     name,
		Topic:                    topic,
		Filter:                   filter,
		MessageRetentionDuration: durationpb.New(keptFor),
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(unusedFor)},
	})
	return name, err
}
