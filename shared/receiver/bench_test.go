package receiver_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// BenchmarkHandler measures the CPU time of a request, without HTTP and gRPC: the
// handler as deployed, with Google's clients, and with calls that are answered before
// they reach the network.
func BenchmarkHandler(b *testing.B) {
	secret := webhooktest.NewSecret()
	body := webhooktest.NewEvent("video.generated")
	id, now := webhooktest.NewID(), time.Now()
	header := webhooktest.Header(id, now, webhook.SignV1(signingKey(b, secret), id, webhooktest.Timestamp(now), body))
	b.Run("published", func(b *testing.B) {
		benchmark(b, newReceiver(b, secret), header, body, http.StatusNoContent)
	})
	b.Run("forged", func(b *testing.B) {
		benchmark(b, newReceiver(b, webhooktest.NewSecret()), header, body, http.StatusUnauthorized)
	})
}

func benchmark(b *testing.B, h http.Handler, header http.Header, body []byte, want int) {
	b.ReportAllocs()
	content := bytes.NewReader(body)
	for b.Loop() {
		content.Reset(body)
		w := &answer{header: make(http.Header)}
		h.ServeHTTP(w, &http.Request{
			Method: http.MethodPost, Header: header,
			Body: io.NopCloser(content), ContentLength: int64(len(body)),
		})
		if w.status != want {
			b.Fatalf("answered %d, want %d", w.status, want)
		}
	}
}

// answer is a ResponseWriter that stores the status.
type answer struct {
	header http.Header
	status int
}

func (a *answer) Header() http.Header         { return a.header }
func (a *answer) WriteHeader(status int)      { a.status = status }
func (a *answer) Write(p []byte) (int, error) { return len(p), nil }

func newReceiver(b *testing.B, secret string) http.Handler {
	b.Helper()
	opts := []option.ClientOption{
		option.WithEndpoint("nowhere.invalid:443"), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithUnaryInterceptor(reply)),
	}
	ledger, err := dedup.Open(b.Context(), "p", "(default)", "deliveries", opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ledger.Close() })
	publisher, err := publish.Open(b.Context(), publish.Routes{"*": "projects/p/topics/t"}, opts...)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { publisher.Close() })
	return cloudlog.Trace("p", &receiver.Receiver{
		Endpoint:  webhook.StaticEndpoint,
		Verifier:  &webhook.Static{Keys: keyring{signingKey(b, secret)}},
		Ledger:    ledger,
		Publisher: publisher,
		Log:       cloudlog.New(io.Discard),
	})
}

func signingKey(b *testing.B, secret string) webhook.SigningKey {
	b.Helper()
	key, err := webhook.ParseSigningKey([]byte(secret))
	if err != nil {
		b.Fatal(err)
	}
	return key
}

// keyring is a Keyring with one key.
type keyring struct{ webhook.SigningKey }

func (k keyring) Find(_ context.Context, match func(webhook.SigningKey) bool) (bool, error) {
	return match(k.SigningKey), nil
}

// reply answers the calls to Firestore and Pub/Sub.
func reply(_ context.Context, _ string, _, answer any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	switch answer := answer.(type) {
	case *firestorepb.CommitResponse:
		answer.WriteResults = []*firestorepb.WriteResult{{UpdateTime: timestamppb.Now()}}
	case *pubsubpb.PublishResponse:
		answer.MessageIds = []string{"1"}
	default:
		return errors.New("not a call that a delivery makes")
	}
	return nil
}
