package jobs

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gcptest/emulator/emulatortest"
)

func TestParse(t *testing.T) {
	const id = "v1_ChdOdXRoYXJHTUxxS3l2ZElQMC1UcnlBcxIXTnV0aGFyR01McUt5dmRJUDAtVHJ5Q.."
	const video = "models/veo-3.1-generate-preview/operations/s2a8kyx4kgcs"
	for text, want := range map[string]string{
		"interactions/" + id: "interaction interactions/" + id,
		id:                   "interaction interactions/" + id,
		" " + video + "\n":   "video " + video,
	} {
		if kind, name, err := Parse(text); err != nil || fmt.Sprint(kind, " ", name) != want {
			t.Errorf("Parse(%q) returned %s %s, %v", text, kind, name, err)
		}
	}
	for _, text := range []string{
		"", " ", ".", "..", "v1_/..", "interactions/", "interactions/..", "interactions/.", "interactions/a/b", "/interactions/a",
		"batches/abc", "files/abc", "operations/abc", "models/m/operations/..", "models/../operations/x", "models/m/operations/",
		"https://generativelanguage.googleapis.com/v1beta/interactions/v1_a", "https://example.com/interactions/v1_a", "//evil/interactions/x",
		"interactions/a?key=1", "interactions/a#b", "interactions/a%2e", "interactions/a b", "interactions/a\x00", "interactions/é",
		"interactions/a\ninteractions/b", `{"name":"interactions/a"}`, "abc", strings.Repeat("x", 10_000), "interactions/" + strings.Repeat("x", MaxName),
		"tunedModels/x/operations/y", "INTERACTIONS/a",
	} {
		if kind, name, err := Parse(text); err == nil || kind != "" || name != "" {
			t.Errorf("Parse(%.60q) returned %s %s", text, kind, name)
		} else if len(err.Error()) > 200 {
			t.Errorf("%.60q: an error of %d bytes", text, len(err.Error()))
		}
	}
	if KindOf("batches/abc") != Batch {
		t.Error("KindOf does not know batches/abc as a batch")
	}
}

// For any text, an accepted name is a path below its collection, and Parse accepts it
// unchanged.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"v1_a..", "interactions/v1_a", "models/m/operations/x", "models/../operations/x", "interactions/a%2e", "batches/x"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kind, name, err := Parse(text)
		if err != nil {
			return
		}
		again, same, err := Parse(name)
		if again != kind || same != name || err != nil || KindOf(name) != kind || len(name) > MaxName+len("interactions/") {
			t.Errorf("%q: %s %q, again %s %q, %v", text, kind, name, again, same, err)
		}
		if u, err := url.Parse("https://host/v1beta/" + name); err != nil || path.Clean(u.Path) != u.Path || u.RawQuery != "" || u.Fragment != "" || u.EscapedPath() != "/v1beta/"+name {
			t.Errorf("name %q in a URL leads to %v", name, u)
		}
	})
}

// a project holds the topics and subscriptions of a register, and clients for them.
type project struct {
	place Place
	topic string
	log   bytes.Buffer
	conn  *grpc.ClientConn // in a bubble

	topics        *pubsub.TopicAdminClient
	subscriptions *pubsub.SubscriptionAdminClient
}

// onBoth runs a test twice: with the embedded products and with the official emulators.
func onBoth(t *testing.T, test func(t *testing.T, p *project)) {
	t.Run("embedded", func(t *testing.T) {
		test(t, newProject(t, serve(t, gcptest.NewFirestore()), serve(t, gcptest.NewPubSub(nil)), "test-project"))
	})
	t.Run("official", func(t *testing.T) {
		firestore, id := emulatortest.Firestore(t)
		pubsub, _ := emulatortest.PubSub(t)
		test(t, newProject(t, firestore, pubsub, id))
	})
}

