package gcptest_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc/codes"

	"github.com/geminihook/geminihook/shared/gcptest"
)

const testTopic = "projects/p/topics/topic"

func topicClient(t *testing.T, s *gcptest.PubSub) *pubsub.TopicAdminClient {
	t.Helper()
	c, err := pubsub.NewTopicAdminClient(t.Context(), option.WithGRPCConn(dial(t, serve(t, s))))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestPublishIsWatched(t *testing.T) {
	var topics []string
	var got []*pubsubpb.PubsubMessage
	c := topicClient(t, gcptest.NewPubSub(func(topic string, m *pubsubpb.PubsubMessage) {
		topics, got = append(topics, topic), append(got, m)
	}, testTopic, testTopic+"2"))
	before := time.Now()
	res, err := c.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: testTopic, Messages: []*pubsubpb.PubsubMessage{
		{Data: []byte("one"), Attributes: map[string]string{"k": "v"}, OrderingKey: "o"}, {Data: []byte("two")}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := second(c.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: testTopic + "2", Messages: []*pubsubpb.PubsubMessage{
		{Attributes: map[string]string{"k": ""}}}})); err != nil {
		t.Fatal(err)
	}
	if want := []string{testTopic, testTopic, testTopic + "2"}; !slices.Equal(topics, want) {
		t.Fatalf("watch saw topics %v, want %v", topics, want)
	}
	for i, m := range got[:2] {
		if m.MessageId != res.MessageIds[i] || m.PublishTime.AsTime().Before(before) {
			t.Errorf("watch saw message %d with id %q and time %v; the answer has id %q", i, m.MessageId, m.PublishTime.AsTime(), res.MessageIds[i])
		}
	}
	if m := got[0]; string(m.Data) != "one" || m.Attributes["k"] != "v" || m.OrderingKey != "o" {
		t.Errorf("watch saw %v", m)
	}
}

func TestPublishConcurrently(t *testing.T) {
	var ids []string
	c := topicClient(t, gcptest.NewPubSub(func(_ string, m *pubsubpb.PubsubMessage) { ids = append(ids, m.MessageId) }, testTopic))
	var wg sync.WaitGroup
	for range 50 {
		wg.Go(func() {
			_, err := c.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: testTopic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte("x")}}})
			wantCode(t, err, codes.OK)
		})
	}
	wg.Wait()
	for i, id := range ids {
		if id != fmt.Sprintf("m%d", i) {
			t.Fatalf("message %d has the id %s", i, id)
		}
	}
	if len(ids) != 50 {
		t.Errorf("watch saw %d messages, want 50", len(ids))
	}
}

