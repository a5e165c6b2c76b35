// Package redrive moves dead letters from their subscription back to the topics that
// they came from.
//
// It publishes a letter first and acknowledges it afterwards, so that no letter is
// lost. If the acknowledgement fails, both copies exist, with the same ce-source and
// ce-id. A letter stays on the subscription if its topic cannot be determined.
package redrive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/errgroup"

	"github.com/geminihook/geminihook/scripts/internal/pubsubclient"
)

const (
	// DefaultLimit is a good Limit for a first run: few enough messages to look at
	// each.
	DefaultLimit = 100

	// DefaultPatience is used if Patience is zero.
	DefaultPatience = 5 * time.Second

	// maxPulled bounds the letters of one Pull. They must be published well within the
	// ack deadline.
	maxPulled = 100

	// parallel bounds the letters that are published concurrently.
	parallel = 8

	// maxStaying bounds the letters that stay in one run. Their ack ids are in memory
	// until the run ends.
	maxStaying = 1000

	// emptyPulls is the number of consecutive empty Pulls that end a run. One is not
	// enough, because Pub/Sub may return an empty response although the subscription
	// has messages.
	emptyPulls = 2

	// publishTimeout bounds each Publish.
	publishTimeout = 30 * time.Second

	// finishTimeout bounds each Acknowledge and ModifyAckDeadline. They are called
	// after an interrupt, too.
	finishTimeout = 10 * time.Second
)

// A Redrive is one run. Set its exported fields, then call Run once.
type Redrive struct {
	Clients pubsubclient.Clients

	Project      string // the project of a subscription that a letter names without its project
	Subscription string // the full name of the subscription that holds the dead letters

	// Limit bounds the letters that are moved in a run. If DryRun is set, the run moves
	// no letter and ends when it has found Limit letters that it would move.
	Limit  int
	DryRun bool

	// Began is the start of the run by this machine's clock. Letters that reach the
	// subscription later stay: if a subscriber still fails, it fails on moved letters
	// again, and the run would move them again and again.
	Began time.Time

	// Patience bounds each Pull. Zero means DefaultPatience.
	Patience time.Duration

	// Report is called with each letter as soon as it was moved or will stay. Calls do
	// not overlap.
	Report func(Letter)

	deadTopic string            // the topic that Pub/Sub moves dead letters to
	sources   map[string]source // by the subscription's full name
	staying   map[string]string // the latest ack id of each letter that is still on the subscription, by message id
	moved     map[string]bool   // the ids of moved messages
}

// A Letter is a dead letter and its outcome.
type Letter struct {
	Message *pubsubpb.PubsubMessage
	From    string // the full name of the subscription that it comes from; empty if its attributes do not name one
	To      string // the full name of the topic that it is published to; empty if it stays
	Late    bool   // it stays because it became a dead letter after Began
	Err     error  // why it stays, unless Late; if To is set: why it was published but not removed from the subscription
}

// A Summary counts the letters of a run.
type Summary struct {
	Moved int // moved, or with DryRun would be moved
	Stay  int // stay because their topic is unknown or publishing failed
	Late  int // stay because they became dead letters after Began

	// Limited means that the run ended because of Limit, or because too many letters
	// stay. There may be more letters.
	Limited bool
}

// Run moves letters until two consecutive Pulls return none, or the limit is reached.
// It fails if Pub/Sub rejects a Pull or an Acknowledge, if a subscription cannot be
// looked up for now, or if ctx ends. The Summary counts what was done until then, also
// with an error. At the end Run releases the letters that stay, so that Pub/Sub
// delivers them again at once.
func (r *Redrive) Run(ctx context.Context) (s Summary, err error) {
	r.sources, r.staying, r.moved = make(map[string]source), make(map[string]string), make(map[string]bool)
	defer r.release()
	held, err := r.Clients.Subscriptions.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: r.Subscription})
	if err != nil {
		return s, err
	}
	r.deadTopic = held.Topic
	for empty := 0; empty < emptyPulls && ctx.Err() == nil; {
		room := r.Limit - s.Moved
		if room <= 0 || len(r.staying) >= maxStaying {
			s.Limited = true
			return s, nil
		}
		fresh, err := r.pull(ctx, min(room, maxPulled))
		if err != nil {
			return s, err
		}
		if empty++; len(fresh) > 0 {
			empty = 0
		}
		if err := r.take(ctx, fresh, &s); err != nil {
			return s, err
		}
	}
	return s, ctx.Err()
}

