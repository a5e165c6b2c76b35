package dedup

import (
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gcptest/emulator/emulatortest"
	"github.com/geminihook/geminihook/shared/gcptest/proxy"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// The methods of Firestore that a ledger calls.
const (
	commit     = "/google.firestore.v1.Firestore/Commit"
	batchWrite = "/google.firestore.v1.Firestore/BatchWrite"
	get        = "/google.firestore.v1.Firestore/BatchGetDocuments"
	begin      = "/google.firestore.v1.Firestore/BeginTransaction"
)

// onBoth runs a test on the embedded Firestore and on the official emulator.
func onBoth(t *testing.T, test func(t *testing.T, s *store)) {
	t.Run("embedded", func(t *testing.T) {
		server, err := gcptest.Start("127.0.0.1:0", gcptest.NewFirestore())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		test(t, newStore(t, server.Addr(), "test-project"))
	})
	t.Run("official", func(t *testing.T) {
		addr, project := emulatortest.Firestore(t)
		test(t, newStore(t, addr, project))
	})
}

// store is a Firestore behind a wire on which a test may interfere.
type store struct {
	t       *testing.T
	project string
	wire    *proxy.Proxy
	proxy.Recorder
}

func newStore(t *testing.T, addr, project string) *store {
	s := &store{t: t, project: project}
	var err error
	if s.wire, err = proxy.Start(addr, s.Handle); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.wire.Close() })
	t.Setenv("FIRESTORE_EMULATOR_HOST", s.wire.Addr) // goes before any option
	return s
}

// ledger returns one instance's ledger: each has connections of its own.
func (s *store) ledger() *Ledger {
	s.t.Helper()
	l, err := Open(s.t.Context(), s.project, "(default)", "deliveries")
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	return l
}

// record returns a delivery's record as it is in the store, and whether there is
// one.
func (s *store) record(l *Ledger, d *webhook.Delivery) (Record, bool) {
	s.t.Helper()
	seen, err := stored{l.client, l.writes, l.records.Doc(DocumentID(d))}.read(s.t.Context())
	if errors.Is(err, errChanged) {
		return Record{}, false
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return seen.Record, true
}

// once lets the first call that test picks go wrong.
func once(test func(method string) bool, fault proxy.Handler) proxy.Handler {
	var done atomic.Bool
	return func(ctx context.Context, method string, forward func() error) error {
		if test(method) && done.CompareAndSwap(false, true) {
			return fault(ctx, method, forward)
		}
		return forward()
	}
}

func is(wanted string) func(string) bool {
	return func(method string) bool { return method == wanted }
}

// loseReply has the server act and the client not learn of it.
func loseReply(_ context.Context, _ string, forward func() error) error {
	if err := forward(); err != nil {
		return err
	}
	return proxy.Refuse()
}

func refuse(context.Context, string, func() error) error { return proxy.Refuse() }

func newDelivery() *webhook.Delivery {
	body := webhooktest.NewEvent("batch.succeeded")
	return &webhook.Delivery{
		Endpoint: webhook.StaticEndpoint,
		Scheme:   webhook.V1,
		ID:       webhooktest.NewID(),
		Received: time.Now(),
		Body:     body,
		Event:    webhook.ParseEvent(body),
	}
}

var receipt = webhook.Receipt{Topic: "projects/p/topics/batch", MessageID: "7"}

// publisher counts what a ledger lets through.
type publisher struct {
	published atomic.Int32
	err       error
}

func (p *publisher) publish(context.Context) (webhook.Receipt, error) {
	if p.err != nil {
		return webhook.Receipt{}, p.err
	}
	p.published.Add(1)
	return receipt, nil
}

func (p *publisher) want(t *testing.T, n int32) {
	t.Helper()
	if got := p.published.Load(); got != n {
		t.Errorf("published %d times, want %d", got, n)
	}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("Once = %v, want %v", err, want)
	}
}

func wantBusy(t *testing.T, err error, lease time.Duration) {
	t.Helper()
	var busy *webhook.BusyError
	if !errors.As(err, &busy) || busy.RetryAfter <= 0 || busy.RetryAfter > lease {
		t.Errorf("Once = %v, want busy for more than 0 and at most %v", err, lease)
	}
}

func TestOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		ctx, l, d := t.Context(), s.ledger(), newDelivery()
		var p publisher

		got, err := l.Once(ctx, d, p.publish)
		if err != nil || got != receipt {
			t.Fatalf("Once = %v, %v, want %v", got, err, receipt)
		}
		p.want(t, 1)
		if calls := s.Calls(); !slices.Equal(calls, []string{commit, commit}) {
			t.Errorf("an accepted delivery called %v, want claim and mark", calls)
		}
		r, _ := s.record(l, d)
		s.Calls()
		if r.State != StateDone || r.Attempts != 1 || r.WebhookID != d.ID || r.Endpoint != d.Endpoint ||
			r.Type != "batch.succeeded" || r.JobID != d.Event.JobID || r.BodySHA256 != bodySHA256(d) ||
			r.Topic != receipt.Topic || r.MessageID != receipt.MessageID || r.Owner == "" ||
			r.DoneAt.Before(r.ClaimedAt) || r.ExpireAt.Sub(r.DoneAt) != DefaultRetention {
			t.Errorf("the record reads %+v", r)
		}

		_, err = l.Once(ctx, d, p.publish)
		wantErr(t, err, webhook.ErrDuplicate)
		if errors.Is(err, webhook.ErrMismatch) {
			t.Errorf("Once of the same body = %v", err)
		}
		p.want(t, 1)
		if calls := s.Calls(); !slices.Equal(calls, []string{commit, get}) {
			t.Errorf("a duplicate called %v, want the refused claim and a read", calls)
		}

		other := *d
		other.Body = []byte("{}")
		_, err = l.Once(ctx, &other, p.publish)
		wantErr(t, err, webhook.ErrMismatch)
		p.want(t, 1)
	})
}

// What is in the store is read by other releases, by the TTL policy and by people:
// where a record is, and the names of its fields, after a claim as after a takeover.
func TestStoredForm(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		l := s.ledger()
		d := &webhook.Delivery{Endpoint: "static", ID: "msg_1", Body: []byte(`{"type":"t","data":{"id":"j"}}`), Event: webhook.Event{Type: "t", JobID: "j"}}
		want := []string{
			"attempts", "body_sha256", "claimed_at", "done_at", "endpoint", "expire_at", "job_id",
			"message_id", "owner", "state", "topic", "type", "webhook_id",
		}
		look := func(state string) {
			t.Helper()
			// printf 'static\nmsg_1' | sha256sum
			doc, err := l.records.Doc("97e9fa5422d04f5deb84ac4ee5354552a958c9138a11aea9aa21e5f57bf3a8d2").Get(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if names := slices.Sorted(maps.Keys(doc.Data())); !slices.Equal(names, want) || doc.Data()["state"] != state {
				t.Errorf("%s: %v", state, doc.Data())
			}
		}
		abandon(t, s, d)
		look("claimed")
		l.Lease = expiredAtOnce
		_, err := l.Once(t.Context(), d, func(context.Context) (webhook.Receipt, error) {
			look("claimed")
			return receipt, nil
		})
		if err != nil {
			t.Error(err)
		}
		look("done")
	})
}

// What makes two deliveries one, and what does not.
func TestIdentity(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		l := s.ledger()
		var p publisher
		once := func(change func(*webhook.Delivery), d webhook.Delivery) error {
			change(&d)
			_, err := l.Once(t.Context(), &d, p.publish)
			return err
		}
		signed, token := *newDelivery(), *newDelivery()
		token.Endpoint, token.Scheme = webhook.DynamicEndpoint, webhook.JWT
		same := func(*webhook.Delivery) {}
		for _, err := range []error{
			once(same, signed),
			once(func(d *webhook.Delivery) { d.ID += "-other" }, signed),
			once(func(d *webhook.Delivery) { d.Endpoint = webhook.DynamicEndpoint }, signed),
			once(same, token),
			once(func(d *webhook.Delivery) { d.Body = []byte("{}") }, token), // a token binds no id
		} {
			if err != nil {
				t.Error(err)
			}
		}
		wantErr(t, once(same, signed), webhook.ErrDuplicate)
		wantErr(t, once(same, token), webhook.ErrDuplicate)
		p.want(t, 5)
	})
}

