package reconcile

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	staticURL = "https://hooks.example/static"
	jobsTopic = "projects/p/topics/jobs"
)

var place = jobs.Place{Project: "p", Database: "(default)", Jobs: "jobs", Notes: "reconcile",
	Subscription: "projects/p/subscriptions/jobs", Rejected: "projects/p/topics/jobs-rejected"}

// A world is the environment of passes in one synctest bubble: Firestore and Pub/Sub
// behind real clients, and the API. Each call of a pass goes through fault first.
type world struct {
	t     *testing.T
	fs    *gcptest.Firestore
	topic *gcptest.Queues
	api   *fakeAPI
	log   *logged

	server *gcptest.Server // serves fs and topic

	ledger    *dedup.Ledger
	register  *jobs.Register
	publisher *publish.Publisher

	mu        sync.Mutex
	fault     func(ctx context.Context, call string, do func() error) error
	published []message
	calls     map[string]int
}

// A message is a message on a topic of events.
type message struct {
	topic, id, eventType, source, scheme, subject string
	at                                            time.Time
	data                                          string
}

// inWorld runs a test in a bubble.
func inWorld(t *testing.T, test func(w *world)) {
	t.Helper()
	t.Setenv("FIRESTORE_EMULATOR_HOST", "") // the clients would dial the emulators, and a bubble stands still while a socket waits
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	synctest.Test(t, func(t *testing.T) { test(newWorld(t)) })
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, fs: gcptest.NewFirestore(), log: new(logged), calls: make(map[string]int)}
	w.api = &fakeAPI{w: w, interactions: make(map[string]gemini.Interaction), operations: make(map[string]gemini.Operation)}
	w.topic = gcptest.NewQueues(w.watch, map[string]string{place.Subscription: jobsTopic})
	w.server = gcptest.StartInMemory(gcptest.Services{w.fs, w.topic},
		grpc.UnaryInterceptor(func(ctx context.Context, req any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (reply any, err error) {
			err = w.through(ctx, path.Base(info.FullMethod), func() (err error) { reply, err = handle(ctx, req); return err })
			return reply, err
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, info *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return w.through(stream.Context(), path.Base(info.FullMethod), func() error { return handle(srv, stream) })
		}))
	t.Cleanup(w.server.Close)
	p := w.newProcess(t)
	w.ledger, w.register, w.publisher = p.ledger, p.register, p.publisher
	return w
}

// A process holds the connection and the clients of one function instance.
type process struct {
	conn      *grpc.ClientConn
	ledger    *dedup.Ledger
	register  *jobs.Register
	publisher *publish.Publisher
}

// newProcess starts a process, with a connection of its own.
func (w *world) newProcess(t *testing.T) *process {
	p := new(process)
	var err error
	if p.conn, err = w.server.Dial(); err != nil {
		t.Fatal(err)
	}
	opt := option.WithGRPCConn(p.conn)
	if p.ledger, err = dedup.Open(t.Context(), "p", "(default)", "deliveries", opt); err != nil {
		t.Fatal(err)
	}
	if p.register, err = jobs.Open(t.Context(), place, slog.New(slog.NewJSONHandler(w.log, nil)), opt); err != nil {
		t.Fatal(err)
	}
	routes, err := publish.RoutesIn("p")("*=events")
	if err != nil {
		t.Fatal(err)
	}
	if p.publisher, err = publish.Open(t.Context(), routes, opt); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.end)
	return p
}

// end ends a process: its calls get no answer from now on.
func (p *process) end() {
	p.conn.Close()
	p.ledger.Close()
	p.register.Close()
	p.publisher.Close()
}

// through makes a call, by way of the fault if there is one.
func (w *world) through(ctx context.Context, call string, do func() error) error {
	w.mu.Lock()
	w.calls[call]++
	fault := w.fault
	w.mu.Unlock()
	if fault == nil {
		return do()
	}
	return fault(ctx, call, do)
}