// pull returns the letters that are new in this run. If a letter's ack deadline
// expires, Pub/Sub delivers it again with a new ack id, which then replaces the old
// one.
func (r *Redrive) pull(ctx context.Context, most int) (fresh []*pubsubpb.ReceivedMessage, err error) {
	pulled, err := r.Clients.Pull(ctx, r.Subscription, most, cmp.Or(r.Patience, DefaultPatience))
	if err != nil {
		return nil, err
	}
	var again []string
	for _, m := range pulled {
		id := m.Message.MessageId
		switch {
		case r.moved[id]:
			again = append(again, m.AckId)
		case r.staying[id] != "":
			r.staying[id] = m.AckId
		default:
			r.staying[id] = m.AckId // until it is published
			fresh = append(fresh, m)
		}
	}
	return fresh, r.acknowledge(again)
}

// take moves those of a Pull's letters that can be moved, and reports all of them.
func (r *Redrive) take(ctx context.Context, page []*pubsubpb.ReceivedMessage, s *Summary) error {
	letters := make([]Letter, len(page))
	var err error
	for i, m := range page {
		if letters[i], err = r.address(ctx, m.Message); err != nil {
			return err
		}
	}
	if !r.DryRun {
		r.publish(ctx, letters)
	}
	var acks []string
	for i, m := range page {
		if id := m.Message.MessageId; letters[i].To != "" && !r.DryRun {
			delete(r.staying, id)
			r.moved[id] = true
			acks = append(acks, m.AckId)
		}
	}
	err = r.acknowledge(acks)
	for _, l := range letters {
		if err != nil && l.To != "" && !r.DryRun {
			l.Err = fmt.Errorf("published, but not removed from the dead-letter subscription: %w", err)
		}
		s.count(&l)
		r.Report(l)
	}
	return err
}

// count adds a letter.
func (s *Summary) count(l *Letter) {
	switch {
	case l.To != "":
		s.Moved++
	case l.Late:
		s.Late++
	default:
		s.Stay++
	}
}

// address returns the letter of a message, with the topic that it came from or the
// reason for which it stays. It fails if the topic cannot be looked up for now.
func (r *Redrive) address(ctx context.Context, m *pubsubpb.PubsubMessage) (Letter, error) {
	l := Letter{Message: m}
	if m.PublishTime.AsTime().After(r.Began) {
		l.Late = true
		return l, nil
	}
	if l.From = sourceOf(m, r.Project); l.From == "" {
		l.Err = errors.New("no attribute names the subscription that it comes from")
		return l, nil
	}
	found, ok := r.sources[l.From]
	if !ok {
		var err error
		if found, err = r.find(ctx, l.From); err != nil {
			return l, err
		}
		r.sources[l.From] = found
	}
	l.To, l.Err = found.topic, found.err
	return l, nil
}

// publish publishes the letters that have a topic, up to parallel at a time. A letter
// that cannot be published loses its topic and stays.
func (r *Redrive) publish(ctx context.Context, letters []Letter) {
	var all errgroup.Group
	all.SetLimit(parallel)
	for i := range letters {
		l := &letters[i]
		if l.To == "" {
			continue
		}
		all.Go(func() error {
			if err := r.publishOne(ctx, l); err != nil {
				l.To, l.Err = "", fmt.Errorf("publish to %s: %w", l.To, err)
			}
			return nil
		})
	}
	_ = all.Wait()
}

// publishOne publishes one letter without the attributes of dead letters.
func (r *Redrive) publishOne(ctx context.Context, l *Letter) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	_, err := r.Clients.Topics.Publish(ctx, &pubsubpb.PublishRequest{Topic: l.To, Messages: []*pubsubpb.PubsubMessage{original(l.Message)}})
	return err
}

// acknowledge removes letters from the subscription. It does so after an interrupt,
// too, because they are already published.
func (r *Redrive) acknowledge(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	if err := r.Clients.Subscriptions.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: r.Subscription, AckIds: ids}); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

// release makes Pub/Sub deliver the letters that stay again at once.
func (r *Redrive) release() {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	r.Clients.Release(ctx, r.Subscription, maps.Values(r.staying))
}