func TestBusyUntilDone(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		ctx, d := t.Context(), newDelivery()
		first, second := s.ledger(), s.ledger()
		var p publisher
		_, err := first.Once(ctx, d, func(ctx context.Context) (webhook.Receipt, error) {
			_, err := second.Once(ctx, d, p.publish)
			wantBusy(t, err, DefaultLease)
			return p.publish(ctx)
		})
		if err != nil {
			t.Fatal(err)
		}
		p.want(t, 1)
		_, err = second.Once(ctx, d, p.publish)
		wantErr(t, err, webhook.ErrDuplicate)
	})
}

// A failure that leaves it open whether the message is out keeps the claim, and the
// next owner comes after the lease.
func TestExpiredLease(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d := newDelivery()
		abandon(t, s, d)
		var p publisher
		second := s.ledger()
		_, err := second.Once(t.Context(), d, p.publish)
		wantBusy(t, err, DefaultLease)
		p.want(t, 0)

		second.Lease = expiredAtOnce
		s.Calls()
		if _, err := second.Once(t.Context(), d, p.publish); err != nil {
			t.Fatal(err)
		}
		p.want(t, 1)
		if calls := s.Calls(); !slices.Equal(calls, []string{commit, get, begin, commit, commit}) {
			t.Errorf("a takeover called %v", calls)
		}
		if r, _ := s.record(second, d); r.State != StateDone || r.Attempts != 2 {
			t.Errorf("the record is %s after %d attempts, want done after 2", r.State, r.Attempts)
		}
	})
}

// Of many that find an expired lease at once one publishes, and none waits for a
// lock.
func TestTakeoverRace(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d := newDelivery()
		abandon(t, s, d)
		// All read before any writes; who lost looks again when the winner is done.
		const n = 10
		var reads atomic.Int32
		allRead, done := make(chan struct{}), make(chan struct{})
		s.Interfere(func(_ context.Context, method string, forward func() error) error {
			if method != get {
				return forward()
			}
			number := reads.Add(1)
			if number > n {
				<-done
			}
			err := forward()
			if number == n {
				close(allRead)
			}
			<-allRead
			return err
		})
		var p publisher
		var duplicates atomic.Int32
		var all sync.WaitGroup
		for range n {
			l := s.ledger()
			l.Lease = expiredAtOnce
			all.Go(func() {
				switch _, err := l.Once(t.Context(), d, p.publish); {
				case err == nil:
					close(done)
				case errors.Is(err, webhook.ErrDuplicate):
					duplicates.Add(1)
				default:
					t.Errorf("a takeover ended with %v", err)
				}
			})
		}
		all.Wait()
		p.want(t, 1)
		if got := duplicates.Load(); got != n-1 {
			t.Errorf("%d learnt that it was done, want %d", got, n-1)
		}
	})
}

// expiredAtOnce is a lease that has expired before anything can read it.
const expiredAtOnce = time.Nanosecond

// abandon leaves a claim behind whose owner never came back.
func abandon(t *testing.T, s *store, d *webhook.Delivery) {
	t.Helper()
	p := publisher{err: errors.New("outcome unknown")}
	if _, err := s.ledger().Once(t.Context(), d, p.publish); err != p.err {
		t.Fatalf("Once = %v, want the publisher's own error", err)
	}
	s.Calls()
}

// A refusal by Pub/Sub frees the delivery for the next attempt at once.
func TestRelease(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d, l := newDelivery(), s.ledger()
		refused := publisher{err: webhook.ErrNotPublished}
		_, err := l.Once(t.Context(), d, refused.publish)
		wantErr(t, err, webhook.ErrNotPublished)
		if r, ok := s.record(l, d); ok {
			t.Errorf("the record is still there: %+v", r)
		}

		// So does one after a takeover, whose update time is another.
		abandon(t, s, d)
		l.Lease = expiredAtOnce
		_, err = l.Once(t.Context(), d, refused.publish)
		wantErr(t, err, webhook.ErrNotPublished)
		if r, ok := s.record(l, d); ok {
			t.Errorf("the record is still there after a takeover: %+v", r)
		}

		var p publisher
		if _, err := s.ledger().Once(t.Context(), d, p.publish); err != nil {
			t.Error(err)
		}
		p.want(t, 1)
	})
}

