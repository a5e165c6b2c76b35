package redrive

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/scripts/internal/pubsubclient"
	"github.com/geminihook/geminihook/shared/gcptest/emulator/emulatortest"
)

// The ids of the topics and subscriptions. "dead" is the id of one of each.
const (
	batches = "batches"
	dead    = "dead"
	worker  = "batches-worker"  // a subscription to batches with dead as its dead-letter topic
	witness = "batches-witness" // another subscription to batches
)

// A post is a Pub/Sub service with these topics and subscriptions.
type post struct {
	t       *testing.T
	project string
	clients pubsubclient.Clients
}

// onBoth runs a test on the embedded Pub/Sub and on the official emulator.
func onBoth(t *testing.T, test func(p *post)) {
	t.Run("embedded", func(t *testing.T) {
		p, _ := embedded(t)
		test(p)
	})
	t.Run("official", func(t *testing.T) {
		addr, project := emulatortest.PubSub(t)
		t.Setenv("PUBSUB_EMULATOR_HOST", addr)
		test(newPost(t, project))
	})
}

// embedded returns a post on the embedded Pub/Sub, and its project, with which a test
// can make calls fail.
func embedded(t *testing.T) (*post, *functiontest.Project) {
	around := functiontest.Embedded(t)
	return newPost(t, around.ID), around
}

func newPost(t *testing.T, project string) *post {
	t.Helper()
	p := &post{t: t, project: project}
	var err error
	if p.clients, err = pubsubclient.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.clients.Close)
	p.topic(dead)
	p.topic(batches)
	p.subscribe(dead, dead, "")
	p.subscribe(worker, batches, dead)
	p.subscribe(witness, batches, "")
	return p
}

func (p *post) name(collection, id string) string {
	return "projects/" + p.project + "/" + collection + "/" + id
}

func (p *post) topic(id string) {
	p.t.Helper()
	if _, err := p.clients.Topics.CreateTopic(p.t.Context(), &pubsubpb.Topic{Name: p.name("topics", id)}); err != nil {
		p.t.Fatal(err)
	}
}

func (p *post) subscribe(id, topic, deadLetters string) {
	p.t.Helper()
	s := &pubsubpb.Subscription{Name: p.name("subscriptions", id), Topic: p.name("topics", topic), AckDeadlineSeconds: 60}
	if deadLetters != "" {
		s.DeadLetterPolicy = &pubsubpb.DeadLetterPolicy{DeadLetterTopic: p.name("topics", deadLetters), MaxDeliveryAttempts: 5}
	}
	if _, err := p.clients.Subscriptions.CreateSubscription(p.t.Context(), s); err != nil {
		p.t.Fatal(err)
	}
}

// letter publishes a dead letter with the attributes that Pub/Sub adds. If from is
// empty, it has none of them.
func (p *post) letter(id, from string) {
	p.t.Helper()
	attributes := map[string]string{"ce-id": id, "ce-type": "batch.succeeded"}
	if from != "" {
		attributes["CloudPubSubDeadLetterSourceSubscription"] = from
		attributes["CloudPubSubDeadLetterSourceSubscriptionProject"] = p.project
		attributes["CloudPubSubDeadLetterSourceDeliveryCount"] = "5"
		attributes["CloudPubSubDeadLetterSourceTopicPublishTime"] = "2026-11-24T10:00:00.000+00:00"
	}
	p.publish(dead, &pubsubpb.PubsubMessage{Data: []byte("body of " + id), Attributes: attributes})
}

func (p *post) publish(topic string, m *pubsubpb.PubsubMessage) {
	p.t.Helper()
	_, err := p.clients.Topics.Publish(p.t.Context(), &pubsubpb.PublishRequest{Topic: p.name("topics", topic), Messages: []*pubsubpb.PubsubMessage{m}})
	if err != nil {
		p.t.Fatal(err)
	}
}

