package functiontest

import (
	"path"
	"strings"
	"sync"
	"testing"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/shared/gcptest"
)

// topicNames returns the full names of the topics in Routes.
func topicNames(project string) []string {
	var names []string
	for route := range strings.SplitSeq(Routes, ",") {
		_, id, _ := strings.Cut(route, "=")
		names = append(names, "projects/"+project+"/topics/"+id)
	}
	return names
}

// watchedTopics are the topics of an embedded Pub/Sub.
type watchedTopics struct {
	server *gcptest.PubSub

	mu   sync.Mutex
	seen []Message
}

func newWatchedTopics(project string) *watchedTopics {
	w := new(watchedTopics)
	w.server = gcptest.NewPubSub(func(topic string, m *pubsubpb.PubsubMessage) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.seen = append(w.seen, Message{path.Base(topic), m})
	}, topicNames(project)...)
	return w
}

func (w *watchedTopics) messages(*testing.T) []Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	seen := w.seen
	w.seen = nil
	return seen
}

// pulledTopics are the topics of the official emulator, with one subscription each.
type pulledTopics struct {
	subscriber    *pubsub.SubscriptionAdminClient
	subscriptions map[string]string // by topic id
}

func newPulledTopics(t *testing.T, addr, project string) *pulledTopics {
	t.Helper()
	topics, err := pubsub.NewTopicAdminClient(t.Context(), gcptest.ClientOptions(addr)...)
	if err != nil {
		t.Fatal(err)
	}
	defer topics.Close()
	p := &pulledTopics{subscriptions: make(map[string]string)}
	if p.subscriber, err = pubsub.NewSubscriptionAdminClient(t.Context(), gcptest.ClientOptions(addr)...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.subscriber.Close() })
	for _, name := range topicNames(project) {
		if _, err := topics.CreateTopic(t.Context(), &pubsubpb.Topic{Name: name}); err != nil {
			t.Fatal(err)
		}
		subscription := "projects/" + project + "/subscriptions/" + path.Base(name)
		if _, err := p.subscriber.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: subscription, Topic: name}); err != nil {
			t.Fatal(err)
		}
		p.subscriptions[path.Base(name)] = subscription
	}
	return p
}

func (p *pulledTopics) messages(t *testing.T) []Message {
	t.Helper()
	var all []Message
	for topic, subscription := range p.subscriptions {
		for {
			resp, err := p.subscriber.Pull(t.Context(), &pubsubpb.PullRequest{
				Subscription: subscription,
				MaxMessages:  1000,
				//lint:ignore SA1019 a test needs an immediate response, even without messages
				ReturnImmediately: true,
			})
			if err != nil {
				t.Fatal(err)
			}
			if len(resp.ReceivedMessages) == 0 {
				break
			}
			var ids []string
			for _, m := range resp.ReceivedMessages {
				all = append(all, Message{topic, m.Message})
				ids = append(ids, m.AckId)
			}
			if err := p.subscriber.Acknowledge(t.Context(), &pubsubpb.AcknowledgeRequest{Subscription: subscription, AckIds: ids}); err != nil {
				t.Fatal(err)
			}
		}
	}
	return all
}

const (
	// JobsTopic is the id of the topic for names of started jobs, and of its
	// subscription.
	JobsTopic = "geminihook-jobs"

	// RejectedTopic is the id of the topic for messages that contain no job's name.
	RejectedTopic = "geminihook-jobs-rejected"
)

// AddJobs creates JobsTopic, its subscription, and RejectedTopic. start publishes the
// name of a job.
func (p *Project) AddJobs(t *testing.T) (start func(name string)) {
	t.Helper()
	topics, err := pubsub.NewTopicAdminClient(t.Context(), gcptest.ClientOptions(p.pubsub)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { topics.Close() })
	subscriptions, err := pubsub.NewSubscriptionAdminClient(t.Context(), gcptest.ClientOptions(p.pubsub)...)
	if err != nil {
		t.Fatal(err)
	}
	defer subscriptions.Close()
	name := "projects/" + p.ID + "/topics/"
	for _, id := range []string{JobsTopic, RejectedTopic} {
		if _, err := topics.CreateTopic(t.Context(), &pubsubpb.Topic{Name: name + id}); err != nil {
			t.Fatal(err)
		}
	}
	_, err = subscriptions.CreateSubscription(t.Context(), &pubsubpb.Subscription{
		Name: "projects/" + p.ID + "/subscriptions/" + JobsTopic, Topic: name + JobsTopic,
	})
	if err != nil {
		t.Fatal(err)
	}
	return func(job string) {
		t.Helper()
		_, err := topics.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: name + JobsTopic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(job)}}})
		if err != nil {
			t.Fatal(err)
		}
	}
}
