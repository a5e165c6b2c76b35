package dedup

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gcptest/proxy"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A batch is a call that writes; its request is nil if it is a Commit.
type batch struct {
	writes  []*firestorepb.Write
	request *firestorepb.BatchWriteRequest
	reply   *firestorepb.BatchWriteResponse
	apply   func() error // has the server act
}

func (b *batch) claims() bool { return b.writes[0].CurrentDocument != nil }

// company are deliveries that arrive at one ledger at the same time. Each call takes a
// millisecond, and the first delivery is ahead by half of one, so that the others share
// their calls.
type company struct {
	ledger     *Ledger
	deliveries []*webhook.Delivery
	publishers []publisher
	errs       []error
	took       []time.Duration

	fault func(ctx context.Context, b *batch) error

	batches atomic.Int32
}

func newCompany(t *testing.T) *company {
	const size = 4
	c := &company{publishers: make([]publisher, size), errs: make([]error, size), took: make([]time.Duration, size)}
	c.ledger = bubbleLedger(t, grpc.WithUnaryInterceptor(c.intercept))
	for range size {
		c.deliveries = append(c.deliveries, newDelivery())
	}
	c.fault = func(_ context.Context, b *batch) error { return b.apply() }
	return c
}

func (c *company) intercept(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	time.Sleep(time.Millisecond)
	apply := func() error { return invoke(ctx, method, req, reply, conn, opts...) }
	switch req := req.(type) {
	case *firestorepb.CommitRequest:
		return c.fault(ctx, &batch{writes: req.Writes, apply: apply})
	case *firestorepb.BatchWriteRequest:
		c.batches.Add(1)
		return c.fault(ctx, &batch{req.Writes, req, reply.(*firestorepb.BatchWriteResponse), apply})
	}
	return apply()
}

// deliver begins all deliveries, the nth with n+1 seconds for claim and publish, and
// returns when all calls have ended.
func (c *company) deliver(t *testing.T) {
	var all sync.WaitGroup
	for i, d := range c.deliveries {
		all.Go(func() {
			if i > 0 {
				time.Sleep(500 * time.Microsecond)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Duration(i+1)*time.Second)
			defer cancel()
			began := time.Now()
			_, c.errs[i] = c.ledger.Once(ctx, d, c.publishers[i].publish)
			c.took[i] = time.Since(began)
		})
	}
	all.Wait()
	time.Sleep(time.Minute)
	if c.batches.Load() == 0 {
		t.Error("no call was shared")
	}
}

// check compares a delivery's outcome.
func (c *company) check(t *testing.T, i int, err error, published int32, state string) {
	t.Helper()
	record, _ := (&store{t: t}).record(c.ledger, c.deliveries[i])
	if got := c.publishers[i].published.Load(); !errors.Is(c.errs[i], err) || got != published || record.State != state {
		t.Errorf("delivery %d: %v, published %d times, %q; want %v, %d, %q", i, c.errs[i], got, record.State, err, published, state)
	}
}

// inBubble runs a test in a bubble, into which no socket leads.
func inBubble(t *testing.T, test func(t *testing.T)) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	synctest.Test(t, test)
}

func fails(code codes.Code) func(context.Context, *batch) error {
	return func(context.Context, *batch) error { return status.Error(code, "injected") }
}

// middleFails answers for one of the writes that it failed, whether it did or not.
func middleFails(code codes.Code, made bool) func(context.Context, *batch) error {
	return func(_ context.Context, b *batch) error {
		all := b.request.Writes
		if !made {
			b.request.Writes = slices.Delete(slices.Clone(all), 1, 2)
		}
		if err := b.apply(); err != nil {
			return err
		}
		b.request.Writes = all
		if !made {
			b.reply.Status = slices.Insert(b.reply.Status, 1, nil)
			b.reply.WriteResults = slices.Insert(b.reply.WriteResults, 1, &firestorepb.WriteResult{})
		}
		b.reply.Status[1] = status.New(code, "injected").Proto()
		return nil
	}
}

// A fault of one shared call harms no delivery in it: each is published once.
func TestSharedFault(t *testing.T) {
	for name, fault := range map[string]func(context.Context, *batch) error{
		"refused":           fails(codes.Unavailable),
		"aborted":           fails(codes.Aborted),
		"permission denied": fails(codes.PermissionDenied),
		"one is malformed":  fails(codes.InvalidArgument),
		"reply lost": func(_ context.Context, b *batch) error {
			_ = b.apply()
			return proxy.Refuse()
		},
		"made, answered Internal": func(_ context.Context, b *batch) error {
			_ = b.apply()
			return status.Error(codes.Internal, "injected")
		},
		"too few answers": func(_ context.Context, b *batch) error {
			err := b.apply()
			b.reply.Status = b.reply.Status[:1]
			return err
		},
		"one aborted":           middleFails(codes.Aborted, false),
		"one refused":           middleFails(codes.Unavailable, false),
		"one's outcome unknown": middleFails(codes.Unavailable, true),
		"one's deadline":        middleFails(codes.DeadlineExceeded, true),
	} {
		for kind, claims := range map[string]bool{"claim": true, "mark": false} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				inBubble(t, func(t *testing.T) {
					c := newCompany(t)
					var struck atomic.Bool
					c.fault = func(ctx context.Context, b *batch) error {
						if b.request == nil || b.claims() != claims || struck.Swap(true) {
							return b.apply()
						}
						return fault(ctx, b)
					}
					c.deliver(t)
					for i := range c.deliveries {
						c.check(t, i, nil, 1, StateDone)
					}
					if !struck.Load() {
						t.Error("the fault never came")
					}
				})
			})
		}
	}
}

