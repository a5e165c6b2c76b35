// Package pubsubclient opens Pub/Sub clients for commands, creates temporary
// subscriptions, and pulls messages with a bounded wait.
package pubsubclient

import (
	"context"
	"crypto/rand"
	"fmt"
	"iter"
	"path"
	"slices"
	"strings"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/geminihook/geminihook/shared/dial"
)

const (
	// maxAnswer bounds the memory for the response of one Pull, in bytes; the client's
	// default is 2 GiB. A hundred messages of Pub/Sub's maximum size (10 MB) would be
	// more, but Pub/Sub returns them in several responses.
	maxAnswer = 64 << 20

	// unusedFor is the time without use after which Pub/Sub deletes a temporary
	// subscription that was not deleted. Pub/Sub's minimum is one day.
	unusedFor = 24 * time.Hour

	// keptFor is how long a temporary subscription keeps unacknowledged messages. It is
	// Pub/Sub's minimum.
	keptFor = 10 * time.Minute

	// maxReleased is the maximum number of ack ids in one ModifyAckDeadline.
	maxReleased = 1000
)

// Clients are the clients of one Pub/Sub service. They are safe for concurrent use.
type Clients struct {
	Topics        *pubsub.TopicAdminClient
	Subscriptions *pubsub.SubscriptionAdminClient
}

// Open returns clients of Google's Pub/Sub, or, if the environment variable
// PUBSUB_EMULATOR_HOST is set, of that emulator. opts take precedence over both. Open
// does not connect yet. Call Close when done.
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

// Subscribe creates a temporary subscription in project (an id) to topic (a full name),
// and returns the subscription's full name. Its id begins with command. It receives the
// messages that are published from now on, and only those that match filter if that is
// not empty.
//
// Delete the subscription when done; otherwise Pub/Sub does so after a day without use.
// Subscribe returns the name with an error, too, because the subscription may exist
// even if the call failed.
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

// Pull returns up to most messages of a subscription (a full name), and none if none
// arrives within the time. It fails with the error of ctx if that ends.
func (c Clients) Pull(ctx context.Context, subscription string, most int, within time.Duration) ([]*pubsubpb.ReceivedMessage, error) {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	got, err := c.Subscriptions.Pull(limited, &pubsubpb.PullRequest{Subscription: subscription, MaxMessages: int32(most)})
	switch {
	case err == nil:
		return got.ReceivedMessages, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limited.Err() != nil, status.Code(err) == codes.DeadlineExceeded:
		return nil, nil
	}
	return nil, err
}

// Release makes Pub/Sub deliver pulled messages again at once. If it fails, Pub/Sub
// does so when their ack deadlines expire.
func (c Clients) Release(ctx context.Context, subscription string, ackIDs iter.Seq[string]) {
	for ids := range slices.Chunk(slices.Collect(ackIDs), maxReleased) {
		_ = c.Subscriptions.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: subscription, AckIds: ids})
	}
}
