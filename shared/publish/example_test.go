package publish_test

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/refresh"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// The longest route that matches wins. Every type has a topic.
func ExampleRoutesIn() {
	parse := publish.RoutesIn("my-project")
	routes, err := parse("batch=geminihook-batch,batch.failed=projects/ops/topics/alarms,*=geminihook-other")
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, eventType := range []string{"batch.succeeded", "batch.failed", "video.generated", ""} {
		fmt.Printf("%q: %s\n", eventType, routes.Topic(eventType))
	}

	_, err = parse("batch=x,*=geminihook-other")
	fmt.Println(err)

	// Output:
	// "batch.succeeded": projects/my-project/topics/geminihook-batch
	// "batch.failed": projects/ops/topics/alarms
	// "video.generated": projects/my-project/topics/geminihook-other
	// "": projects/my-project/topics/geminihook-other
	// "x" is not a topic
}

// A message holds the body as it was received, and a CloudEvent's attributes.
func ExamplePublisher_Publish() {
	ctx := context.Background()
	routes := publish.Routes{"batch": "projects/my-project/topics/geminihook-batch", "*": "projects/my-project/topics/geminihook-other"}
	server, err := gcptest.Start("127.0.0.1:0", gcptest.NewPubSub(func(topic string, m *pubsubpb.PubsubMessage) {
		fmt.Println("on", topic)
		fmt.Printf("%s\n", m.Data)
		for _, name := range []string{"ce-id", "ce-type", "ce-source", "ce-subject"} {
			fmt.Println(name, m.Attributes[name])
		}
	}, routes["batch"], routes["*"]))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	publisher, err := publish.Open(ctx, routes, option.WithEndpoint(server.Addr()), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer publisher.Close()

	receipt, err := publisher.Publish(ctx, exampleDelivery("msg_2x5", []byte(`{"type":"batch.succeeded","data":{"id":"batch_123456"}}`)))
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("attempts", receipt.Attempts)

	// Output:
	// on projects/my-project/topics/geminihook-batch
	// {"type":"batch.succeeded","data":{"id":"batch_123456"}}
	// ce-id msg_2x5
	// ce-type batch.succeeded
	// ce-source //generativelanguage.googleapis.com/webhooks/static
	// ce-subject batch_123456
	// attempts 1
}

// exampleDelivery returns a delivery as the static endpoint accepts it.
func exampleDelivery(id string, body []byte) *webhook.Delivery {
	key, err := webhook.ParseSigningKey([]byte(webhooktest.NewSecret()))
	if err != nil {
		panic(err)
	}
	static := webhook.Static{Keys: &refresh.Cache[webhook.SigningKey]{
		Name:         "signing secret",
		Fetch:        func(context.Context) ([]webhook.SigningKey, error) { return []webhook.SigningKey{key}, nil },
		StaleIfError: time.Hour,
		Log:          slog.New(slog.DiscardHandler),
	}}
	now := time.Now()
	header := webhooktest.Header(id, now, webhook.SignV1(key, id, webhooktest.Timestamp(now), body))
	delivery, err := static.Verify(context.Background(), header, body)
	if err != nil {
		panic(err)
	}
	return delivery
}
