package webhook_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/geminihook/geminihook/shared/refresh"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A receiver verifies the headers and the body as received. If the body is decoded
// and encoded again, the signature no longer matches.
func ExampleStatic_Verify() {
	static := webhook.Static{Keys: &refresh.Cache[webhook.SigningKey]{
		Name: "signing secret",
		Fetch: func(context.Context) ([]webhook.SigningKey, error) {
			key, err := webhook.ParseSigningKey([]byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
			return []webhook.SigningKey{key}, err
		},
		StaleIfError: time.Hour,
		Log:          slog.New(slog.DiscardHandler),
	}}

	header, body := exampleRequest("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	delivery, err := static.Verify(context.Background(), header, body)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(delivery.Endpoint, delivery.Scheme, delivery.ID)

	header, body = exampleRequest("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD")
	_, err = static.Verify(context.Background(), header, body)
	fmt.Println(errors.Is(err, webhook.ErrForged))

	// Output:
	// static v1 msg_2x5
	// true
}

// exampleRequest returns a delivery signed with secret at the current time.
func exampleRequest(secret string) (http.Header, []byte) {
	key, err := webhook.ParseSigningKey([]byte(secret))
	if err != nil {
		panic(err)
	}
	id, timestamp := "msg_2x5", strconv.FormatInt(time.Now().Unix(), 10)
	body := []byte(`{"type":"batch.succeeded","version":"v1","data":{"id":"batch_123456"}}`)
	header := make(http.Header)
	header.Set("webhook-id", id)
	header.Set("webhook-timestamp", timestamp)
	header.Set("webhook-signature", webhook.SignV1(key, id, timestamp, body))
	return header, body
}
