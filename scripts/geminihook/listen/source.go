package listen

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
)

const (
	maxPulled = 100 // messages of one Pull

	// pullTimeout bounds one Pull. pullPause follows an empty one, because some
	// emulators answer at once if there is no message.
	pullTimeout = 50 * time.Second
	pullPause   = 50 * time.Millisecond

	// finishTimeout bounds the clean-up at the end, and each Acknowledge.
	finishTimeout = 5 * time.Second
)

// A source is a subscription that is read.
type source struct {
	name string // the full name that is shown: the topic's, or the subscription's if it is not ours
	sub  string // the subscription's full name
	ours bool   // a temporary subscription, deleted at the end

	peek bool
	held map[string]string // with peek: the latest ack id of each message that was shown, by message id
}

// sources returns the subscriptions to read, and creates temporary ones for topics.
// With an error it returns those that it has already created.
func (p *place) sources(ctx context.Context, o *Options) ([]*source, error) {
	if o.Subscription != "" {
		sub := p.full("subscriptions", o.Subscription)
		return []*source{{name: sub, sub: sub, peek: o.Peek, held: make(map[string]string)}}, nil
	}
	topics := o.Topics
	if len(topics) == 0 {
		var err error
		if topics, err = p.allTopics(ctx); err != nil {
			return nil, err
		}
	}
	var all []*source
	for _, topic := range topics {
		s, err := p.subscribe(ctx, p.full("topics", topic), o.Filter)
		if err != nil {
			return all, fmt.Errorf("topic %s: %w", topic, err)
		}
		all = append(all, s)
	}
	return all, nil
}

// full returns the full name of a topic or subscription; kind is "topics" or
// "subscriptions". name may be an id or a full name.
func (p *place) full(kind, name string) string {
	if strings.HasPrefix(name, "projects/") {
		return name
	}
	return "projects/" + p.project + "/" + kind + "/" + name
}

// allTopics returns the full names of all topics of the project. It fails if there are
// none.
func (p *place) allTopics(ctx context.Context) (names []string, err error) {
	topics := p.clients.Topics.ListTopics(ctx, &pubsubpb.ListTopicsRequest{Project: "projects/" + p.project})
	for {
		topic, err := topics.Next()
		switch {
		case errors.Is(err, iterator.Done) && len(names) == 0:
			return nil, fmt.Errorf("%s has no topics in project %s", p.name, p.project)
		case errors.Is(err, iterator.Done):
			return names, nil
		case err != nil:
			return nil, err
		}
		names = append(names, topic.Name)
	}
}

// subscribe creates a temporary subscription to a topic.
func (p *place) subscribe(ctx context.Context, topic, filter string) (*source, error) {
	name, err := p.clients.Subscribe(ctx, "listen", p.project, topic, filter)
	return &source{name: topic, sub: name, ours: true}, err
}

// read shows messages until ctx is done or Pub/Sub returns an error.
func (s *source) read(ctx context.Context, p *place, c *console) error {
	for {
		n, err := s.pull(ctx, p, c)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("%s: %w", path.Base(s.name), err)
		case n > 0:
			continue
		}
		select {
		case <-time.After(pullPause):
		case <-ctx.Done():
		}
	}
}

// pull makes one Pull, shows the messages that were not shown before, and returns their
// number. Unless it only peeks, it acknowledges them.
func (s *source) pull(ctx context.Context, p *place, c *console) (shown int, err error) {
	pulled, err := p.clients.Pull(ctx, s.sub, maxPulled, pullTimeout)
	if err != nil {
		return 0, err
	}
	ids := s.show(pulled, c)
	if s.peek || len(ids) == 0 {
		return len(ids), nil
	}
	// A message that was shown is acknowledged even if ctx is done: otherwise it would
	// be delivered again.
	acking, cancel := context.WithTimeout(context.WithoutCancel(ctx), finishTimeout)
	defer cancel()
	return len(ids), p.clients.Subscriptions.Acknowledge(acking, &pubsubpb.AcknowledgeRequest{Subscription: s.sub, AckIds: ids})
}

// show shows messages in the order of their publication and returns the ack ids of
// those that it showed. With peek it skips messages that were shown before.
func (s *source) show(all []*pubsubpb.ReceivedMessage, c *console) (ids []string) {
	slices.SortFunc(all, func(a, b *pubsubpb.ReceivedMessage) int {
		return a.Message.PublishTime.AsTime().Compare(b.Message.PublishTime.AsTime())
	})
	for _, m := range all {
		if s.peek {
			_, before := s.held[m.Message.MessageId]
			if s.held[m.Message.MessageId] = m.AckId; before {
				continue
			}
		}
		c.message(s.name, m.Message)
		ids = append(ids, m.AckId)
	}
	return ids
}

// finish deletes the temporary subscriptions and releases the messages that were only
// peeked at.
func (p *place) finish(sources []*source) {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	for _, s := range sources {
		if s.ours {
			_ = p.clients.Subscriptions.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: s.sub}) // on failure, Pub/Sub deletes it after a day
		}
		p.clients.Release(ctx, s.sub, maps.Values(s.held))
	}
}
