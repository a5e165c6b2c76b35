package publish_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	batchTopic = "projects/p/topics/batch"
	otherTopic = "projects/p/topics/other"
)

var received = time.Date(2026, 1, 22, 13, 14, 15, 123_456_789, time.FixedZone("", 2*60*60))

// delivery is one as the static endpoint verifies it.
func delivery(body string) *webhook.Delivery {
	return &webhook.Delivery{
		Endpoint: webhook.StaticEndpoint, Scheme: webhook.V1, ID: "msg_1", Received: received,
		ContentType: "application/json", Body: []byte(body), Event: webhook.ParseEvent([]byte(body)),
	}
}

const event = `{"type":"batch.succeeded","timestamp":"2026-01-22T12:00:00.5+01:00","data":{"id":"batches/1"}}`

// A wire stands between a publisher and Pub/Sub.
type wire struct {
	*publish.Publisher
	addr string

	// attempt stands for the nth attempt, counted from 1, where it is set; send is
	// the attempt itself.
	attempt func(ctx context.Context, n int, reply *pubsubpb.PublishResponse, send func() error) error

	mu       sync.Mutex
	n        int
	messages []message
}

// message is one that reached a topic.
type message struct {
	topic string
	*pubsubpb.PubsubMessage
}

// open connects a publisher to a Pub/Sub that has two topics.
func open(t *testing.T) *wire {
	t.Helper()
	w := new(wire)
	server, err := gcptest.Start("127.0.0.1:0", gcptest.NewPubSub(func(topic string, m *pubsubpb.PubsubMessage) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.messages = append(w.messages, message{topic, m})
	}, batchTopic, otherTopic))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	w.addr = server.Addr()
	w.Publisher, err = publish.Open(t.Context(),
		publish.Routes{"batch": batchTopic, "*": otherTopic, "gone": "projects/p/topics/gone"},
		append(gcptest.ClientOptions(w.addr), option.WithGRPCDialOption(grpc.WithUnaryInterceptor(w.intercept)))...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.Close() })
	return w
}

func (w *wire) intercept(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	w.mu.Lock()
	w.n++
	n := w.n
	w.mu.Unlock()
	send := func() error { return invoke(ctx, method, req, reply, conn, opts...) }
	if w.attempt != nil {
		return w.attempt(ctx, n, reply.(*pubsubpb.PublishResponse), send)
	}
	return send()
}

// published returns the one message there is.
func (w *wire) published(t *testing.T) message {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.messages) != 1 {
		t.Fatalf("%d messages, want 1", len(w.messages))
	}
	return w.messages[0]
}

func TestPublishIsOneMessageInOneCall(t *testing.T) {
	for name, body := range map[string]string{
		"event":     event,
		"spaced":    " \t\n" + event + "\r\n",
		"no JSON":   "hello",
		"no UTF-8":  "\xff\x00\xfe",
		"empty":     "",
		"a MiB":     strings.Repeat("\x80", 1<<20),
		"a dot":     ".",
		"json text": `"x"`,
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			receipt, err := w.Publish(t.Context(), delivery(body))
			if err != nil {
				t.Fatal(err)
			}
			m := w.published(t)
			if !bytes.Equal(m.Data, []byte(body)) {
				t.Errorf("data of %d bytes is not the body of %d", len(m.Data), len(body))
			}
			want := webhook.Receipt{Topic: otherTopic, MessageID: m.MessageId, Attempts: 1}
			if strings.Contains(body, "batch.") {
				want.Topic = batchTopic
			}
			if receipt != want || m.topic != want.Topic {
				t.Errorf("receipt %+v, topic %s; want %+v", receipt, m.topic, want)
			}
			if w.n != 1 {
				t.Errorf("%d calls", w.n)
			}
		})
	}
}

