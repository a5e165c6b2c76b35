package publish_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A bubble is a publisher whose calls are answered, after a millisecond, before they
// reach a wire.
type bubble struct {
	*publish.Publisher

	// answer is the outcome of the nth call, counted from 1; nil: success.
	answer func(ctx context.Context, n int, bodies []string) error

	mu        sync.Mutex
	calls     []string // bodies
	published []string // bodies in the order of their ids, from 1
}

func newBubble(t *testing.T) *bubble {
	b := new(bubble)
	var err error
	b.Publisher, err = publish.Open(t.Context(), publish.Routes{"batch": batchTopic, "*": otherTopic},
		option.WithEndpoint("passthrough:///nowhere"), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithUnaryInterceptor(b.intercept)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func (b *bubble) intercept(ctx context.Context, _ string, req, reply any, _ *grpc.ClientConn, _ grpc.UnaryInvoker, _ ...grpc.CallOption) error {
	request := req.(*pubsubpb.PublishRequest)
	var bodies []string
	for _, m := range request.Messages {
		bodies = append(bodies, fmt.Sprintf("%.1s", m.Data))
	}
	b.mu.Lock()
	b.calls = append(b.calls, strings.Join(bodies, ""))
	n := len(b.calls)
	b.mu.Unlock()
	time.Sleep(time.Millisecond)
	if b.answer != nil {
		if err := b.answer(ctx, n, bodies); err != nil {
			return err
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, body := range bodies {
		b.published = append(b.published, body)
		reply.(*pubsubpb.PublishResponse).MessageIds = append(reply.(*pubsubpb.PublishResponse).MessageIds, fmt.Sprint(len(b.published)))
	}
	return nil
}

// publishAll publishes bodies at the same time, the first a little ahead, so that the
// others share a call. The nth has n+1 seconds.
func (b *bubble) publishAll(t *testing.T, bodies ...string) (receipts []webhook.Receipt, errs []error, took []time.Duration) {
	receipts, errs, took = make([]webhook.Receipt, len(bodies)), make([]error, len(bodies)), make([]time.Duration, len(bodies))
	var all sync.WaitGroup
	for i, body := range bodies {
		all.Go(func() {
			time.Sleep(time.Duration(i) * 10 * time.Microsecond)
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
			defer cancel()
			began := time.Now()
			receipts[i], errs[i] = b.Publish(ctx, delivery(body))
			took[i] = time.Since(began)
		})
	}
	all.Wait()
	time.Sleep(time.Minute) // all calls have ended
	return receipts, errs, took
}

func (b *bubble) wantCalls(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(b.calls, want) {
		t.Errorf("calls %q, want %q", b.calls, want)
	}
}

func onSecond(err error) func(context.Context, int, []string) error {
	return func(_ context.Context, n int, _ []string) error {
		if n == 2 {
			return err
		}
		return nil
	}
}

// inBubble runs a test in a bubble, into which no socket leads.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	synctest.Test(t, test)
}

// Messages that arrive while a call is under way go in one call, and each has the id of
// its own.
func TestSharedCall(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBubble(t)
		receipts, errs, _ := b.publishAll(t, "a", "b", "c", "d")
		for i, body := range []string{"a", "b", "c", "d"} {
			want := webhook.Receipt{Topic: otherTopic, MessageID: fmt.Sprint(1 + slices.Index(b.published, body)), Attempts: 1}
			if errs[i] != nil || receipts[i] != want {
				t.Errorf("%s: %+v, %v, want %+v", body, receipts[i], errs[i], want)
			}
		}
		b.wantCalls(t, "a", "bcd")
	})
}

// A message that Pub/Sub finds fault with is refused, and its neighbours are published.
func TestSharedCallWithABadMessage(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBubble(t)
		b.answer = func(_ context.Context, _ int, bodies []string) error {
			if slices.Contains(bodies, "c") {
				return status.Error(codes.InvalidArgument, "injected")
			}
			return nil
		}
		receipts, errs, _ := b.publishAll(t, "a", "b", "c", "d")
		for i, err := range errs {
			if i == 2 {
				wantFailure(t, receipts[i], err, codes.InvalidArgument, true)
			} else if err != nil {
				t.Errorf("message %d: %v", i, err)
			}
		}
		slices.Sort(b.published)
		if got := strings.Join(b.published, ""); got != "abd" {
			t.Errorf("published %s", got)
		}
		if b.calls[1] != "bcd" {
			t.Errorf("calls %q", b.calls)
		}
	})
}

// A refusal that is the topic's is certain for all, and asked for once.
func TestSharedCallRefused(t *testing.T) {
	for _, code := range []codes.Code{codes.NotFound, codes.PermissionDenied, codes.FailedPrecondition} {
		inBubble(t, func(t *testing.T) {
			b := newBubble(t)
			b.answer = onSecond(status.Error(code, "injected"))
			receipts, errs, _ := b.publishAll(t, "a", "b", "c")
			for i := 1; i < len(errs); i++ {
				wantFailure(t, receipts[i], errs[i], code, true)
			}
			b.wantCalls(t, "a", "bc")
		})
	}
}