func serve(t *testing.T, s gcptest.Service) string {
	t.Helper()
	server, err := gcptest.Start("127.0.0.1:0", s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.Addr()
}

func newProject(t *testing.T, firestore, pubsubAddr, id string) *project {
	t.Helper()
	t.Setenv("FIRESTORE_EMULATOR_HOST", firestore)
	t.Setenv("PUBSUB_EMULATOR_HOST", pubsubAddr)
	p := &project{
		place: Place{Project: id, Database: "(default)", Jobs: "jobs", Notes: "reconcile",
			Subscription: "projects/" + id + "/subscriptions/jobs", Rejected: "projects/" + id + "/topics/jobs-rejected"},
		topic: "projects/" + id + "/topics/jobs",
	}
	opts := gcptest.ClientOptions(pubsubAddr)
	var err error
	if p.topics, err = pubsub.NewTopicAdminClient(t.Context(), opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.topics.Close() })
	if p.subscriptions, err = pubsub.NewSubscriptionAdminClient(t.Context(), opts...); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.subscriptions.Close() })
	for _, topic := range []string{p.topic, p.place.Rejected} {
		if _, err := p.topics.CreateTopic(t.Context(), &pubsubpb.Topic{Name: topic}); err != nil {
			t.Fatal(err)
		}
	}
	p.subscribe(t, p.place.Subscription, p.topic)
	p.subscribe(t, p.rejected(), p.place.Rejected)
	return p
}

func (p *project) rejected() string {
	return strings.Replace(p.place.Rejected, "/topics/", "/subscriptions/", 1)
}

func (p *project) subscribe(t *testing.T, name, topic string) {
	t.Helper()
	if _, err := p.subscriptions.CreateSubscription(t.Context(), &pubsubpb.Subscription{Name: name, Topic: topic, AckDeadlineSeconds: 10}); err != nil {
		t.Fatal(err)
	}
}

func (p *project) publish(t *testing.T, messages ...string) {
	t.Helper()
	for _, m := range messages {
		if _, err := p.topics.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: p.topic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(m), Attributes: map[string]string{"from": "a test"}}}}); err != nil {
			t.Fatal(err)
		}
	}
}

