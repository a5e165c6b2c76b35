package manage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/scripts/internal/pubsubclient"
	"github.com/geminihook/geminihook/shared/publish"
)

const (
	// watchTimeout bounds the deletion of the subscriptions at the end.
	watchTimeout = 10 * time.Second

	maxWatched = 100 // messages per Pull
)

// A watch receives the messages of some topics with temporary subscriptions, so that no
// other subscriber misses a message.
type watch struct {
	clients pubsubclient.Clients
	names   []string // the full names of its subscriptions
}

// watch creates a watch of the topics that events of these types are routed to. It
// receives the messages that are published from now on. Call close when done.
func (inv *Invocation) watch(ctx context.Context, types []string) (*watch, error) {
	routes, err := publish.RoutesIn(inv.Values["project"])(inv.Values["routes"])
	if err != nil {
		return nil, err
	}
	clients, err := pubsubclient.Open(ctx)
	if err != nil {
		return nil, err
	}
	w := &watch{clients: clients}
	var names []string
	for _, t := range types {
		names = append(names, routes.Topic(t))
	}
	slices.Sort(names)
	for _, topic := range slices.Compact(names) {
		name, err := clients.Subscribe(ctx, "doctor", inv.Values["project"], topic, "")
		w.names = append(w.names, name)
		if err != nil {
			w.close()
			return nil, &failure{fmt.Errorf("topic %s: %w", topic, err), "nothing was started", "grant yourself roles/pubsub.editor on the project"}
		}
	}
	return w, nil
}

// find returns a message for which match is true, or nil if no such message arrives
// within the time. It drops other messages.
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

// pull returns the messages that a subscription delivers within the time, and
// acknowledges them.
func (w *watch) pull(ctx context.Context, name string, within time.Duration) (all []*pubsubpb.PubsubMessage, err error) {
	pulled, err := w.clients.Pull(ctx, name, maxWatched, within)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, m := range pulled {
		all, ids = append(all, m.Message), append(ids, m.AckId)
	}
	if len(ids) > 0 {
		err = w.clients.Subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: name, AckIds: ids})
	}
	return all, err
}

// close deletes the subscriptions and closes the connections. If a deletion fails,
// Pub/Sub deletes the subscription after a day.
func (w *watch) close() {
	ctx, cancel := context.WithTimeout(context.Background(), watchTimeout)
	defer cancel()
	for _, name := range w.names {
		_ = w.clients.Subscriptions.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: name})
	}
	w.clients.Close()
}
