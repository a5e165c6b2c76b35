package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/reconcile"
	"github.com/geminihook/geminihook/shared/webhook"
)

// The paths of the two webhooks.
const staticPath, dynamicPath = "/static", "/dynamic"

// Names in the project of a run.
const (
	project            = "worth"
	eventsTopic        = "projects/worth/topics/events"
	eventsSubscription = "projects/worth/subscriptions/events"
	jobsTopic          = "projects/worth/topics/jobs"
)

var place = jobs.Place{
	Project: project, Database: "(default)", Jobs: "jobs", Notes: "reconcile",
	Subscription: "projects/worth/subscriptions/jobs", Rejected: "projects/worth/topics/jobs-rejected",
}

// lookBack is the default of the deployed reconciler.
const lookBack = 48 * time.Hour

// one is a keyring with one key.
type one[K any] struct{ key K }

// Find implements webhook.Keyring and gemini.Keys.
func (o one[K]) Find(_ context.Context, match func(K) bool) (bool, error) { return match(o.key), nil }

// A subscriber receives the events and fetches the results.
type subscriber struct {
	*side
	mu    sync.Mutex
	known map[string]started // by name
}

// webhooks starts both receivers, a subscriber, and if reconciled the reconciler. It
// returns the function to call for each started job.
func (s *side) webhooks(reconciled bool) (func(started), error) {
	cloud := option.WithGRPCConn(s.cloud)
	ledger, err := dedup.Open(s.ctx, project, place.Database, "deliveries", cloud)
	if err != nil {
		return nil, err
	}
	routes, err := publish.RoutesIn(project)("*=events")
	if err != nil {
		return nil, err
	}
	publisher, err := publish.Open(s.ctx, routes, cloud)
	if err != nil {
		return nil, err
	}
	if err := s.receive(ledger, publisher); err != nil {
		return nil, err
	}
	sub := &subscriber{side: s, known: make(map[string]started)}
	s.running.Go(sub.pull)
	if !reconciled {
		return sub.know, nil
	}
	register, err := jobs.Open(s.ctx, place, slog.New(slog.DiscardHandler), cloud)
	if err != nil {
		return nil, err
	}
	s.running.Go(func() { s.reconcile(ledger, publisher, register) })
	return func(j started) {
		sub.know(j)
		if j.Kind != geminitest.KindBatch {
			sub.register(j.Name)
		}
	}, nil
}

// receive serves both endpoints as the functions do.
func (s *side) receive(ledger *dedup.Ledger, publisher *publish.Publisher) error {
	key, err := webhook.ParseSigningKey([]byte(s.signing))
	if err != nil {
		return err
	}
	serve := func(at, endpoint string, by receiver.Verifier) {
		s.hooks.Handle(at, &receiver.Receiver{
			Endpoint: endpoint, Verifier: by, Ledger: ledger, Publisher: publisher, Log: slog.New(slog.DiscardHandler),
		})
	}
	serve(staticPath, webhook.StaticEndpoint, &webhook.Static{Keys: one[webhook.SigningKey]{key}})
	serve(dynamicPath, webhook.DynamicEndpoint, &webhook.Dynamic{Keys: one[webhook.PublicKey]{webhook.PublicKey{Key: s.public}}})
	return nil
}

func (s *subscriber) know(j started) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[j.Name] = j
}

// register publishes a job's name on the jobs topic, from which the reconciler learns
// it.
func (s *subscriber) register(name string) {
	_, err := pubsubpb.NewPublisherClient(s.cloud).Publish(s.ctx, &pubsubpb.PublishRequest{
		Topic: jobsTopic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(name)}},
	})
	if err != nil && s.ctx.Err() == nil {
		panic(err) // the stand-in for Pub/Sub has no faults
	}
}

// pull receives events until the run ends.
func (s *subscriber) pull() {
	client := pubsubpb.NewSubscriberClient(s.cloud)
	for s.ctx.Err() == nil {
		pulled, err := client.Pull(s.ctx, &pubsubpb.PullRequest{Subscription: eventsSubscription, MaxMessages: 100})
		if err != nil {
			return // the run has ended
		}
		for _, m := range pulled.ReceivedMessages {
			s.running.Go(func() {
				s.handle(m.Message)
				_, _ = client.Acknowledge(s.ctx, &pubsubpb.AcknowledgeRequest{Subscription: eventsSubscription, AckIds: []string{m.AckId}})
			})
		}
	}
}

// handle fetches the result of an event's job, from the file that the event names.
func (s *subscriber) handle(m *pubsubpb.PubsubMessage) {
	j, ok := s.job(m.Attributes["ce-subject"])
	if !ok {
		return
	}
	var event struct {
		Data struct {
			URI  string `json:"output_file_uri"`
			File string `json:"file_name"`
		}
	}
	if err := json.Unmarshal(m.Data, &event); err != nil {
		return
	}
	file := event.Data.File
	if j.Kind == geminitest.KindBatch {
		file = event.Data.URI
	}
	s.take(j, file)
}

// job returns the job with a name, and false if the run has ended. In real time, an
// event may arrive before know is called for its job, so job waits for that.
func (s *subscriber) job(name string) (j started, known bool) {
	for {
		s.mu.Lock()
		j, known = s.known[name]
		s.mu.Unlock()
		if known || !s.sleep(10*time.Millisecond) {
			return j, known
		}
	}
}

// reconcile runs passes until the run ends.
func (s *side) reconcile(ledger *dedup.Ledger, publisher *publish.Publisher, register *jobs.Register) {
	r := &reconcile.Reconciler{
		Options: reconcile.Options{
			Mode: reconcile.Auto, Grace: s.pace.Grace, LookBack: lookBack,
			StaticURL: s.hooksURL.JoinPath(staticPath), DynamicURL: s.hooksURL.JoinPath(dynamicPath),
		},
		API: gemini.Open(s.api, one[string]{apiKey}, s.meter), Register: register, Ledger: ledger, Publisher: publisher,
		Log: slog.New(slog.DiscardHandler),
	}
	for s.sleep(s.pace.Passes) {
		if summary, err := r.Run(s.ctx); err == nil {
			s.passed(summary.Took)
		}
	}
}
