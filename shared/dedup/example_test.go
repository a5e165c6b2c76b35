package dedup_test

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/webhook"
)

// The sender repeats a delivery until it is answered 2xx. Once publishes it once.
func ExampleLedger_Once() {
	ctx := context.Background()
	server, err := gcptest.Start("127.0.0.1:0", gcptest.NewFirestore())
	if err != nil {
		fmt.Println(err)
		return
	}
	defer server.Close()
	connection, err := grpc.NewClient(server.Addr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		fmt.Println(err)
		return
	}
	ledger, err := dedup.Open(ctx, "my-project", "(default)", "deliveries", option.WithGRPCConn(connection))
	if err != nil {
		fmt.Println(err)
		return
	}
	defer ledger.Close()

	delivery := &webhook.Delivery{Endpoint: webhook.StaticEndpoint, Scheme: webhook.V1, ID: "msg_2x5", Body: []byte(`{"type":"batch.succeeded"}`)}
	for range 3 {
		_, err := ledger.Once(ctx, delivery, func(context.Context) (webhook.Receipt, error) {
			fmt.Println("publish", delivery.ID)
			return webhook.Receipt{Topic: "projects/my-project/topics/batch", MessageID: "1"}, nil
		})
		fmt.Println("duplicate:", errors.Is(err, webhook.ErrDuplicate))
	}

	// Output:
	// publish msg_2x5
	// duplicate: false
	// duplicate: true
	// duplicate: true
}
