package serve

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/shared/gcptest"
)

// A Pull from the jobs subscription returns in time, with or without a message.
func TestPullAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &pubSub{jobs: gcptest.NewQueues(nil, map[string]string{subscriptionName(jobsTopic): topicName(jobsTopic)})}
		req := &pubsubpb.PullRequest{Subscription: subscriptionName(jobsTopic), MaxMessages: 10}
		start := time.Now()
		if res, err := p.Pull(t.Context(), req); err != nil || len(res.ReceivedMessages) > 0 || time.Since(start) != maxWait {
			t.Errorf("without a message: %v, %v, after %v", res, err, time.Since(start))
		}
		short, cancel := context.WithTimeout(t.Context(), maxWait/2)
		defer cancel()
		if res, err := p.Pull(short, req); err == nil {
			t.Errorf("after the client's deadline: %v", res)
		}
		time.AfterFunc(time.Second, func() {
			_, _ = p.jobs.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: topicName(jobsTopic), Messages: []*pubsubpb.PubsubMessage{{Data: []byte("x")}}})
		})
		if res, err := p.Pull(t.Context(), req); err != nil || len(res.ReceivedMessages) != 1 {
			t.Errorf("with a message: %v, %v", res, err)
		}
	})
}
