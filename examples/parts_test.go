package examples_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	batches = "projects/my-project/topics/geminihook-batch"
	all     = "projects/my-project/topics/all"
	jobs    = "projects/my-project/topics/geminihook-jobs"
)

// The services of the examples: Pub/Sub and Firestore in this process.
var (
	pubsubOptions    []option.ClientOption
	firestoreOptions []option.ClientOption
)

func startEverything() (stop func()) {
	messages, database := start(gcptest.NewPubSub(nil, batches, all, jobs)), start(gcptest.NewFirestore())
	pubsubOptions, firestoreOptions = to(messages), to(database)
	subscribe(batches, "batch-worker", "")
	batchAPI.Start()
	return func() {
		batchAPI.Close()
		messages.Close()
		database.Close()
	}
}

func start(s gcptest.Service) *gcptest.Server {
	server, err := gcptest.Start("127.0.0.1:0", s)
	if err != nil {
		panic(err)
	}
	return server
}

func to(server *gcptest.Server) []option.ClientOption {
	return []option.ClientOption{option.WithEndpoint(server.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials()))}
}

func subscriptionClient() *pubsub.SubscriptionAdminClient {
	client, err := pubsub.NewSubscriptionAdminClient(context.Background(), pubsubOptions...)
	if err != nil {
		panic(err)
	}
	return client
}

func subscribe(topic, id, filter string) (name string) {
	name = "projects/my-project/subscriptions/" + id
	client := subscriptionClient()
	defer client.Close()
	if _, err := client.CreateSubscription(context.Background(), &pubsubpb.Subscription{Name: name, Topic: topic, Filter: filter}); err != nil {
		panic(err)
	}
	return name
}

// send publishes an event as the static function does.
func send(id, body string) { sendAs(batches, webhook.StaticEndpoint, webhook.V1, id, body) }

func sendAs(topic, endpoint string, scheme webhook.Scheme, id, body string) {
	ctx := context.Background()
	p, err := publish.Open(ctx, publish.Routes{"*": topic}, pubsubOptions...)
	if err == nil {
		defer p.Close()
		_, err = p.Publish(ctx, &webhook.Delivery{
			Endpoint: endpoint, Scheme: scheme, ID: id, Received: time.Now(),
			Body: []byte(body), Event: webhook.ParseEvent([]byte(body)),
		})
	}
	if err != nil {
		panic(err)
	}
}

// The filters of README.md pass the messages that it states.
func TestFilters(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	filters := map[string][]string{ // the ids of the messages that each passes, sorted
		`attributes.ce-type = "batch.succeeded"`:                                                  {"succeeded"},
		`attributes.ce-type = "batch.failed" OR attributes.ce-type = "batch.expired"`:             {"failed"},
		`hasPrefix(attributes.ce-type, "batch.")`:                                                 {"failed", "succeeded"},
		`NOT hasPrefix(attributes.ce-type, "batch.")`:                                             {"jwt", "untyped", "video"},
		`attributes.ce-scheme != "jwt"`:                                                           {"failed", "succeeded", "untyped", "video"},
		`hasPrefix(attributes.ce-source, "//generativelanguage.googleapis.com/webhooks/dynamic")`: {"jwt", "video"},
		`NOT attributes:ce-type`:                                                                  {"untyped"},
	}
	names := make(map[string]string)
	for filter := range filters {
		names[filter] = subscribe(all, "filter-"+webhooktest.NewID(), filter)
	}
	sendAs(all, webhook.StaticEndpoint, webhook.V1, "succeeded", `{"type":"batch.succeeded"}`)
	sendAs(all, webhook.StaticEndpoint, webhook.V1, "failed", `{"type":"batch.failed"}`)
	sendAs(all, webhook.StaticEndpoint, webhook.V1, "untyped", "no JSON")
	sendAs(all, webhook.DynamicEndpoint, webhook.V1a, "video", `{"type":"video.generated"}`)
	sendAs(all, webhook.DynamicEndpoint, webhook.JWT, "jwt", `{"type":"video.generated"}`)
	for filter, want := range filters {
		if got := pull(t, names[filter]); !slices.Equal(got, want) {
			t.Errorf("%s passes %q, want %q", filter, got, want)
		}
		if !strings.Contains(string(readme), filter) || len(filter) > 256 {
			t.Errorf("%s: not in README.md, or longer than Pub/Sub's limit", filter)
		}
	}
}

// pull returns the ids of all messages on a subscription, sorted.
func pull(t *testing.T, name string) (ids []string) {
	t.Helper()
	client := subscriptionClient()
	defer client.Close()
	got, err := client.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: name, MaxMessages: 100})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range got.ReceivedMessages {
		ids = append(ids, m.Message.Attributes["ce-id"])
	}
	return slices.Sorted(slices.Values(ids))
}