// Behind a refusal of a later attempt one that was applied may hide: it is certain for
// none, and no message is published again.
func TestSharedCallRefusedLater(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBubble(t)
		b.answer = func(_ context.Context, n int, _ []string) error {
			return []error{nil, status.Error(codes.Unavailable, "injected"), status.Error(codes.InvalidArgument, "injected")}[n-1]
		}
		receipts, errs, _ := b.publishAll(t, "a", "b", "c")
		for i := 1; i < len(errs); i++ {
			wantFailure(t, receipts[i], errs[i], codes.InvalidArgument, false)
		}
		b.wantCalls(t, "a", "bc", "bc")
	})
}

// If a shared call has no outcome, each message fails at its own deadline, with none.
func TestSharedCallLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBubble(t)
		b.answer = func(ctx context.Context, n int, _ []string) error {
			if n == 2 {
				<-ctx.Done()
				return status.FromContextError(ctx.Err()).Err()
			}
			return nil
		}
		_, errs, took := b.publishAll(t, "a", "b", "c")
		for i := 1; i < len(errs); i++ {
			if !errors.Is(errs[i], context.DeadlineExceeded) && status.Code(errs[i]) != codes.DeadlineExceeded || errors.Is(errs[i], webhook.ErrNotPublished) {
				t.Errorf("message %d: %v", i, errs[i])
			}
			if want := time.Duration(i+1) * time.Second; took[i] != want {
				t.Errorf("message %d failed after %v, want %v", i, took[i], want)
			}
		}
	})
}

// A message whose caller no longer waits is not sent again, and its caller knows how many
// attempts may have published it. The others go on without it.
func TestSharedCallAbandoned(t *testing.T) {
	lost := status.Error(codes.Unavailable, "injected")
	for _, test := range []struct {
		name             string
		quick            []error // results of the first attempts of the shared call
		slow             error   // of the one under way when b's caller leaves
		calls, published string
		abandoned, other int // attempts of b, and of c
	}{
		{"first attempt lost", nil, lost, "a bc c", "ac", 1, 2},
		{"second attempt lost", []error{lost}, lost, "a bc bc c", "ac", 2, 3},
		{"first attempt applied", nil, nil, "a bc", "abc", 1, 1},
		{"second attempt applied", []error{lost}, nil, "a bc bc", "abc", 2, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			inBubble(t, func(t *testing.T) {
				b := newBubble(t)
				b.answer = func(_ context.Context, n int, _ []string) error {
					switch attempt := n - 2; { // of the shared call, from 0
					case attempt >= 0 && attempt < len(test.quick):
						return test.quick[attempt]
					case attempt == len(test.quick):
						time.Sleep(2500 * time.Millisecond) // b has two seconds, c three
						return test.slow
					}
					return nil
				}
				receipts, errs, took := b.publishAll(t, "a", "b", "c")
				if !errors.Is(errs[1], context.DeadlineExceeded) || took[1] != 2*time.Second || receipts[1].Attempts != test.abandoned {
					t.Errorf("b: %+v, %v after %v, want %d attempts", receipts[1], errs[1], took[1], test.abandoned)
				}
				if errs[2] != nil || receipts[2].Attempts != test.other {
					t.Errorf("c: %+v, %v, want %d attempts", receipts[2], errs[2], test.other)
				}
				slices.Sort(b.published)
				if got := strings.Join(b.published, ""); got != test.published {
					t.Errorf("published %s, want %s", got, test.published)
				}
				b.wantCalls(t, strings.Fields(test.calls)...)
			})
		})
	}
}

// A panic in a shared call leaves the outcome of each message unknown.
func TestSharedCallPanics(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBubble(t)
		b.answer = func(_ context.Context, n int, _ []string) error {
			if n == 2 {
				panic("broken")
			}
			return nil
		}
		_, errs, _ := b.publishAll(t, "a", "b", "c")
		for i := 1; i < len(errs); i++ {
			if errs[i] == nil || errors.Is(errs[i], webhook.ErrNotPublished) || !strings.Contains(errs[i].Error(), "panic: broken") {
				t.Errorf("message %d: %v", i, errs[i])
			}
		}
		if _, err := b.Publish(t.Context(), delivery("d")); err != nil {
			t.Error(err)
		}
	})
}

// A large message does not delay small ones, and one topic does not delay another.
func TestWhatIsNotShared(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		b := newBubble(t)
		large := "c" + strings.Repeat(" ", 1<<20-1)
		if _, errs, _ := b.publishAll(t, "a", "b", large, "d", `{"type":"batch.succeeded"}`); errors.Join(errs...) != nil {
			t.Error(errs)
		}
		b.wantCalls(t, "a", "c", "{", "bd")
	})
}