func TestAttributes(t *testing.T) {
	base := map[string]string{
		"ce-specversion":  "1.0",
		"ce-id":           "msg_1",
		"ce-source":       "//generativelanguage.googleapis.com/webhooks/static",
		"ce-type":         "batch.succeeded",
		"ce-subject":      "batches/1",
		"ce-time":         "2026-01-22T11:00:00.5Z",
		"ce-scheme":       "v1",
		"ce-receivedtime": "2026-01-22T11:14:15.123456789Z",
		"content-type":    "application/json",
	}
	const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	at := func(n int) string { return strings.Repeat("x", n) }
	for name, test := range map[string]struct {
		change func(*webhook.Delivery)
		want   map[string]string // on top of base; empty for left out
		topic  string
	}{
		"v1": {func(*webhook.Delivery) {}, nil, batchTopic},
		"v1a": {func(d *webhook.Delivery) { d.Endpoint, d.Scheme = webhook.DynamicEndpoint, webhook.V1a }, map[string]string{
			"ce-scheme": "v1a", "ce-source": "//generativelanguage.googleapis.com/webhooks/dynamic",
		}, batchTopic},
		"jwt": {func(d *webhook.Delivery) { d.Endpoint, d.Scheme = webhook.DynamicEndpoint, webhook.JWT }, map[string]string{
			"ce-scheme": "jwt", "ce-source": "//generativelanguage.googleapis.com/webhooks/dynamic/jwt",
		}, batchTopic},
		"longest id":        {func(d *webhook.Delivery) { d.ID = at(256) }, map[string]string{"ce-id": at(256)}, batchTopic},
		"another type":      {func(d *webhook.Delivery) { d.ContentType = "text/plain" }, map[string]string{"content-type": "text/plain"}, batchTopic},
		"no type":           {func(d *webhook.Delivery) { d.ContentType = "" }, map[string]string{"content-type": ""}, batchTopic},
		"type no UTF-8":     {func(d *webhook.Delivery) { d.ContentType = "text/\xff" }, map[string]string{"content-type": ""}, batchTopic},
		"longest type":      {func(d *webhook.Delivery) { d.ContentType = at(1024) }, map[string]string{"content-type": at(1024)}, batchTopic},
		"type too long":     {func(d *webhook.Delivery) { d.ContentType = at(1025) }, map[string]string{"content-type": ""}, batchTopic},
		"encoding":          {func(d *webhook.Delivery) { d.ContentEncoding = "gzip, br" }, map[string]string{"content-encoding": "gzip, br"}, batchTopic},
		"longest encoding":  {func(d *webhook.Delivery) { d.ContentEncoding = at(1024) }, map[string]string{"content-encoding": at(1024)}, batchTopic},
		"encoding too long": {func(d *webhook.Delivery) { d.ContentEncoding = at(1025) }, nil, batchTopic},
		"encoding no UTF-8": {func(d *webhook.Delivery) { d.ContentEncoding = "\xff" }, nil, batchTopic},
		"in a trace": {func(d *webhook.Delivery) { d.Traceparent = traceparent }, map[string]string{
			"ce-traceparent": traceparent, "googclient_traceparent": traceparent,
		}, batchTopic},
		"byte order mark": {func(d *webhook.Delivery) { d.Body = []byte("\ufeff" + event) }, nil, batchTopic},
		"a name in another case": {func(d *webhook.Delivery) {
			d.Body = []byte(`{"type":"batch.failed","Type":"video.generated","data":{"id":"1","ID":"2"}}`)
		}, map[string]string{"ce-type": "batch.failed", "ce-subject": "1", "ce-time": ""}, batchTopic},
		"longest event type": {func(d *webhook.Delivery) { d.Body = []byte(`{"type":"batch.` + at(1018) + `"}`) }, map[string]string{
			"ce-type": "batch." + at(1018), "ce-subject": "", "ce-time": "",
		}, batchTopic},
		"event type too long": {func(d *webhook.Delivery) { d.Body = []byte(`{"type":"batch.` + at(1019) + `","data":{"id":"1"}}`) }, map[string]string{
			"ce-type": "", "ce-subject": "1", "ce-time": "",
		}, otherTopic},
		"subject too long": {func(d *webhook.Delivery) { d.Body = []byte(`{"type":"batch","data":{"id":"` + at(1025) + `"}}`) }, map[string]string{
			"ce-type": "batch", "ce-subject": "", "ce-time": "",
		}, batchTopic},
		"not UTF-8 in the event": {func(d *webhook.Delivery) { d.Body = []byte("{\"type\":\"a\xff\",\"data\":{\"id\":\"\xff\"}}") }, map[string]string{
			"ce-type": "a\ufffd", "ce-subject": "\ufffd", "ce-time": "",
		}, otherTopic},
		"no JSON": {func(d *webhook.Delivery) { d.Body = []byte("hello") }, map[string]string{
			"ce-type": "", "ce-subject": "", "ce-time": "",
		}, otherTopic},
		"a year of five digits": {func(d *webhook.Delivery) { d.Body = []byte(`{"timestamp":"9999-12-31T23:59:59-01:00"}`) }, map[string]string{
			"ce-type": "", "ce-subject": "", "ce-time": "",
		}, otherTopic},
	} {
		t.Run(name, func(t *testing.T) {
			w, d := open(t), delivery(event)
			test.change(d)
			d.Event = webhook.ParseEvent(d.Body)
			if _, err := w.Publish(t.Context(), d); err != nil {
				t.Fatal(err)
			}
			want := maps.Clone(base)
			for name, value := range test.want {
				if want[name] = value; value == "" {
					delete(want, name)
				}
			}
			m := w.published(t)
			if !maps.Equal(m.Attributes, want) {
				t.Errorf("attributes %.300v\nwant %.300v", m.Attributes, want)
			}
			if m.topic != test.topic {
				t.Errorf("topic %s, want %s", m.topic, test.topic)
			}
		})
	}
}