// An owner that stalled past its lease neither takes back what it has given away
// nor undoes the next owner's work.
func TestStalledOwner(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		stall := func(first, second error) (Record, *webhook.Delivery) {
			d, stalled, next := newDelivery(), s.ledger(), s.ledger()
			next.Lease = expiredAtOnce
			stalled.Once(t.Context(), d, func(context.Context) (webhook.Receipt, error) {
				next.Once(t.Context(), d, func(context.Context) (webhook.Receipt, error) { return receipt, second })
				return receipt, first
			})
			r, _ := s.record(next, d)
			return r, d
		}
		if r, _ := stall(webhook.ErrNotPublished, nil); r.State != StateDone {
			t.Errorf("a stalled owner's release left %+v, want done", r)
		}
		if r, _ := stall(webhook.ErrNotPublished, errors.New("unknown")); r.State != StateClaimed || r.Attempts != 2 {
			t.Errorf("a stalled owner's release left %+v, want the next owner's claim", r)
		}
		if r, _ := stall(nil, webhook.ErrNotPublished); r.State != StateDone {
			t.Errorf("a stalled owner's mark after the next one's release left %+v, want done", r)
		}
		if r, _ := stall(nil, nil); r.State != StateDone {
			t.Errorf("two owners left %+v, want done", r)
		}
	})
}

// A reply that got lost is not somebody else's claim.
func TestLostReplies(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		t.Run("claim", func(t *testing.T) {
			d, l := newDelivery(), s.ledger()
			var p publisher
			s.Interfere(once(is(commit), loseReply))
			if _, err := l.Once(t.Context(), d, p.publish); err != nil {
				t.Error(err)
			}
			p.want(t, 1)
		})
		t.Run("takeover", func(t *testing.T) {
			d, l := newDelivery(), s.ledger()
			abandon(t, s, d)
			var p publisher
			var commits atomic.Int32 // the first is the claim that is refused
			s.Interfere(once(func(method string) bool {
				return method == commit && commits.Add(1) == 2
			}, loseReply))
			l.Lease = expiredAtOnce
			if _, err := l.Once(t.Context(), d, p.publish); err != nil {
				t.Error(err)
			}
			p.want(t, 1)
			if r, _ := s.record(l, d); r.State != StateDone || r.Attempts != 2 {
				t.Errorf("the record is %s after %d attempts, want done after 2", r.State, r.Attempts)
			}
		})
		for _, code := range []codes.Code{codes.FailedPrecondition, codes.InvalidArgument, codes.NotFound} {
			t.Run("takeover answered "+code.String(), func(t *testing.T) {
				d, l := newDelivery(), s.ledger()
				abandon(t, s, d)
				var p publisher
				s.Interfere(func(_ context.Context, method string, forward func() error) error {
					if method == begin {
						s.Interfere(once(is(commit), func(context.Context, string, func() error) error { return status.Error(code, "somebody was there") }))
					}
					return forward()
				})
				l.Lease = expiredAtOnce
				if _, err := l.Once(t.Context(), d, p.publish); err != nil {
					t.Error(err)
				}
				p.want(t, 1)
			})
		}
		t.Run("mark", func(t *testing.T) {
			d, l := newDelivery(), s.ledger()
			var p publisher
			_, err := l.Once(t.Context(), d, func(ctx context.Context) (webhook.Receipt, error) {
				s.Interfere(once(is(commit), loseReply))
				return p.publish(ctx)
			})
			if err != nil {
				t.Error(err)
			}
			if r, _ := s.record(l, d); r.State != StateDone {
				t.Errorf("the record is %s, want done", r.State)
			}
		})
		t.Run("release", func(t *testing.T) {
			d, l := newDelivery(), s.ledger()
			_, err := l.Once(t.Context(), d, func(context.Context) (webhook.Receipt, error) {
				s.Interfere(once(is(commit), loseReply))
				return webhook.Receipt{}, webhook.ErrNotPublished
			})
			wantErr(t, err, webhook.ErrNotPublished)
			if _, ok := s.record(l, d); ok {
				t.Error("the record is still there")
			}
		})
	})
}

