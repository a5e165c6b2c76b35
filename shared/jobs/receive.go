package jobs

import (
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
	maxPull   = 500 // messages at a time: their documents are written within the ack deadline
	maxWrites = 16  // at a time

	// emptyPause lies between two pulls of which the first returned nothing.
	emptyPause = 200 * time.Millisecond

	// maxShown bounds, in bytes, what the log shows of a message that names no job.
	maxShown = 100

	// ackTimeout bounds an acknowledgement, which has time of its own: without it the
	// work before it is done again.
	ackTimeout = 5 * time.Second
)

// A Received says what Receive did.
type Received struct {
	Jobs     []Job // new in the register
	Rejected int   // messages that name no job
}

// Receive pulls messages for the time of Patience, or until room jobs are new in the
// register, stores a document for each job that is not stored yet, and then acknowledges
// its message. Messages that it did not come to stay on the subscription.
//
// A message that names no job is logged, copied to the topic Rejected, and then
// acknowledged. An error about one message leaves that message unacknowledged, and ends
// nothing: the errors are returned together, beside the jobs.
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
		// A message that was pulled is stored even if the time is over meanwhile.
		if err := r.take(context.WithoutCancel(ctx), pulled.ReceivedMessages, &all); err != nil {
			errs = append(errs, err)
		}
	}
	return all, errors.Join(errs...)
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// take stores or rejects messages, and acknowledges those with which that went well. Of
// the errors it returns the first.
func (r *Register) take(ctx context.Context, messages []*pubsubpb.ReceivedMessage, all *Received) (err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*ackTimeout)
	defer cancel()
	var (
		mu    sync.Mutex
		acks  []string
		slots = make(chan struct{}, maxWrites)
		each  sync.WaitGroup
	)
	for _, m := range messages {
		slots <- struct{}{}
		each.Go(func() {
			defer func() { <-slots }()
			job, rejected, failed := r.takeOne(ctx, m.Message)
			mu.Lock()
			defer mu.Unlock()
			if failed != nil {
				if err == nil {
					err = failed
				}
				return
			}
			acks = append(acks, m.AckId)
			if job != nil {
				all.Jobs = append(all.Jobs, *job)
			}
			if rejected {
				all.Rejected++
			}
		})
	}
	each.Wait()
	if len(acks) == 0 {
		return err
	}
	failed := r.subscriber.Acknowledge(ctx, &pubsubpb.AcknowledgeRequest{Subscription: r.place.Subscription, AckIds: acks})
	if failed != nil && err == nil {
		err = fmt.Errorf("acknowledge job names: %w", failed)
	}
	return err
}

// takeOne stores the job that a message names, and returns it if it is new; or it
// rejects the message.
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

// reject publishes a copy of a message that names no job, so that it can be looked at
// after it was acknowledged.
func (r *Register) reject(ctx context.Context, m *pubsubpb.PubsubMessage, why error) error {
	shown := m.GetData()
	r.Log.WarnContext(ctx, "rejected job name", "message_id", m.GetMessageId(), "reason", why.Error(),
		"beginning", string(shown[:min(len(shown), maxShown)]))
	copied := &pubsubpb.PubsubMessage{Data: m.GetData(), Attributes: m.GetAttributes()}
	if len(copied.Data) == 0 && len(copied.Attributes) == 0 {
		copied.Attributes = map[string]string{"empty": "true"} // Pub/Sub takes no empty message
	}
	_, err := r.publisher.Publish(ctx, &pubsubpb.PublishRequest{Topic: r.place.Rejected, Messages: []*pubsubpb.PubsubMessage{copied}})
	if err != nil {
		return fmt.Errorf("copy a message that names no job: %w", err)
	}
	return nil
}
