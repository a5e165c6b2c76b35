package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const (
	// maxPull is the maximum number of messages a pull. The documents of that many
	// messages can be written within the ack deadline.
	maxPull = 500

	// maxWrites is the maximum number of messages that are processed at the same time.
	maxWrites = 16

	// emptyPause is the pause after a pull that returned no messages.
	emptyPause = 200 * time.Millisecond

	// maxShown is the number of bytes of a rejected message that are logged.
	maxShown = 100

	// takeTimeout bounds storing the messages of one pull, and again acknowledging
	// those that were stored. It does not depend on Patience, and a slow Firestore
	// leaves time for the acknowledgement: without it, the messages would be
	// redelivered and stored again.
	takeTimeout = 5 * time.Second
)

// A Received is the result of [Register.Receive].
type Received struct {
	Jobs     []Job // jobs that Receive added to the register
	Rejected int   // number of messages without a job's name whose copy was published to Place.Rejected
}

// Receive pulls messages until Patience is over, or until it has added as many jobs as
// room. It pulls no messages if Patience is zero. It stores a document for each new
// job, and then acknowledges the job's message. Messages that Receive has not pulled
// stay on the subscription. Messages that were pulled are stored and acknowledged even
// if Patience is over or ctx has ended, so Receive may take up to 10 seconds longer
// than Patience.
//
// If a message does not contain a job's name, Receive logs it, publishes a copy to the
// topic Rejected, and acknowledges it.
//
// If one message fails, it stays unacknowledged, and Receive goes on with the others.
// If a pull fails, Receive returns at once. The end of Patience or of ctx during a pull
// is no failure, even if Pub/Sub did not answer at all. Receive returns the added jobs
// even if it fails. Its error joins the error of a failed pull and, for each pull, the
// first error of its messages.
func (r *Register) Receive(ctx context.Context, room int) (all Received, err error) {
	ctx, cancel := context.WithTimeout(ctx, r.Patience)
	defer cancel()
	var errs []error
	for ctx.Err() == nil && len(all.Jobs) < room {
		pulled, err := r.subscriber.Pull(ctx, &pubsubpb.PullRequest{
			Subscription: r.place.Subscription,
			MaxMessages:  int32(min(maxPull, room-len(all.Jobs))),
		})
		if err != nil {
			if ctx.Err() == nil && status.Code(err) != codes.DeadlineExceeded {
				return all, errors.Join(append(errs, fmt.Errorf("pull job names: %w", err))...)
			}
			break
		}
		if len(pulled.ReceivedMessages) == 0 {
			pause(ctx, emptyPause)
			continue
		}
		// A pulled message is stored even if Patience is over: it has its own timeout.
		if err := r.take(context.WithoutCancel(ctx), pulled.ReceivedMessages, &all); err != nil {
			errs = append(errs, err)
		}
	}
	return all, errors.Join(errs...)
}

// pause waits for d, or until ctx is done.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// take stores or rejects messages, and acknowledges those that did not fail. It adds
// the results to all, and returns the first error.
func (r *Register) take(ctx context.Context, messages []*pubsubpb.ReceivedMessage, all *Received) (err error) {
	storing, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	var acks []string
	for i, t := range r.takeEach(storing, messages) {
		if t.err != nil {
			err = cmp.Or(err, t.err)
			continue
		}
		acks = append(acks, messages[i].AckId)
		if t.job != nil {
			all.Jobs = append(all.Jobs, *t.job)
		}
		if t.rejected {
			all.Rejected++
		}
	}
	if len(acks) == 0 {
		return err
	}
	acking, cancel := context.WithTimeout(ctx, takeTimeout)
	defer cancel()
	failed := r.subscriber.Acknowledge(acking, &pubsubpb.AcknowledgeRequest{Subscription: r.place.Subscription, AckIds: acks})
	if failed != nil && err == nil {
		err = fmt.Errorf("acknowledge job names: %w", failed)
	}
	return err
}

// taken is the result for one message.
type taken struct {
	job      *Job // the added job; nil if it existed before
	rejected bool
	err      error
}

// takeEach stores or rejects messages, maxWrites at the same time. The results are in
// the order of the messages.
func (r *Register) takeEach(ctx context.Context, messages []*pubsubpb.ReceivedMessage) []taken {
	var (
		all   = make([]taken, len(messages))
		slots = make(chan struct{}, maxWrites)
		each  sync.WaitGroup
	)
	for i, m := range messages {
		slots <- struct{}{}
		each.Go(func() {
			defer func() { <-slots }()
			t := &all[i]
			t.job, t.rejected, t.err = r.takeOne(ctx, m.Message)
		})
	}
	each.Wait()
	return all
}

// takeOne stores the job that the message names, or rejects the message. The
// returned job is nil if it existed before.
func (r *Register) takeOne(ctx context.Context, m *pubsubpb.PubsubMessage) (job *Job, rejected bool, err error) {
	kind, name, err := Parse(string(m.GetData()))
	if err != nil {
		return nil, true, r.reject(ctx, m, err)
	}
	registered := time.Now()
	if at := m.GetPublishTime(); at.IsValid() && at.AsTime().Before(registered) {
		registered = at.AsTime()
	}
	job = &Job{
		Name: name, Kind: kind, State: StateOpen,
		RegisteredAt: registered,
		ExpireAt:     registered.Add(MaxAge + keepClosed),
	}
	created, err := r.create(ctx, job)
	if !created {
		job = nil
	}
	return job, false, err
}

// reject logs a message that does not contain a job's name, and publishes a copy of it,
// which can be examined after the original is acknowledged.
func (r *Register) reject(ctx context.Context, m *pubsubpb.PubsubMessage, why error) error {
	shown := m.GetData()
	r.Log.WarnContext(ctx, "rejected job name", "message_id", m.GetMessageId(), "reason", why.Error(),
		"beginning", string(shown[:min(len(shown), maxShown)]))
	copied := &pubsubpb.PubsubMessage{Data: m.GetData(), Attributes: m.GetAttributes()}
	if len(copied.Data) == 0 && len(copied.Attributes) == 0 {
		copied.Attributes = map[string]string{"empty": "true"} // Pub/Sub rejects an empty message
	}
	_, err := r.publisher.Publish(ctx, &pubsubpb.PublishRequest{Topic: r.place.Rejected, Messages: []*pubsubpb.PubsubMessage{copied}})
	if err != nil {
		return fmt.Errorf("publish a copy of a rejected message: %w", err)
	}
	return nil
}