// What each step makes of each answer of Firestore's.
func TestAnswers(t *testing.T) {
	server, err := gcptest.Start("127.0.0.1:0", gcptest.NewFirestore())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	s := newStore(t, server.Addr(), "test-project")
	fault := errors.New("a fault of ours")
	seen := time.Unix(1, 0)
	for name, step := range map[string]struct {
		do   func(context.Context, stored) error
		want map[codes.Code]error // the others are faults
	}{
		"create": {
			func(ctx context.Context, d stored) error { _, err := d.create(ctx, new(Record)); return err },
			map[codes.Code]error{codes.AlreadyExists: errExists, codes.Aborted: errChanged},
		},
		"read": {
			func(ctx context.Context, d stored) error { _, err := d.read(ctx); return err },
			map[codes.Code]error{codes.NotFound: errChanged, codes.Aborted: errChanged},
		},
		"replace": {
			func(ctx context.Context, d stored) error { _, err := d.replace(ctx, new(Record), seen); return err },
			map[codes.Code]error{
				codes.FailedPrecondition: errChanged, codes.InvalidArgument: errChanged, codes.NotFound: errChanged, codes.Aborted: errChanged,
			},
		},
		"set":    {func(ctx context.Context, d stored) error { return d.set(ctx, new(Record)) }, nil},
		"remove": {func(ctx context.Context, d stored) error { return d.remove(ctx, seen) }, nil},
	} {
		for code := codes.Canceled; code <= codes.Unauthenticated; code++ {
			s.Interfere(func(_ context.Context, method string, forward func() error) error {
				if method == commit || method == get {
					return status.Error(code, "injected")
				}
				return forward()
			})
			want, timeout := fault, 100*time.Millisecond // the client repeats some until then
			if step.want[code] != nil {
				want, timeout = step.want[code], time.Minute
			}
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			l := s.ledger()
			err := step.do(ctx, stored{l.client, l.writes, l.records.Doc(rand.Text())})
			cancel()
			if want == fault && (err == nil || errors.Is(err, errExists) || errors.Is(err, errChanged)) ||
				want != fault && !errors.Is(err, want) {
				t.Errorf("%s answered %v: %v, want %v", name, code, err, want)
			}
			if calls := s.Calls(); want == errChanged && strings.Count(strings.Join(calls, " "), commit) > 1 {
				t.Errorf("%s answered %v: calls %v, want no second attempt without a look", name, code, calls)
			}
		}
	}
}

// A step that met another writer did not happen: the delivery comes through all the
// same, and a release is made.
func TestAborted(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		abort := func(context.Context, string, func() error) error { return status.Error(codes.Aborted, "contention") }
		for name, step := range map[string]struct {
			method    string
			abandoned bool
		}{
			"claim":    {commit, false},
			"read":     {get, true},
			"takeover": {begin, true},
		} {
			d, l := newDelivery(), s.ledger()
			if step.abandoned {
				abandon(t, s, d)
				l.Lease = expiredAtOnce
			}
			s.Interfere(once(is(step.method), abort))
			var p publisher
			if _, err := l.Once(t.Context(), d, p.publish); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			p.want(t, 1)
		}
		for _, publishes := range []error{nil, webhook.ErrNotPublished} {
			d, l := newDelivery(), s.ledger()
			_, err := l.Once(t.Context(), d, func(context.Context) (webhook.Receipt, error) {
				s.Interfere(once(is(commit), abort))
				return receipt, publishes
			})
			if !errors.Is(err, publishes) || err != nil && strings.Contains(err.Error(), "release") {
				t.Errorf("mark or release: %v, want %v", err, publishes)
			}
			r, ok := s.record(l, d)
			if publishes == nil && r.State != StateDone || publishes != nil && ok {
				t.Errorf("after a publish with %v the record is %+v", publishes, r)
			}
		}
	})
}

// A mark that got lost on the way leaves time for another.
func TestLostMark(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d, l := newDelivery(), s.ledger()
		_, err := l.Once(t.Context(), d, func(context.Context) (webhook.Receipt, error) {
			s.Interfere(once(is(commit), func(ctx context.Context, _ string, _ func() error) error { return proxy.Hang(ctx) }))
			return receipt, nil
		})
		if err != nil {
			t.Error(err)
		}
		if r, _ := s.record(l, d); r.State != StateDone {
			t.Errorf("the record is %s, want done", r.State)
		}
	})
}