// pull returns the messages that a subscription has now.
func (p *project) pull(t *testing.T, subscription string) (data []string) {
	t.Helper()
	pulled, err := p.subscriptions.Pull(t.Context(), &pubsubpb.PullRequest{
		Subscription: subscription, MaxMessages: 100,
		//lint:ignore SA1019 a test needs an immediate answer, also if there are no messages
		ReturnImmediately: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range pulled.ReceivedMessages {
		data = append(data, string(m.Message.Data))
	}
	return data
}

func (p *project) register(t *testing.T, opts ...option.ClientOption) *Register {
	t.Helper()
	r, err := Open(t.Context(), p.place, slog.New(slog.NewTextHandler(&p.log, nil)), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	r.Patience = 1500 * time.Millisecond
	if err := r.Warm(t.Context()); err != nil {
		t.Error(err)
	}
	return r
}

func names(all []Job) (names []string) {
	for _, j := range all {
		names = append(names, j.Name)
	}
	slices.Sort(names)
	return names
}

const video = "models/veo/operations/abc123"

func TestReceive(t *testing.T) {
	onBoth(t, func(t *testing.T, p *project) {
		r := p.register(t)
		before := time.Now()
		p.publish(t, "v1_a..", "interactions/v1_a..", video, "hello", strings.Repeat("x", 10_000))
		got, err := r.Receive(t.Context(), 100)
		want := []string{"interactions/v1_a..", video}
		if err != nil || got.Rejected != 2 || !slices.Equal(names(got.Jobs), want) {
			t.Fatalf("Receive returned %+v, %v", got, err)
		}
		for _, j := range got.Jobs {
			if j.State != StateOpen || j.RegisteredAt.Before(before.Add(-time.Minute)) || j.RegisteredAt.After(time.Now()) ||
				!j.ExpireAt.After(j.RegisteredAt.Add(MaxAge)) || !j.NextAt.IsZero() {
				t.Errorf("unexpected job %+v", j)
			}
		}
		open, more, err := r.Jobs(t.Context())
		if err != nil || more || !slices.Equal(names(open), want) {
			t.Errorf("Jobs returned %v, %t, %v", names(open), more, err)
		}
		if left := p.pull(t, p.place.Subscription); len(left) != 0 {
			t.Errorf("not acknowledged: %.50q", left)
		}
		if copies := p.pull(t, p.rejected()); len(copies) != 2 || !slices.Contains(copies, "hello") {
			t.Errorf("copies: %.50q", copies)
		}
		if log := p.log.String(); strings.Count(log, "rejected job name") != 2 || len(log) > 2000 {
			t.Errorf("logged %s", log)
		}
		// The name of a stored job changes nothing.
		p.publish(t, video)
		if got, err := r.Receive(t.Context(), 100); err != nil || len(got.Jobs) != 0 {
			t.Errorf("Receive returned %+v, %v", got, err)
		}
	})
}

// Messages beyond the room stay on the subscription.
func TestReceiveBounded(t *testing.T) {
	onBoth(t, func(t *testing.T, p *project) {
		r := p.register(t)
		for i := range 5 {
			p.publish(t, fmt.Sprintf("v1_%d", i))
		}
		got, err := r.Receive(t.Context(), 3)
		if err != nil || len(got.Jobs) != 3 {
			t.Fatalf("Receive returned %+v, %v", got, err)
		}
		if got, err := r.Receive(t.Context(), 0); err != nil || len(got.Jobs) != 0 {
			t.Errorf("Receive returned %+v, %v", got, err)
		}
		if got, err := r.Receive(t.Context(), 100); err != nil || len(got.Jobs) != 2 {
			t.Errorf("Receive returned %+v, %v", got, err)
		}
	})
}

func TestSave(t *testing.T) {
	onBoth(t, func(t *testing.T, p *project) {
		r := p.register(t)
		p.publish(t, "v1_a", "v1_b")
		got, err := r.Receive(t.Context(), 2)
		if err != nil || len(got.Jobs) != 2 {
			t.Fatalf("Receive returned %+v, %v", got, err)
		}
		a, b := got.Jobs[0], got.Jobs[1]
		next := a
		next.NextAt, next.Misses, next.MissedSince = time.Unix(1_800_000_000, 0), 2, time.Unix(1_700_000_000, 0)
		if Same(a, next) || !Same(a, a) {
			t.Error("Same is wrong")
		}
		b.State = StateClosed
		for _, j := range []Job{next, b} {
			if err := r.Save(t.Context(), j); err != nil {
				t.Fatal(err)
			}
		}
		open, _, err := r.Jobs(t.Context())
		if err != nil || len(open) != 1 || !Same(open[0], next) || open[0].Name != a.Name {
			t.Fatalf("Jobs returned %+v, %v", open, err)
		}
		// A pass that read the document before it changed does not overwrite it.
		stale := a
		stale.State = StateLost
		if err := r.Save(t.Context(), stale); err != nil {
			t.Error(err)
		}
		if open, _, err = r.Jobs(t.Context()); err != nil || len(open) != 1 {
			t.Errorf("Jobs returned %+v, %v", open, err)
		}
		gone := Job{Name: "interactions/none", State: StateClosed}
		if err := r.Save(t.Context(), gone); err != nil {
			t.Error(err)
		}
	})
}

func TestNotes(t *testing.T) {
	onBoth(t, func(t *testing.T, p *project) {
		r := p.register(t)
		notes, err := r.Notes(t.Context())
		if err != nil || len(notes.Forms) != 0 || !notes.EnabledAt.IsZero() {
			t.Fatalf("Notes returned %+v, %v", notes, err)
		}
		for _, form := range []string{"last", "whole"} { // the first one is kept
			if err := r.NoteForm(t.Context(), Batch, form, "batches/x"); err != nil {
				t.Error(err)
			}
		}
		if may, err := r.NoteEnabled(t.Context(), notes); !may || err != nil {
			t.Errorf("NoteEnabled returned %t, %v", may, err)
		}
		if may, err := r.NoteEnabled(t.Context(), notes); may || err != nil {
			t.Errorf("NoteEnabled by a second pass returned %t, %v", may, err)
		}
		notes, err = r.Notes(t.Context())
		if err != nil || notes.Forms[Batch] != "last" || len(notes.Forms) != 1 || time.Since(notes.EnabledAt) > time.Minute {
			t.Fatalf("Notes returned %+v, %v", notes, err)
		}
		if may, err := r.NoteEnabled(t.Context(), notes); !may || err != nil {
			t.Errorf("NoteEnabled returned %t, %v", may, err)
		}
		if may, err := r.NoteEnabled(t.Context(), notes); may || err != nil {
			t.Errorf("NoteEnabled by a second pass returned %t, %v", may, err)
		}
	})
}

// A message is acknowledged only after its job is stored or its copy is published. If a
// call fails in between, the message is redelivered, and its job stays stored once.
func TestReceiveFails(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	for _, test := range []struct {
		method string
		after  bool // the call is carried out, and its reply is lost
		open   int  // jobs that the first Receive stores
		left   int  // unacknowledged messages after the first Receive
		copies int  // copies on the topic Rejected after the second Receive
	}{
		{method: "Acknowledge", open: 1, left: 2, copies: 2},
		{method: "Acknowledge", after: true, open: 1, left: 0, copies: 1},
		{method: "Publish", open: 1, left: 1, copies: 1},
		{method: "Publish", after: true, open: 1, left: 1, copies: 2},
		{method: "Pull", left: 2, copies: 1},
		{method: "Commit", left: 1, copies: 1},
		{method: "Commit", after: true, open: 1, left: 1, copies: 1},
	} {
		t.Run(fmt.Sprintf("%s,%t", test.method, test.after), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, queues, broken := inBubble(t, test.method, test.after, false)
				r := p.register(t, option.WithGRPCConn(p.conn))
				broken.Store(true)
				if _, err := r.Receive(t.Context(), 10); err == nil {
					t.Errorf("Receive returned no error although %s failed", test.method)
				}
				broken.Store(false)
				open, _, err := r.Jobs(t.Context())
				if err != nil || len(open) != test.open || queues.Waiting(p.place.Subscription) != test.left {
					t.Errorf("first: %d open, %d left, %v", len(open), queues.Waiting(p.place.Subscription), err)
				}
				time.Sleep(2 * time.Minute) // past the ack deadline
				if _, err := r.Receive(t.Context(), 10); err != nil {
					t.Error(err)
				}
				open, _, err = r.Jobs(t.Context())
				if err != nil || len(open) != 1 || queues.Waiting(p.place.Subscription) != 0 || queues.Waiting(p.rejected()) != test.copies {
					t.Errorf("second: %d open, %d left, %d copies, %v", len(open), queues.Waiting(p.place.Subscription), queues.Waiting(p.rejected()), err)
				}
			})
		})
	}
}