// A record that exists is one delivery's duplicate and nothing to the others, and costs
// no further write.
func TestSharedDuplicate(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCompany(t)
		if _, err := c.ledger.Once(t.Context(), c.deliveries[2], c.publishers[2].publish); err != nil {
			t.Fatal(err)
		}
		c.fault = func(_ context.Context, b *batch) error {
			if name := c.ledger.records.Doc(DocumentID(c.deliveries[2])).Path; b.request == nil && b.writes[0].GetUpdate().Name == name {
				t.Error("the duplicate's claim was made again")
			}
			return b.apply()
		}
		c.deliver(t)
		for i := range c.deliveries {
			if i != 2 {
				c.check(t, i, nil, 1, StateDone)
			}
		}
		c.check(t, 2, webhook.ErrDuplicate, 1, StateDone)
	})
}

// If a shared claim has no outcome, each delivery fails at its own deadline, and none is
// published.
func TestSharedClaimLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCompany(t)
		c.fault = func(ctx context.Context, b *batch) error {
			if b.request != nil && b.claims() {
				return proxy.Hang(ctx)
			}
			return b.apply()
		}
		c.deliver(t)
		c.check(t, 0, nil, 1, StateDone)
		for i := 1; i < len(c.deliveries); i++ {
			if err := c.errs[i]; !errors.Is(err, context.DeadlineExceeded) && status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("delivery %d: %v, want a deadline", i, err)
			}
			c.check(t, i, c.errs[i], 0, "")
			// At the latest deadline the call ends as well, which may lead to one more.
			if want := time.Duration(i+1) * time.Second; c.took[i] < want || c.took[i] > want+time.Millisecond {
				t.Errorf("delivery %d failed after %v, want %v", i, c.took[i], want)
			}
		}
	})
}

// If no mark has an outcome, each delivery is published, and none is lost.
func TestSharedMarkLost(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCompany(t)
		c.fault = func(ctx context.Context, b *batch) error {
			if !b.claims() {
				return proxy.Hang(ctx)
			}
			return b.apply()
		}
		c.deliver(t)
		for i := range c.deliveries {
			c.check(t, i, webhook.ErrUnmarked, 1, StateClaimed)
		}
	})
}

// A panic in a shared call is a failure of all in it, and the ledger goes on.
func TestSharedPanic(t *testing.T) {
	inBubble(t, func(t *testing.T) {
		c := newCompany(t)
		c.fault = func(_ context.Context, b *batch) error {
			if b.request != nil {
				panic("broken")
			}
			return b.apply()
		}
		c.deliver(t)
		for i := 1; i < len(c.deliveries); i++ {
			if c.errs[i] == nil || !strings.Contains(c.errs[i].Error(), "panic: broken") {
				t.Errorf("delivery %d: %v", i, c.errs[i])
			}
			if _, err := c.ledger.Once(t.Context(), c.deliveries[i], c.publishers[i].publish); err != nil {
				t.Errorf("delivery %d again: %v", i, err)
			}
		}
	})
}

// A release works with the update time that a shared claim returned.
func TestSharedRelease(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		const rounds = 20 // in one of which deliveries are at the same time
		l := s.ledger()
		for range rounds {
			var all sync.WaitGroup
			for range 30 {
				all.Go(func() {
					d, refused := newDelivery(), publisher{err: webhook.ErrNotPublished}
					if _, err := l.Once(t.Context(), d, refused.publish); err != webhook.ErrNotPublished {
						t.Error(err) // with that of a failed release
					}
					if r, ok := s.record(l, d); ok {
						t.Errorf("after a release there is %+v", r)
					}
				})
			}
			all.Wait()
			if slices.Contains(s.Calls(), batchWrite) {
				return
			}
		}
		t.Error("no call was shared")
	})
}

// No call has two writes to one document, which Firestore refuses.
func TestFits(t *testing.T) {
	write := func(name string) *firestorepb.Write {
		return &firestorepb.Write{Operation: &firestorepb.Write_Update{Update: &firestorepb.Document{Name: name}}}
	}
	writes := []*firestorepb.Write{write("a"), write("b")}
	if fits(writes, write("b")) || !fits(writes, write("c")) {
		t.Error("a call may have two writes to one document, or none to another")
	}
	if fits(slices.Repeat(writes, maxWrites/2), write("c")) {
		t.Errorf("a call may have more than %d writes", maxWrites)
	}
}
