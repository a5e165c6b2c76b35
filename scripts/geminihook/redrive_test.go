package main

import (
	"encoding/json"
	"strings"
	"testing"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/dial"
)

// addDeadLetters creates the dead-letter topic and subscription, a subscription that
// two dead letters come from, and a third letter from an unknown one.
func (l *lab) addDeadLetters() {
	l.t.Helper()
	topics, err := pubsub.NewTopicAdminClient(l.t.Context(), dial.Options()...)
	if err != nil {
		l.t.Fatal(err)
	}
	defer topics.Close()
	subscriptions, err := pubsub.NewSubscriptionAdminClient(l.t.Context(), dial.Options()...)
	if err != nil {
		l.t.Fatal(err)
	}
	defer subscriptions.Close()
	root := "projects/" + l.ID
	dead := root + "/topics/geminihook-dead-letter"
	if _, err := topics.CreateTopic(l.t.Context(), &pubsubpb.Topic{Name: dead}); err != nil {
		l.t.Fatal(err)
	}
	for _, s := range []*pubsubpb.Subscription{
		{Name: root + "/subscriptions/geminihook-dead-letter", Topic: dead},
		{Name: root + "/subscriptions/geminihook-batch-pull", Topic: root + "/topics/" + functiontest.BatchTopic,
			DeadLetterPolicy: &pubsubpb.DeadLetterPolicy{DeadLetterTopic: dead, MaxDeliveryAttempts: 5}},
	} {
		if _, err := subscriptions.CreateSubscription(l.t.Context(), s); err != nil {
			l.t.Fatal(err)
		}
	}
	letter := func(id, from string) *pubsubpb.PubsubMessage {
		return &pubsubpb.PubsubMessage{Data: []byte(`{}`), Attributes: map[string]string{
			"ce-id": id, "ce-type": "batch.failed", "CloudPubSubDeadLetterSourceSubscription": from,
		}}
	}
	_, err = topics.Publish(l.t.Context(), &pubsubpb.PublishRequest{Topic: dead, Messages: []*pubsubpb.PubsubMessage{
		letter("msg_1", "geminihook-batch-pull"), letter("msg_2", "geminihook-batch-pull"), letter("msg_\x1b[3", "\x1b]0;")}})
	if err != nil {
		l.t.Fatal(err)
	}
	l.Messages(l.t)
}

// redrive moves two letters, and reports the third, which stays.
func TestRedrive(t *testing.T) {
	l := newLab(t)
	l.addDeadLetters()
	l.pass(1e9) // all letters were published before redrive starts
	r := l.run("redrive", "--dry-run")
	l.want(r, 1, "would move  batch.failed", "msg_1", "from geminihook-batch-pull to geminihook-batch", "stays       batch.failed",
		"letters     2 to be moved, 1 stay, 0 arrived after")
	if strings.Contains(r.out, "\x1b") {
		t.Errorf("a letter sends control characters to the terminal: %q", r.out)
	}
	l.want(l.run("redrive", "--limit", "0"), 2, "--limit: want 1 or more")
	one := l.run("redrive", "--limit", "1") // status 1 if it found the letter that stays first
	l.want(one, one.status, "letters     1 moved", "next        there may be more")

	r = l.run("redrive", "--json")
	l.want(r, 1)
	moved := map[string]any{}
	for text := range strings.Lines(r.out) {
		line := map[string]any{}
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		moved[line["event"].(string)] = line["to"]
		if line["event"] == "summary" && (line["moved"] != 1.0 || line["stay"] != 1.0 || line["limited"] != false) {
			t.Errorf("%v", line)
		}
	}
	if moved["moved"] != "projects/test-project/topics/geminihook-batch" || moved["stays"] != "" {
		t.Errorf("%v", moved)
	}
	if m := l.Messages(t); len(m) != 2 || m[0].Topic != functiontest.BatchTopic {
		t.Errorf("%d messages were published, want 2", len(m))
	}
	l.want(l.run("redrive", "--dead-letter-subscription", "another"), 1, "another does not exist", "terraform apply")
}