// If Firestore hangs, the messages that need no document are acknowledged all the same.
func TestReceiveWhileFirestoreHangs(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	synctest.Test(t, func(t *testing.T) {
		p, queues, broken := inBubble(t, "Commit", false, true)
		r := p.register(t, option.WithGRPCConn(p.conn))
		broken.Store(true)
		got, err := r.Receive(t.Context(), 10)
		if err == nil || got.Rejected != 1 || queues.Waiting(p.place.Subscription) != 1 {
			t.Errorf("Receive returned %+v, %v; %d messages are left, want that of the job", got, err, queues.Waiting(p.place.Subscription))
		}
	})
}

// inBubble returns a project inside a synctest bubble. Its topic has two messages, of
// which one contains a job's name. Calls of the method fail while broken is true, and
// hang before that if hangs is set.
func inBubble(t *testing.T, method string, after, hangs bool) (p *project, queues *gcptest.Queues, broken *atomic.Bool) {
	p = &project{place: Place{Project: "p", Database: "(default)", Jobs: "jobs", Notes: "reconcile",
		Subscription: "projects/p/subscriptions/jobs", Rejected: "projects/p/topics/jobs-rejected"}, topic: "projects/p/topics/jobs"}
	broken = new(atomic.Bool)
	queues = gcptest.NewQueues(nil, map[string]string{p.place.Subscription: p.topic, p.rejected(): p.place.Rejected})
	server := gcptest.StartInMemory(gcptest.Services{gcptest.NewFirestore(), queues}, grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
		if !broken.Load() || !strings.HasSuffix(info.FullMethod, "/"+method) {
			return handle(ctx, req)
		}
		if after {
			_, _ = handle(ctx, req)
		}
		if hangs {
			<-ctx.Done()
		}
		return nil, status.Error(codes.PermissionDenied, "broken on purpose")
	}))
	t.Cleanup(server.Close)
	var err error
	if p.conn, err = server.Dial(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { p.conn.Close() })
	for _, m := range []string{"v1_a", "hello"} {
		if _, err := queues.Publish(t.Context(), &pubsubpb.PublishRequest{Topic: p.topic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(m)}}}); err != nil {
			t.Fatal(err)
		}
	}
	return p, queues, broken
}
