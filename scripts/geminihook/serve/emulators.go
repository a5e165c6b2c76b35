package serve

import (
	"context"
	"crypto/rand"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gcptest/emulator"
)

const (
	// pullTimeout bounds one Pull. At its end, serve waits for one Pull per topic.
	pullTimeout = 300 * time.Millisecond

	maxPulled  = 100      // messages in one Pull
	maxMessage = 64 << 20 // bytes in one Pull's reply
)

// startEmulators starts the official Firestore and Pub/Sub emulators, creates the
// topics, and shows published messages on c. If FIRESTORE_EMULATOR_HOST or
// PUBSUB_EMULATOR_HOST is set, it uses the running emulator instead.
func (p *parts) startEmulators(ctx context.Context, topics []string, c *console) (err error) {
	c.note("starting the official emulators, unless FIRESTORE_EMULATOR_HOST or PUBSUB_EMULATOR_HOST names a running one")
	for _, e := range []struct {
		addr *string
		open func(context.Context) (addr string, stop func(), err error)
	}{{&p.firestore, emulator.Firestore}, {&p.pubsub, emulator.PubSub}} {
		var stop func()
		if *e.addr, stop, err = e.open(ctx); err != nil {
			return fmt.Errorf("--emulators: %w", err)
		}
		p.stops = append(p.stops, stop)
	}
	if err := p.readTopics(ctx, topics, c); err != nil {
		return fmt.Errorf("--emulators: Pub/Sub at %s: %w", p.pubsub, err)
	}
	return nil
}

// readTopics creates the topics, and a subscription to each. serve deletes the
// subscriptions when it ends.
func (p *parts) readTopics(ctx context.Context, topics []string, c *console) error {
	conn, err := grpc.NewClient(p.pubsub, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)))
	if err != nil {
		return err
	}
	stopping := make(chan struct{})
	var readers sync.WaitGroup
	p.stops = append(p.stops, func() {
		close(stopping)
		readers.Wait()
		conn.Close()
	})
	for _, topic := range topics {
		r, err := newReader(ctx, conn, topic, c)
		if err != nil {
			return err
		}
		readers.Go(func() { r.run(stopping) })
	}
	return p.subscribeToJobs(ctx, conn)
}

// subscribeToJobs creates the subscription that the reconciler pulls. The name is
// unique, because another serve may use the same emulator.
func (p *parts) subscribeToJobs(ctx context.Context, conn *grpc.ClientConn) error {
	jobs := &reader{
		client: pubsubpb.NewSubscriberClient(conn), topic: topicName(jobsTopic),
		subscription: ownSubscription(jobsTopic + "-pull"),
	}
	p.jobsSubscription = path.Base(jobs.subscription)
	p.stops = append(p.stops, jobs.unsubscribe)
	return jobs.subscribe(ctx)
}

// A reader shows the messages published to a topic.
type reader struct {
	client       pubsubpb.SubscriberClient
	topic        string
	subscription string
	console      *console
}

func newReader(ctx context.Context, conn *grpc.ClientConn, topic string, c *console) (*reader, error) {
	_, err := pubsubpb.NewPublisherClient(conn).CreateTopic(ctx, &pubsubpb.Topic{Name: topic})
	if err != nil && status.Code(err) != codes.AlreadyExists {
		return nil, err
	}
	r := &reader{
		client:       pubsubpb.NewSubscriberClient(conn),
		topic:        topic,
		subscription: ownSubscription(path.Base(topic)),
		console:      c,
	}
	return r, r.subscribe(ctx)
}

// ownSubscription returns a unique full name for a subscription.
func ownSubscription(to string) string {
	return subscriptionName("serve-" + to + "-" + strings.ToLower(rand.Text()))
}

func (r *reader) subscribe(ctx context.Context) error {
	_, err := r.client.CreateSubscription(ctx, &pubsubpb.Subscription{Name: r.subscription, Topic: r.topic})
	return err
}

// run shows messages until stopping is closed and a Pull is empty. It then deletes the
// subscription. If a Pull fails, run prints a note and returns.
func (r *reader) run(stopping <-chan struct{}) {
	for {
		n, err := r.pull()
		if err != nil {
			r.console.note(fmt.Sprintf("messages on %s are no longer shown, because pulling them failed: %v", path.Base(r.topic), err))
			return
		}
		select {
		case <-stopping:
			if n == 0 {
				r.unsubscribe()
				return
			}
		default:
		}
	}
}

// pull shows the messages of one Pull and acknowledges them. It returns their number.
func (r *reader) pull() (int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), pullTimeout)
	defer cancel()
	got, err := r.client.Pull(ctx, &pubsubpb.PullRequest{Subscription: r.subscription, MaxMessages: maxPulled})
	if status.Code(err) == codes.DeadlineExceeded || err == nil && len(got.ReceivedMessages) == 0 {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	ack := &pubsubpb.AcknowledgeRequest{Subscription: r.subscription}
	for _, m := range got.ReceivedMessages {
		r.console.message(r.topic, m.Message)
		ack.AckIds = append(ack.AckIds, m.AckId)
	}
	_, err = r.client.Acknowledge(context.Background(), ack)
	return len(ack.AckIds), err
}

// unsubscribe deletes the subscription, because the emulator may outlive this serve.
func (r *reader) unsubscribe() {
	ctx, cancel := context.WithTimeout(context.Background(), pullTimeout)
	defer cancel()
	_, _ = r.client.DeleteSubscription(ctx, &pubsubpb.DeleteSubscriptionRequest{Subscription: r.subscription})
}