// pull returns the messages that a subscription gives out now.
func (p *post) pull(subscription string) []*pubsubpb.ReceivedMessage {
	p.t.Helper()
	got, err := p.clients.Subscriptions.Pull(p.t.Context(), &pubsubpb.PullRequest{
		Subscription: p.name("subscriptions", subscription),
		MaxMessages:  1000,
		//lint:ignore SA1019 an answer at once, also without messages, is what a test wants
		ReturnImmediately: true,
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return got.ReceivedMessages
}

// nack gives messages back.
func (p *post) nack(subscription string, all []*pubsubpb.ReceivedMessage) {
	p.t.Helper()
	if len(all) == 0 {
		return
	}
	var ids []string
	for _, m := range all {
		ids = append(ids, m.AckId)
	}
	err := p.clients.Subscriptions.ModifyAckDeadline(p.t.Context(), &pubsubpb.ModifyAckDeadlineRequest{Subscription: p.name("subscriptions", subscription), AckIds: ids})
	if err != nil {
		p.t.Fatal(err)
	}
}

// ids returns the ce-ids of the messages that a subscription gives out now, sorted.
func (p *post) ids(subscription string) []string {
	p.t.Helper()
	var ids []string
	all := p.pull(subscription)
	for _, m := range all {
		ids = append(ids, m.Message.Attributes["ce-id"])
	}
	p.nack(subscription, all)
	slices.Sort(ids)
	return ids
}

// redrive returns a run that begins now, and a map that collects the letters that it
// reports, by ce-id.
func (p *post) redrive() (*Redrive, map[string]Letter) {
	letters := make(map[string]Letter)
	return &Redrive{
		Clients: p.clients, Project: p.project, Subscription: p.name("subscriptions", dead),
		Limit: DefaultLimit, Began: time.Now().Add(time.Second), Patience: time.Second,
		Report: func(l Letter) { letters[l.Message.Attributes["ce-id"]] = l },
	}, letters
}

func (p *post) run(r *Redrive, want Summary) {
	p.t.Helper()
	if got, err := r.Run(p.t.Context()); err != nil || got != want {
		p.t.Fatalf("Run = %+v, %v; want %+v", got, err, want)
	}
}

// Letters are published as they were before they became dead letters. Letters whose
// topic cannot be determined stay. A dry run moves no letter.
func TestMoves(t *testing.T) {
	onBoth(t, func(p *post) {
		p.subscribe("stranger", batches, "")
		p.topic("gone")
		p.subscribe("orphan", "gone", dead)
		if err := p.clients.Topics.DeleteTopic(t.Context(), &pubsubpb.DeleteTopicRequest{Topic: p.name("topics", "gone")}); err != nil {
			t.Fatal(err)
		}
		stay := map[string]string{ // the reported reason
			"nameless": "no attribute names the subscription", "unknown": "subscription missing, which it comes from, no longer exists",
			"strange": "stranger has another dead-letter topic", "orphaned": "subscription orphan has lost its topic",
		}
		p.letter("a", worker)
		p.letter("b", p.name("subscriptions", worker))
		p.letter("nameless", "")
		p.letter("unknown", "missing")
		p.letter("strange", "stranger")
		p.letter("orphaned", "orphan")
		p.letter("c", worker)
		all := append(slices.Collect(maps.Keys(stay)), "a", "b", "c")
		slices.Sort(all)

		dry, letters := p.redrive()
		dry.DryRun = true
		p.run(dry, Summary{Moved: 3, Stay: 4})
		if got := p.ids(dead); !slices.Equal(got, all) {
			t.Fatalf("after a dry run, %v are dead letters, want %v", got, all)
		}
		if got := p.ids(witness); len(got) != 0 || letters["a"].To != p.name("topics", batches) || letters["a"].From != p.name("subscriptions", worker) {
			t.Fatalf("a dry run published %v, or reported %+v", got, letters["a"])
		}

		r, letters := p.redrive()
		p.run(r, Summary{Moved: 3, Stay: 4})
		for id, why := range stay {
			if l := letters[id]; l.Err == nil || !strings.Contains(l.Err.Error(), why) || l.To != "" {
				t.Errorf("%s: %+v, want a letter that stays: %s", id, l, why)
			}
		}
		for _, m := range p.pull(witness) {
			id := m.Message.Attributes["ce-id"]
			if len(m.Message.Attributes) != 2 || string(m.Message.Data) != "body of "+id || m.Message.Attributes["ce-type"] != "batch.succeeded" {
				t.Errorf("%s was published as %v", id, m.Message)
			}
		}
		if got := p.ids(worker); !slices.Equal(got, []string{"a", "b", "c"}) {
			t.Errorf("published %v, want a, b, c", got)
		}
		left := slices.Sorted(maps.Keys(stay))
		if got := p.ids(dead); !slices.Equal(got, left) {
			t.Errorf("dead letters left: %v, want %v", got, left)
		}
	})
}

// A dead letter that Pub/Sub itself made is published without the attributes that
// Pub/Sub added.
func TestRealDeadLetter(t *testing.T) {
	addr, project := emulatortest.PubSub(t)
	t.Setenv("PUBSUB_EMULATOR_HOST", addr)
	p := newPost(t, project)
	sent := &pubsubpb.PubsubMessage{Data: []byte("x"), Attributes: map[string]string{"ce-id": "1"}}
	p.publish(batches, sent)
	if got := p.ids(witness); len(got) != 1 {
		t.Fatalf("published %v, want one message", got)
	}
	functiontest.Eventually(t, "the worker's message becomes a dead letter", func() bool {
		p.nack(worker, p.pull(worker))
		return len(p.ids(dead)) == 1
	})
	r, letters := p.redrive()
	p.run(r, Summary{Moved: 1})
	if got := letters["1"].Message.Attributes; got[sourceSubscription] != worker || len(got) < 3 {
		t.Errorf("attributes of the emulator's dead letter: %v", got)
	}
	back := p.pull(worker)
	if len(back) != 1 || !maps.Equal(back[0].Message.Attributes, sent.Attributes) || len(p.ids(dead)) != 0 {
		t.Errorf("the worker got %v, want the message as it was sent", back)
	}
}

// A run ends at its limit, and the next run continues.
func TestLimit(t *testing.T) {
	p, _ := embedded(t)
	for i := range 5 {
		p.letter(fmt.Sprint(i), worker)
	}
	for _, want := range []Summary{{Moved: 2, Limited: true}, {Moved: 2, Limited: true}, {Moved: 1}} {
		r, _ := p.redrive()
		r.Limit = 2
		p.run(r, want)
	}
	if moved, left := p.ids(witness), p.ids(dead); len(moved) != 5 || len(left) != 0 {
		t.Errorf("moved %v, left %v; want 5 and 0", moved, left)
	}
}

// A message that becomes a dead letter after the run began stays, because its
// subscriber still fails.
func TestLate(t *testing.T) {
	p, around := embedded(t)
	p.letter("first", worker)
	r, letters := p.redrive()
	r.Began = time.Now()
	around.Interfere(func(_ context.Context, method string, forward func() error) error {
		err := forward()
		if method == functiontest.Publish && len(letters) == 0 && err == nil {
			letters["again"] = Letter{} // once
			p.letter("again", worker)   // its subscriber fails on it again
		}
		return err
	})
	p.run(r, Summary{Moved: 1, Late: 1})
	if !letters["again"].Late || !slices.Equal(p.ids(dead), []string{"again"}) || len(p.ids(witness)) != 1 {
		t.Errorf("%+v, dead letters left: %v; want the late letter to stay", letters["again"], p.ids(dead))
	}
}

// A letter that cannot be published stays.
func TestPublishFails(t *testing.T) {
	p, around := embedded(t)
	p.letter("a", worker)
	around.Interfere(func(_ context.Context, method string, forward func() error) error {
		if method == functiontest.Publish {
			return status.Error(codes.PermissionDenied, "no")
		}
		return forward()
	})
	r, letters := p.redrive()
	p.run(r, Summary{Stay: 1})
	if l := letters["a"]; l.Err == nil || !strings.Contains(l.Err.Error(), "publish to "+p.name("topics", batches)) || !strings.Contains(l.Err.Error(), "PermissionDenied") {
		t.Errorf("%+v", l)
	}
	around.Interfere(nil)
	r, _ = p.redrive()
	p.run(r, Summary{Moved: 1})
}

// If a letter was published but cannot be removed, the run ends with an error. No
// letter is lost: the next run publishes it again.
func TestAcknowledgeFails(t *testing.T) {
	p, around := embedded(t)
	p.letter("a", worker)
	around.Interfere(func(_ context.Context, method string, forward func() error) error {
		if path.Base(method) == "Acknowledge" {
			return status.Error(codes.Internal, "a fault of the test")
		}
		return forward()
	})
	r, letters := p.redrive()
	if s, err := r.Run(t.Context()); err == nil || s.Moved != 1 {
		t.Errorf("%+v, %v", s, err)
	}
	if l := letters["a"]; l.To == "" || l.Err == nil || !strings.Contains(l.Err.Error(), "published, but not removed") {
		t.Errorf("%+v", l)
	}
	if got := p.ids(witness); len(got) != 1 {
		t.Errorf("published %v", got)
	}
}

// An interrupt loses no letter: letters that were published are removed, and the others
// are released.
func TestInterrupted(t *testing.T) {
	p, around := embedded(t)
	for i := range 30 {
		p.letter(fmt.Sprintf("%02d", i), worker)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	defer interrupt()
	around.Interfere(func(_ context.Context, method string, forward func() error) error {
		err := forward()
		if method == functiontest.Publish {
			interrupt()
		}
		return err
	})
	r, _ := p.redrive()
	s, err := r.Run(ctx)
	if err == nil || s.Moved+s.Stay != 30 {
		t.Fatalf("%+v, %v", s, err)
	}
	around.Interfere(nil)
	published, left := p.ids(witness), p.ids(dead)
	seen := slices.Concat(published, left)
	slices.Sort(seen)
	if len(slices.Compact(seen)) != 30 || len(left) != s.Stay {
		t.Errorf("%d published, %d left of 30; %+v", len(published), len(left), s)
	}
}

// Run fails if the subscription does not exist, and if a source subscription cannot be
// looked up for now.
func TestNoSubscription(t *testing.T) {
	p, around := embedded(t)
	r, _ := p.redrive()
	r.Subscription = p.name("subscriptions", "another")
	if _, err := r.Run(t.Context()); status.Code(err) != codes.NotFound {
		t.Errorf("Run: %v, want NotFound", err)
	}
	p.letter("a", worker)
	asked := 0
	around.Interfere(func(_ context.Context, method string, forward func() error) error {
		if path.Base(method) == "GetSubscription" {
			if asked++; asked > 1 { // the first request is for the dead-letter subscription
				return status.Error(codes.Internal, "a fault of the test")
			}
		}
		return forward()
	})
	r, letters := p.redrive()
	if s, err := r.Run(t.Context()); err == nil || s != (Summary{}) || len(letters) != 0 {
		t.Errorf("%+v, %v", s, err)
	}
	if got := p.ids(dead); !slices.Equal(got, []string{"a"}) {
		t.Errorf("dead letters left: %v, want a", got)
	}
}