// Where the mark cannot be made the delivery is on its topic all the same. The mark
// gives up within its own time, not the request's.
func TestUnmarked(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d, l := newDelivery(), s.ledger()
		ctx, cancel := context.WithCancel(t.Context())
		got, err := l.Once(ctx, d, func(context.Context) (webhook.Receipt, error) {
			s.Interfere(refuse)
			cancel()
			return receipt, nil
		})
		wantErr(t, err, webhook.ErrUnmarked)
		if got != receipt {
			t.Errorf("receipt %v, want %v", got, receipt)
		}
	})
}

// The sender's hanging up, or a deadline that passes while publishing, does not
// keep the mark from being made.
func TestMarkOutlivesContext(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d, l := newDelivery(), s.ledger()
		ctx, cancel := context.WithCancel(t.Context())
		if _, err := l.Once(ctx, d, func(context.Context) (webhook.Receipt, error) {
			cancel()
			return receipt, nil
		}); err != nil {
			t.Error(err)
		}
		if r, _ := s.record(l, d); r.State != StateDone {
			t.Errorf("the record is %s, want done", r.State)
		}
	})
}

// While Firestore is down nothing is published.
func TestStoreDown(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		for _, method := range []string{commit, get, begin} {
			d, l := newDelivery(), s.ledger()
			abandon(t, s, d)
			l.Lease = expiredAtOnce
			s.Interfere(func(ctx context.Context, called string, forward func() error) error {
				if called == method {
					return proxy.Refuse()
				}
				return forward()
			})
			ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
			var p publisher
			_, err := l.Once(ctx, d, p.publish)
			cancel()
			var busy *webhook.BusyError
			if err == nil || errors.Is(err, webhook.ErrDuplicate) || errors.As(err, &busy) {
				t.Errorf("with %s down Once = %v, want a fault of ours", method, err)
			}
			p.want(t, 0)
			s.Interfere(nil)
		}
	})
}

// A Firestore that falls silent in the middle of a takeover holds a delivery up for
// no longer than the claim's time.
func TestSilentTakeover(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d, l := newDelivery(), s.ledger()
		abandon(t, s, d)
		l.Lease = expiredAtOnce
		var begun atomic.Bool
		s.Interfere(func(ctx context.Context, method string, forward func() error) error {
			if begun.Load() {
				return proxy.Hang(ctx)
			}
			begun.Store(method == begin)
			return forward()
		})
		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		start := time.Now()
		var p publisher
		if _, err := l.Once(ctx, d, p.publish); err == nil {
			t.Error("Once succeeded")
		}
		p.want(t, 0)
		if took := time.Since(start); took > 3*time.Second {
			t.Errorf("gave up after %v", took)
		}
	})
}

// A record that vanishes between claim and read is no reason to lose the delivery.
func TestVanishedRecord(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d, l := newDelivery(), s.ledger()
		abandon(t, s, d)
		s.Interfere(once(is(get), func(_ context.Context, _ string, forward func() error) error {
			if _, err := l.records.Doc(DocumentID(d)).Delete(t.Context()); err != nil {
				t.Error(err)
			}
			return forward()
		}))
		var p publisher
		if _, err := l.Once(t.Context(), d, p.publish); err != nil {
			t.Error(err)
		}
		p.want(t, 1)
	})
}

// Records of another release, or of days ago.
func TestOtherRecords(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		l, d := s.ledger(), newDelivery()
		ref := l.records.Doc(DocumentID(d))
		set := func(change map[string]any) {
			fields := map[string]any{
				"endpoint": d.Endpoint, "webhook_id": d.ID, "body_sha256": bodySHA256(d), "state": StateDone,
				"owner": "another", "attempts": 3, "expire_at": time.Now().Add(time.Hour), "of_a_later_release": "x",
			}
			for name, value := range change {
				fields[name] = value
			}
			if _, err := ref.Set(t.Context(), fields); err != nil {
				t.Fatal(err)
			}
		}
		var p publisher

		set(nil)
		_, err := l.Once(t.Context(), d, p.publish)
		wantErr(t, err, webhook.ErrDuplicate)

		set(map[string]any{"state": "of a later release"})
		_, err = l.Once(t.Context(), d, p.publish)
		wantBusy(t, err, l.Lease)
		p.want(t, 0)

		set(map[string]any{"expire_at": time.Now().Add(-time.Hour)})
		if _, err := l.Once(t.Context(), d, p.publish); err != nil {
			t.Error(err)
		}
		p.want(t, 1)
		if r, _ := s.record(l, d); r.Attempts != 1 || !r.ExpireAt.After(time.Now()) {
			t.Errorf("an expired record left %+v, want a first attempt", r)
		}

		// What cannot be read is not judged.
		set(map[string]any{"state": 5})
		if _, err = l.Once(t.Context(), d, p.publish); err == nil || errors.Is(err, webhook.ErrDuplicate) {
			t.Errorf("%v", err)
		}
		p.want(t, 1)
	})
}