func (w *world) setFault(fault func(ctx context.Context, call string, do func() error) error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.fault = fault
}

// took returns the number of times a call was made since the previous took.
func (w *world) took(call string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	n := w.calls[call]
	delete(w.calls, call)
	return n
}

func (w *world) watch(topic string, m *pubsubpb.PubsubMessage) {
	if !strings.HasSuffix(topic, "/events") {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	a := m.Attributes
	w.published = append(w.published, message{topic, a["ce-id"], a["ce-type"], a["ce-source"], a["ce-scheme"], a["ce-subject"], time.Now(), string(m.Data)})
}

// messages returns the events that were published since the previous call.
func (w *world) messages() []message {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := w.published
	w.published = nil
	return all
}

// want checks the types and subjects of the events published since the previous
// check, in any order.
func (w *world) want(wanted ...string) {
	w.t.Helper()
	count := make(map[string]int)
	for _, m := range w.messages() {
		count[m.eventType+" "+m.subject]++
	}
	for _, one := range wanted {
		count[one]--
	}
	for one, n := range count {
		if n != 0 {
			w.t.Errorf("%s: %+d events", one, n)
		}
	}
}

var allEvents = []string{"batch.succeeded", "batch.failed", "batch.expired", "interaction.completed", "interaction.failed", "interaction.requires_action", "video.generated"}

// reconciler returns a Reconciler that publishes, with a webhook that is subscribed
// to all events.
func (w *world) reconciler() *Reconciler {
	if w.api.webhooks == nil {
		w.api.webhooks = []gemini.Webhook{{ID: "w", URI: staticURL, State: gemini.Enabled, Events: allEvents}}
	}
	return &Reconciler{
		Options:   Options{Mode: Auto, Grace: time.Hour, LookBack: 48 * time.Hour, StaticURL: mustURL(staticURL)},
		API:       w.api,
		Register:  w.register,
		Ledger:    w.ledger,
		Publisher: w.publisher,
		Log:       slog.New(slog.NewJSONHandler(w.log, nil)),
	}
}

// pass makes a pass. The pass must be complete unless faults are on.
func (w *world) pass(r *Reconciler) Summary {
	w.t.Helper()
	s, err := r.Run(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if !s.Complete && w.fault == nil {
		w.t.Errorf("the pass is not complete: %s", w.log.last())
	}
	return s
}

// deliver makes a delivery of an event, as Gemini does.
func (w *world) deliver(eventType, id string) {
	w.t.Helper()
	w.deliverAs(webhook.StaticEndpoint, fmt.Sprintf("msg_%s_%s_%d", eventType, id, time.Now().UnixNano()), eventType, id)
}

func (w *world) deliverAs(endpoint, webhookID, eventType, id string) {
	w.t.Helper()
	body := fmt.Appendf(nil, `{"type":%q,"version":"v1","timestamp":%q,"data":{"id":%q}}`, eventType, time.Now().UTC().Format(time.RFC3339), id)
	d := &webhook.Delivery{Endpoint: endpoint, Scheme: webhook.V1, ID: strings.ReplaceAll(webhookID, ".", "_"), Received: time.Now(), Body: body, Event: webhook.ParseEvent(body)}
	_, err := w.ledger.Once(w.t.Context(), d, func(ctx context.Context) (webhook.Receipt, error) { return w.publisher.Publish(ctx, d) })
	if err != nil {
		w.t.Error(err)
	}
}

// forget deletes all records of the ledger, as the TTL policy does later.
func (w *world) forget() {
	w.t.Helper()
	for _, d := range w.fs.Documents("projects/p/databases/(default)/documents/deliveries") {
		_, err := w.fs.Commit(w.t.Context(), &firestorepb.CommitRequest{Database: "projects/p/databases/(default)",
			Writes: []*firestorepb.Write{{Operation: &firestorepb.Write_Delete{Delete: d.Name}}}})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// start publishes names of jobs, as the application does.
func (w *world) start(names ...string) {
	w.t.Helper()
	for _, name := range names {
		_, err := w.topic.Publish(w.t.Context(), &pubsubpb.PublishRequest{Topic: jobsTopic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(name)}}})
		if err != nil {
			w.t.Fatal(err)
		}
	}
}

// open returns the open jobs, by name.
func (w *world) open() map[string]jobs.Job {
	w.t.Helper()
	all, _, err := w.register.Jobs(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	open := make(map[string]jobs.Job)
	for _, j := range all {
		open[j.Name] = j
	}
	return open
}

// logged is a log in memory.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logged) last() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	return text[max(0, len(text)-1500):]
}

// take returns the lines with this message since the previous take, and drops all
// others.
func (l *logged) take(t *testing.T, message string) (lines []map[string]any) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range strings.Lines(l.text.String()) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if line["msg"] == message {
			lines = append(lines, line)
		}
	}
	l.text.Reset()
	return lines
}

