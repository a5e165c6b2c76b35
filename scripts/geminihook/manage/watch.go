package manage

import (
	"context"
	"crypto/rand"
	"fmt"
	"slices"
	"strings"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/geminihook/geminihook/shared/publish"
)

const (
	// watchFor is how long without use Pub/Sub keeps a subscription of a watch that could
	// not be deleted: a day is the least that it takes. watchKeeps is the least for which
	// it keeps messages.
	watchFor   = 24 * time.Hour
	watchKeeps = 10 * time.Minute

	// watchTimeout bounds what there is to do at the end.
	watchTimeout = 10 * time.Second

	maxWatched = 100 // messages of one Pull
)

// A watch sees the messages that reach some topics, through subscriptions of its own: no
// other subscriber misses one.
type watch struct {
	topics        *pubsub.TopicAdminClient
	subscriptions *pubsub.SubscriptionAdminClient
	names         []string // of its subscriptions
}

// watch returns a watch of the topics that events of some types are routed to. It sees
// what is published from now on. Close it at the end.
func (inv *Invocation) watch(ctx context.Context, types []string) (*watch, error) {
	routes, err := publish.RoutesIn(inv.Values["project"])(inv.Values["routes"])
	if err != nil {
		return nil, err
	}
	topics, subscriptions, err := pubSub(ctx)
	if err != nil {
		return nil, err
	}
	w := &watch{topics: topics, subscriptions: subscriptions}
	var names []string
	for _, t := range types {
		names = append(names, routes.Topic(t))
	}
	slices.Sort(names)
	for _, topic := range slices.Compact(names) {
		if err := w.subscribe(ctx, inv.Values["project"], topic); err != nil {
			w.close()
			return nil, &failure{fmt.Errorf("topic %s: %w", topic, err), "nothing was started", "roles/pubsub.editor on the project allows it"}
		}
	}
	return w, nil
}

func (w *watch) subscribe(ctx context.Context, project, topic string) error {
	s := &pubsubpb.Subscription{
		Name:                     "projects/" + project + "/subscriptions/doctor-" + strings.ToLower(rand.Text()),
		Topic:                    topic,
		MessageRetentionDuration: durationpb.New(watchKeeps),
		ExpirationPolicy:         &pubsubpb.ExpirationPolicy{Ttl: durationpb.New(watchFor)},
	}
	_, err := w.subscriptions.CreateSubscription(ctx, s)
	if err == nil {
		w.names = append(w.names, s.Name)
	}
	return err
}

// find returns a message that matches, or nil if none came within the time. The messages
// that do not match are dropped.
func (w *watch) find(ctx context.Context, within time.Duration, match func(*pubsubpb.PubsubMessage) bool) (*pubsubpb.PubsubMessage, error) {
	for _, name := range w.names {
		all, err := w.pull(ctx, name, within/time.Duration(len(w.names)))
		if err != nil {
			return nil, fmt.Errorf("Pub/Sub: %w", err)
		}
		if i := slices.IndexFunc(all, match); i >= 0 {
			return all[i], nil
		}
	}
	return nil, nil
}

func (w *watch) pull(ctx context.Context, name string, within time.Duration) (all []*pubsubpb.PubsubMessage, err error) {
	limited, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	got, err := w.subscriptions.Pull(limited, &pubsubpb.PullRequest{Subscription: name, MaxMessages: maxWatched})
	switch {
	case err != nil && ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil && (limited.Err() != nil || status.Code(err) == codes.DeadlineExceeded):
		return nil, nil
	case err != nil:
		return nil, err
	}
	var ids []string
	for _, m := range got.ReceivedMessages {
		all, ids = append(all, m.Message), append(ids, m.AckId)
	}
	if len(ids) > 0 {
		err = w.subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: name, AckIds: ids})
	}
	return all, err
}

// close deletes the subscriptions, or leaves it to Pub/Sub, and closes the connections.
func (w *watch) close() {
	ctx, cancel := context.WithTimeout(context.Background(), watchTimeout)
	defer cancel()
	for _, name := range w.names {
		_ = w.subscriptions.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: name})
	}
	w.subscriptions.Close()
	w.topics.Close()
}