// The same id many times at once: one is published, the rest learn that it is busy
// or done, and no transaction is begun.
func TestManyCopies(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		d := newDelivery()
		var p publisher
		var won atomic.Int32
		var all sync.WaitGroup
		ledgers := []*Ledger{s.ledger(), s.ledger()}
		for i := range 50 {
			all.Go(func() {
				copied := *d
				switch _, err := ledgers[i%2].Once(t.Context(), &copied, p.publish); {
				case err == nil:
					won.Add(1)
				case errors.Is(err, webhook.ErrDuplicate):
				default:
					wantBusy(t, err, DefaultLease)
				}
			})
		}
		all.Wait()
		p.want(t, 1)
		if won.Load() != 1 {
			t.Errorf("%d claims won, want 1", won.Load())
		}
		if slices.Contains(s.Calls(), begin) {
			t.Error("a transaction was begun")
		}
	})
}

func TestWarm(t *testing.T) {
	onBoth(t, func(t *testing.T, s *store) {
		l := s.ledger()
		if err := l.Warm(t.Context()); err != nil {
			t.Error(err)
		}
		s.Interfere(refuse)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		if err := l.Warm(ctx); err == nil {
			t.Error("Warm succeeded without a server")
		}
	})
}

func TestOpen(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
	if _, err := Open(t.Context(), "p", "(default)", "a/b"); err == nil {
		t.Error("Open took a collection with a slash")
	}
	if _, err := Open(t.Context(), "", "(default)", "deliveries"); err == nil {
		t.Error("Open took no project")
	}
	l, err := Open(t.Context(), "p", "(default)", "deliveries")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	// As the README and the platform's ten seconds have it.
	if l.Lease != 30*time.Second || l.Retention != 72*time.Hour || l.EndTimeout != 2*time.Second {
		t.Errorf("%v, %v, %v", l.Lease, l.Retention, l.EndTimeout)
	}
}

// The default lease, on a clock that only this test moves: alive to its last
// moment, and taken over after it.
func TestDefaultLease(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "") // the client would dial it, and no bubble goes on while a socket waits
	synctest.Test(t, func(t *testing.T) {
		l := bubbleLedger(t)
		d := newDelivery()
		lost := publisher{err: errors.New("outcome unknown")}
		if _, err := l.Once(t.Context(), d, lost.publish); err != lost.err {
			t.Fatal(err)
		}
		var p publisher
		time.Sleep(DefaultLease - time.Second)
		_, err := l.Once(t.Context(), d, p.publish)
		wantBusy(t, err, time.Second)
		p.want(t, 0)

		time.Sleep(time.Second)
		if _, err := l.Once(t.Context(), d, p.publish); err != nil {
			t.Error(err)
		}
		p.want(t, 1)

		time.Sleep(DefaultRetention - time.Second)
		_, err = l.Once(t.Context(), d, p.publish)
		wantErr(t, err, webhook.ErrDuplicate)
		time.Sleep(2 * time.Second)
		if _, err := l.Once(t.Context(), d, p.publish); err != nil {
			t.Errorf("after the record's time: %v", err)
		}
	})
}

// bubbleLedger returns a ledger whose Firestore lives in the same bubble.
func bubbleLedger(t *testing.T, opts ...grpc.DialOption) *Ledger {
	server := gcptest.StartInMemory(gcptest.NewFirestore())
	conn, err := server.Dial(opts...)
	if err != nil {
		t.Fatal(err)
	}
	l, err := Open(t.Context(), "p", "(default)", "deliveries", option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		l.Close()
		conn.Close()
		server.Close()
	})
	return l
}