// fakeAPI implements API with fixed data.
type fakeAPI struct {
	w *world

	mu           sync.Mutex
	webhooks     []gemini.Webhook
	batches      []gemini.Batch // the newest first
	interactions map[string]gemini.Interaction
	operations   map[string]gemini.Operation
	enabled      []string
	pageSize     int                                 // zero means 100
	page         func(token string) gemini.BatchPage // instead of batches
	made         int64
}

var errNotFound = fmt.Errorf("get: %w", &gemini.StatusError{Status: 404, Code: "NOT_FOUND"})

func (a *fakeAPI) call(ctx context.Context, name string, do func() error) error {
	a.mu.Lock()
	a.made++
	a.mu.Unlock()
	return a.w.through(ctx, name, func() error {
		a.mu.Lock()
		defer a.mu.Unlock()
		return do()
	})
}

func (a *fakeAPI) Calls() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.made
}

func (a *fakeAPI) Webhooks(ctx context.Context) (all []gemini.Webhook, err error) {
	err = a.call(ctx, "Webhooks", func() error { all = a.webhooks; return nil })
	return all, err
}

func (a *fakeAPI) Enable(ctx context.Context, id string) error {
	return a.call(ctx, "Enable", func() error {
		a.enabled = append(a.enabled, id)
		return nil
	})
}

func (a *fakeAPI) Batches(ctx context.Context, token string) (page gemini.BatchPage, err error) {
	err = a.call(ctx, "Batches", func() error {
		if a.page != nil {
			page = a.page(token)
			return nil
		}
		from := 0
		if token != "" {
			fmt.Sscan(token, &from)
		}
		size := 100
		if a.pageSize > 0 {
			size = a.pageSize
		}
		to := min(len(a.batches), from+size)
		page.Batches = append(page.Batches, a.batches[from:to]...)
		if to < len(a.batches) {
			page.Next = fmt.Sprint(to)
		}
		return nil
	})
	if err != nil {
		return gemini.BatchPage{}, err
	}
	return page, nil
}

func (a *fakeAPI) Interaction(ctx context.Context, id string) (i gemini.Interaction, err error) {
	err = a.call(ctx, "Interaction", func() error {
		var ok bool
		if i, ok = a.interactions[id]; !ok {
			return errNotFound
		}
		return nil
	})
	return i, err
}

func (a *fakeAPI) Operation(ctx context.Context, name string) (o gemini.Operation, err error) {
	err = a.call(ctx, "Operation", func() error {
		var ok bool
		if o, ok = a.operations[name]; !ok {
			return errNotFound
		}
		return nil
	})
	return o, err
}

// add inserts a batch at the front of the list. It ended ago before now.
func (a *fakeAPI) add(id, state string, ago time.Duration) {
	at := time.Now().Add(-ago)
	a.batches = append([]gemini.Batch{{Name: "batches/" + id, State: state, Created: at.Add(-time.Minute), Updated: at, Ended: at}}, a.batches...)
}

var errBroken = errors.New("broken on purpose")

const succeeded = "BATCH_STATE_SUCCEEDED"