// wantFailure checks that err has a code, and whether it says that the message is
// certainly not there. That certainty gives the delivery back: it must not be
// wrong.
func wantFailure(t *testing.T, receipt webhook.Receipt, err error, code codes.Code, certain bool) {
	t.Helper()
	if receipt.MessageID != "" || receipt.Topic == "" || receipt.Attempts == 0 {
		t.Errorf("receipt %+v beside an error", receipt)
	}
	if status.Code(err) != code {
		t.Errorf("%v, want %v", err, code)
	}
	if errors.Is(err, webhook.ErrNotPublished) != certain {
		t.Errorf("%v; want certain: %v", err, certain)
	}
}

var refusals = []codes.Code{codes.InvalidArgument, codes.NotFound, codes.PermissionDenied, codes.FailedPrecondition}

func TestRefusalOfTheFirstAttemptIsCertain(t *testing.T) {
	w := open(t)
	receipt, err := w.Publish(t.Context(), delivery(`{"type":"gone"}`)) // by the server itself
	wantFailure(t, receipt, err, codes.NotFound, true)
	for _, code := range refusals {
		w.attempt = func(context.Context, int, *pubsubpb.PublishResponse, func() error) error {
			return status.Error(code, "injected")
		}
		w.n = 0
		receipt, err = w.Publish(t.Context(), delivery(event))
		wantFailure(t, receipt, err, code, true)
		if w.n != 1 {
			t.Errorf("%v: %d attempts", code, w.n)
		}
	}
}