func TestPublishRefused(t *testing.T) {
	attributes := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint(i)] = "v"
		}
		return m
	}
	many := func(n int) (ms []*pubsubpb.PubsubMessage) {
		for range n {
			ms = append(ms, &pubsubpb.PubsubMessage{Data: []byte("x")})
		}
		return ms
	}
	one := func(m *pubsubpb.PubsubMessage) []*pubsubpb.PubsubMessage { return []*pubsubpb.PubsubMessage{m} }
	seen := 0
	c := topicClient(t, gcptest.NewPubSub(func(string, *pubsubpb.PubsubMessage) { seen++ }, testTopic))
	for name, test := range map[string]struct {
		topic    string
		messages []*pubsubpb.PubsubMessage
		want     codes.Code
		seen     int
	}{
		"missing topic":      {testTopic + "2", many(1), codes.NotFound, 0},
		"bad topic":          {"topic", many(1), codes.InvalidArgument, 0},
		"no messages":        {testTopic, nil, codes.InvalidArgument, 0},
		"1,000 messages":     {testTopic, many(1000), codes.OK, 1000},
		"1,001 messages":     {testTopic, many(1001), codes.InvalidArgument, 0},
		"empty message":      {testTopic, one(&pubsubpb.PubsubMessage{OrderingKey: "k"}), codes.InvalidArgument, 0},
		"the last one empty": {testTopic, append(many(1), &pubsubpb.PubsubMessage{}), codes.InvalidArgument, 0},
		"10 MB":              {testTopic, one(&pubsubpb.PubsubMessage{Data: make([]byte, 10_000_000)}), codes.OK, 1},
		"more than 10 MB":    {testTopic, one(&pubsubpb.PubsubMessage{Data: make([]byte, 10_000_001)}), codes.InvalidArgument, 0},
		"100 attributes":     {testTopic, one(&pubsubpb.PubsubMessage{Attributes: attributes(100)}), codes.OK, 1},
		"101 attributes":     {testTopic, one(&pubsubpb.PubsubMessage{Attributes: attributes(101)}), codes.InvalidArgument, 0},
		"long key":           {testTopic, one(&pubsubpb.PubsubMessage{Attributes: map[string]string{strings.Repeat("k", 256): ""}}), codes.OK, 1},
		"longer key":         {testTopic, one(&pubsubpb.PubsubMessage{Attributes: map[string]string{strings.Repeat("k", 257): ""}}), codes.InvalidArgument, 0},
		"no key":             {testTopic, one(&pubsubpb.PubsubMessage{Attributes: map[string]string{"": "v"}}), codes.InvalidArgument, 0},
		"a key of Google's":  {testTopic, one(&pubsubpb.PubsubMessage{Attributes: map[string]string{"googx": "v"}}), codes.InvalidArgument, 0},
		"a client's key":     {testTopic, one(&pubsubpb.PubsubMessage{Attributes: map[string]string{"googclient_x": "v"}}), codes.OK, 1},
		"long value":         {testTopic, one(&pubsubpb.PubsubMessage{Attributes: map[string]string{"k": strings.Repeat("v", 1024)}}), codes.OK, 1},
		"longer value":       {testTopic, one(&pubsubpb.PubsubMessage{Attributes: map[string]string{"k": strings.Repeat("v", 1025)}}), codes.InvalidArgument, 0},
	} {
		t.Run(name, func(t *testing.T) {
			seen = 0
			_, err := c.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: test.topic, Messages: test.messages})
			wantCode(t, err, test.want)
			if seen != test.seen {
				t.Errorf("watch saw %d messages, want %d", seen, test.seen)
			}
		})
	}
}

func TestTopics(t *testing.T) {
	ctx, c := t.Context(), topicClient(t, gcptest.NewPubSub(nil))
	get := func() error { return second(c.GetTopic(ctx, &pubsubpb.GetTopicRequest{Topic: testTopic})) }
	create := func(name string) error { return second(c.CreateTopic(ctx, &pubsubpb.Topic{Name: name})) }
	remove := func() error { return c.DeleteTopic(ctx, &pubsubpb.DeleteTopicRequest{Topic: testTopic}) }
	publish := func() error {
		return second(c.Publish(ctx, &pubsubpb.PublishRequest{Topic: testTopic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte("x")}}}))
	}
	wantCode(t, get(), codes.NotFound)
	wantCode(t, remove(), codes.NotFound)
	wantCode(t, create(testTopic), codes.OK)
	wantCode(t, create(testTopic), codes.AlreadyExists)
	wantCode(t, get(), codes.OK)
	wantCode(t, publish(), codes.OK)
	wantCode(t, remove(), codes.OK)
	wantCode(t, publish(), codes.NotFound)
	for _, id := range []string{"", "ab", "1ab", "a b", "a/b", "googx", strings.Repeat("x", 256)} {
		wantCode(t, create("projects/p/topics/"+id), codes.InvalidArgument)
	}
	wantCode(t, create("projects/p/topics/a%+~._-"+strings.Repeat("x", 247)), codes.OK)
}

// A subscription gets all published messages, including those that were not pulled
// when the next one was published.
func TestSubscription(t *testing.T) {
	conn := dial(t, serve(t, gcptest.NewPubSub(nil, testTopic)))
	topics, err := pubsub.NewTopicAdminClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	subscriptions, err := pubsub.NewSubscriptionAdminClient(t.Context(), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	const name = "projects/p/subscriptions/s"
	if _, err := subscriptions.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: name, Topic: testTopic}); err != nil {
		t.Fatal(err)
	}
	for _, data := range []string{"a", "b"} {
		_, err := topics.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: testTopic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(data)}}})
		wantCode(t, err, codes.OK)
	}
	got, err := subscriptions.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: name, MaxMessages: 10})
	if err != nil || len(got.ReceivedMessages) != 2 {
		t.Errorf("pulled %v, %v, want two messages", got, err)
	}
}
