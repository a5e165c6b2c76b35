// Package redrive moves dead letters from their subscription back to the topics that they
// came from.
//
// A letter is published first and acknowledged after, so that none is lost: a failure in
// between leaves both copies, with the same ce-source and ce-id. A letter whose topic
// cannot be told stays on the subscription.
package redrive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// DefaultLimit is a good Limit for a first run: few enough to be looked at.
	DefaultLimit = 100

	// DefaultPatience is the Patience if that is zero.
	DefaultPatience = 5 * time.Second

	// maxPulled bounds the letters of one Pull, so that they are published well within an
	// ack deadline.
	maxPulled = 100

	// parallel bounds the letters that are published at a time.
	parallel = 8

	// maxStaying bounds the letters of a run that stay: they are held in memory until its
	// end.
	maxStaying = 1000

	// emptyPulls in a row end a run: one Pull may return none of the letters that there
	// are.
	emptyPulls = 2

	publishTimeout = 30 * time.Second

	// finishTimeout bounds each call that tells Pub/Sub what became of letters. It is made
	// after an interrupt, too.
	finishTimeout = 10 * time.Second

	// maxReturned bounds the ids of one ModifyAckDeadline.
	maxReturned = 1000
)

// A Redrive is one run. Fill in its exported fields, then call Run once.
type Redrive struct {
	Subscriber *pubsub.SubscriptionAdminClient
	Publisher  *pubsub.TopicAdminClient

	Project      string // whose subscription a letter names if it names no project
	Subscription string // that holds the dead letters, in full

	// Limit is how many letters are moved at most. DryRun moves none, and finds at most
	// Limit that it would move.
	Limit  int
	DryRun bool

	// Began is when the run began, by this machine's clock. Letters that reach the
	// subscription later stay: a subscriber that fails still, fails on moved letters
	// again.
	Began time.Time

	// Patience is how long a Pull waits for letters. Zero means DefaultPatience.
	Patience time.Duration

	Report func(Letter) // is called with each letter as soon as its fate is known, one at a time

	deadTopic string            // to which Pub/Sub moves dead letters
	sources   map[string]source // by subscription
	staying   map[string]string // the last ack id of each letter that stays, by message id
	moved     map[string]bool   // message ids
}

// A Letter is a dead letter, and what became of it.
type Letter struct {
	Message *pubsubpb.PubsubMessage
	From    string // the subscription that gave it up, in full; empty if the letter does not tell
	To      string // the topic that it is published to, in full; empty if it stays
	Late    bool   // it stays because it came after the run began
	Err     error  // why it stays otherwise, or why its copy on the subscription was not removed
}

// A Summary counts letters.
type Summary struct {
	Moved int // or to be moved, if it was a dry run
	Stay  int // their topic cannot be told, or took none
	Late  int // they came after the run began, and stay

	// Limited means that the run ended because of Limit, or of the bound on letters that
	// stay: there may be more.
	Limited bool
}

// Run moves letters until no more come, or the limit is reached. It fails if Pub/Sub does
// not give out letters, or does not take an acknowledgement; the Summary says what was
// done until then. Letters that stay are handed back at its end.
func (r *Redrive) Run(ctx context.Context) (s Summary, err error) {
	r.sources, r.staying, r.moved = make(map[string]source), make(map[string]string), make(map[string]bool)
	defer r.handBack()
	held, err := r.Subscriber.GetSubscription(ctx, &pubsubpb.GetSubscriptionRequest{Subscription: r.Subscription})
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

// pull returns letters that were not seen before in this run. Those that were come again
// if their ack deadline has passed: then their new ack id counts.
func (r *Redrive) pull(ctx context.Context, most int) (fresh []*pubsubpb.ReceivedMessage, err error) {
	limited, cancel := context.WithTimeout(ctx, cmp.Or(r.Patience, DefaultPatience))
	defer cancel()
	got, err := r.Subscriber.Pull(limited, &pubsubpb.PullRequest{Subscription: r.Subscription, MaxMessages: int32(most)})
	if err != nil {
		if limited.Err() != nil || status.Code(err) == codes.DeadlineExceeded {
			return nil, nil
		}
		return nil, err
	}
	var again []string
	for _, m := range got.ReceivedMessages {
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

// take moves the letters of a page that can be moved, and reports all.
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
			l.Err = fmt.Errorf("it was published, and remains here as well: %w", err)
		}
		s.count(&l)
		r.Report(l)
	}
	return err
}

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

// address returns a letter with the topic that it came from, or why it stays. It fails if
// that could not be found out for now.
func (r *Redrive) address(ctx context.Context, m *pubsubpb.PubsubMessage) (Letter, error) {
	l := Letter{Message: m}
	if m.PublishTime.AsTime().After(r.Began) {
		l.Late = true
		return l, nil
	}
	if l.From = sourceOf(m, r.Project); l.From == "" {
		l.Err = errors.New("it does not tell which subscription gave it up")
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

// publish publishes the letters that have a topic, a few at a time. Those that fail have
// none from then on.
func (r *Redrive) publish(ctx context.Context, letters []Letter) {
	slots := make(chan struct{}, parallel)
	var all sync.WaitGroup
	for i := range letters {
		l := &letters[i]
		if l.To == "" {
			continue
		}
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			if err := r.publishOne(ctx, l); err != nil {
				l.To, l.Err = "", fmt.Errorf("publish to %s: %w", l.To, err)
			}
		})
	}
	all.Wait()
}

func (r *Redrive) publishOne(ctx context.Context, l *Letter) error {
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	_, err := r.Publisher.Publish(ctx, &pubsubpb.PublishRequest{Topic: l.To, Messages: []*pubsubpb.PubsubMessage{original(l.Message)}})
	return err
}

// acknowledge removes letters from the subscription, also after an interrupt: their copies
// are published.
func (r *Redrive) acknowledge(ids []string) error {
	if len(ids) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	if err := r.Subscriber.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: r.Subscription, AckIds: ids}); err != nil {
		return fmt.Errorf("acknowledge: %w", err)
	}
	return nil
}

// handBack has Pub/Sub give out again the letters that stay, at once. If it fails, their
// ack deadlines do the same later.
func (r *Redrive) handBack() {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	for ids := range slices.Chunk(slices.Collect(maps.Values(r.staying)), maxReturned) {
		_ = r.Subscriber.ModifyAckDeadline(ctx, &pubsubpb.ModifyAckDeadlineRequest{Subscription: r.Subscription, AckIds: ids})
	}
}