// A claim may take all the time that a delivery has. Nothing is sent then, and the
// ledger may give the delivery back.
func TestNothingIsSentWithoutTime(t *testing.T) {
	w := open(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	past, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	for want, ctx := range map[error]context.Context{context.Canceled: ended, context.DeadlineExceeded: past} {
		receipt, err := w.Publish(ctx, delivery(event))
		if receipt != (webhook.Receipt{Topic: batchTopic}) || !errors.Is(err, webhook.ErrNotPublished) || !errors.Is(err, want) ||
			!strings.Contains(err.Error(), batchTopic) {
			t.Errorf("%v, %v; want not published, %v, with the topic", receipt, err, want)
		}
	}
	if w.n != 0 {
		t.Errorf("%d attempts", w.n)
	}
}

// An attempt may have been applied although its answer got lost: what the next
// one says counts no more.
func TestRefusalOfALaterAttemptIsNot(t *testing.T) {
	for _, first := range []codes.Code{codes.Unavailable, codes.Unknown, codes.Internal, codes.Aborted, codes.ResourceExhausted} {
		for _, second := range refusals {
			w := open(t)
			w.attempt = func(_ context.Context, n int, _ *pubsubpb.PublishResponse, send func() error) error {
				if n == 1 {
					if err := send(); err != nil {
						t.Error(err)
					}
					return status.Error(first, "injected: the answer got lost")
				}
				return status.Error(second, "injected")
			}
			receipt, err := w.Publish(t.Context(), delivery(event))
			wantFailure(t, receipt, err, second, false)
			if w.n != 2 {
				t.Errorf("%v, %v: %d attempts", first, second, w.n)
			}
			w.published(t)
		}
	}
}

// Every other failure leaves it open.
func TestOtherFailuresAreNotCertain(t *testing.T) {
	for _, code := range []codes.Code{
		codes.AlreadyExists, codes.OutOfRange, codes.Unauthenticated, codes.Unimplemented, codes.DataLoss,
		codes.Canceled, codes.DeadlineExceeded,
	} {
		w := open(t)
		w.attempt = func(context.Context, int, *pubsubpb.PublishResponse, func() error) error {
			return status.Error(code, "injected")
		}
		receipt, err := w.Publish(t.Context(), delivery(event))
		wantFailure(t, receipt, err, code, false)
		if w.n != 1 {
			t.Errorf("%v: %d attempts", code, w.n)
		}
	}
}

func TestTransientFailuresAreTriedAgain(t *testing.T) {
	w := open(t)
	w.attempt = func(_ context.Context, n int, _ *pubsubpb.PublishResponse, send func() error) error {
		if n < 3 {
			return status.Error(codes.Unavailable, "injected")
		}
		return send()
	}
	receipt, err := w.Publish(t.Context(), delivery(event))
	if m := w.published(t); err != nil || receipt != (webhook.Receipt{Topic: batchTopic, MessageID: m.MessageId, Attempts: 3}) || w.n != 3 {
		t.Errorf("%+v, %v, %d attempts", receipt, err, w.n)
	}
}

func TestPublishObeysItsContext(t *testing.T) {
	for name, attempt := range map[string]func(ctx context.Context) error{
		"hang": func(ctx context.Context) error {
			<-ctx.Done()
			return status.FromContextError(ctx.Err()).Err()
		},
		"unavailable": func(context.Context) error { return status.Error(codes.Unavailable, "injected") },
	} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.attempt = func(ctx context.Context, _ int, _ *pubsubpb.PublishResponse, _ func() error) error {
				return attempt(ctx)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 150*time.Millisecond)
			defer cancel()
			receipt, err := w.Publish(ctx, delivery(event))
			wantFailure(t, receipt, err, status.Code(err), false)
			if err == nil || ctx.Err() == nil {
				t.Errorf("%v, context: %v", err, ctx.Err())
			}
		})
	}
}

// Without one message id there is no receipt, and no certainty.
func TestAnswerWithoutOneID(t *testing.T) {
	for name, ids := range map[string][]string{"none": nil, "two": {"1", "2"}} {
		t.Run(name, func(t *testing.T) {
			w := open(t)
			w.attempt = func(_ context.Context, _ int, reply *pubsubpb.PublishResponse, _ func() error) error {
				reply.MessageIds = ids
				return nil
			}
			receipt, err := w.Publish(t.Context(), delivery(event))
			wantFailure(t, receipt, err, codes.Unknown, false)
		})
	}
}

// Each message is published once and has an id of its own, in whatever calls.
func TestPublishConcurrently(t *testing.T) {
	w := open(t)
	var all sync.WaitGroup
	var ids sync.Map
	for range 20 {
		all.Go(func() {
			receipt, err := w.Publish(t.Context(), delivery(event))
			if _, used := ids.LoadOrStore(receipt.MessageID, true); err != nil || used {
				t.Errorf("receipt %+v, %v", receipt, err)
			}
		})
	}
	all.Wait()
	if n := len(w.messages); n != 20 || w.n > 20 {
		t.Errorf("%d messages, %d calls", n, w.n)
	}
}

func TestOpenNeedsTheRouteForOtherTypes(t *testing.T) {
	for _, routes := range []publish.Routes{nil, {}, {"batch": batchTopic}} {
		publisher, err := publish.Open(t.Context(), routes, option.WithoutAuthentication())
		if err == nil {
			_ = publisher.Close()
			t.Errorf("%v: opened", routes)
		} else if !strings.Contains(err.Error(), `"*"`) {
			t.Errorf("%v: %v", routes, err)
		}
	}
}

// Where PUBSUB_EMULATOR_HOST is set the client connects there by itself.
func TestEmulatorHost(t *testing.T) {
	w := open(t)
	t.Setenv("PUBSUB_EMULATOR_HOST", w.addr)
	publisher, err := publish.Open(t.Context(), publish.Routes{"*": otherTopic})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = publisher.Close() }()
	if err := publisher.Warm(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := publisher.Publish(t.Context(), delivery(event)); err != nil {
		t.Error(err)
	}
	if m := w.published(t); m.topic != otherTopic {
		t.Errorf("topic %s", m.topic)
	}
}
