// Package functiontest gives the tests of the functions a Google Cloud project on
// this machine, embedded or on the official emulators, and a way to send
// deliveries to a function as it is deployed.
package functiontest

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc/peer"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gcptest/emulator/emulatortest"
	"github.com/geminihook/geminihook/shared/gcptest/proxy"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// The methods that a function calls.
const (
	Commit        = "/google.firestore.v1.Firestore/Commit"
	BatchWrite    = "/google.firestore.v1.Firestore/BatchWrite" // if deliveries share a call
	Read          = "/google.firestore.v1.Firestore/BatchGetDocuments"
	Begin         = "/google.firestore.v1.Firestore/BeginTransaction"
	Publish       = "/google.pubsub.v1.Publisher/Publish"
	ListVersions  = "/google.cloud.secretmanager.v1.SecretManagerService/ListSecretVersions"
	AccessVersion = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion"
	FetchKeys     = "GET /" // of the key set; not among a Project's Calls
)

// Routes is the setting that a Project makes, and topic ids of it.
const (
	Routes           = "batch=geminihook-batch,interaction=geminihook-interaction,video=geminihook-video,*=geminihook-other"
	BatchTopic       = "geminihook-batch"
	InteractionTopic = "geminihook-interaction"
	VideoTopic       = "geminihook-video"
	OtherTopic       = "geminihook-other"
)

// A Project is what a function needs around it. On the wire to each of its parts
// calls are recorded and can be interfered with.
type Project struct {
	ID        string
	Secrets   *gcptest.SecretManager
	Keys      *webhooktest.KeySet
	KeysURL   string
	Firestore string   // its address, past the wire
	Env       []string // the settings that lead a function to it: NAME=value

	proxy.Recorder // of the calls to its parts

	topics topics
	pubsub string // its address, past the wire
	wires  []*proxy.Listener
}

// A Message is one that reached a topic.
type Message struct {
	Topic string // its id
	*pubsubpb.PubsubMessage
}

// topics are where messages can be read back from.
type topics interface {
	messages(t *testing.T) []Message
}

// OnBoth runs a test in an embedded project, and in one on the official emulators.
func OnBoth(t *testing.T, test func(t *testing.T, p *Project)) {
	t.Run("embedded", func(t *testing.T) { test(t, Embedded(t)) })
	t.Run("official", func(t *testing.T) { test(t, Official(t)) })
}

// Embedded returns a project of embedded parts, which the test's environment leads
// to.
func Embedded(t *testing.T) *Project {
	t.Helper()
	return lead(t, NewEmbedded(t))
}

// Official returns a project whose Firestore and Pub/Sub are the official
// emulators, which the test's environment leads to; it skips the test, or fails it,
// where there are none.
func Official(t *testing.T) *Project {
	t.Helper()
	return lead(t, NewOfficial(t))
}

func lead(t *testing.T, p *Project) *Project {
	t.Helper()
	for _, setting := range p.Env {
		name, value, _ := strings.Cut(setting, "=")
		t.Setenv(name, value)
	}
	return p
}

// NewEmbedded is [Embedded] for tests that run in parallel: nothing leads to it but
// its Env.
func NewEmbedded(t *testing.T) *Project {
	t.Helper()
	p := &Project{ID: "test-project"}
	topics := newWatchedTopics(p.ID)
	p.topics = topics
	p.setUp(t, serve(t, gcptest.NewFirestore()), serve(t, topics.server))
	return p
}

// NewOfficial is [Official] for tests that run in parallel: nothing leads to it but
// its Env.
func NewOfficial(t *testing.T) *Project {
	t.Helper()
	firestore, id := emulatortest.Firestore(t)
	pubsub, _ := emulatortest.PubSub(t)
	p := &Project{ID: id, topics: newPulledTopics(t, pubsub, id)}
	p.setUp(t, firestore, pubsub)
	return p
}

func (p *Project) setUp(t *testing.T, firestore, pubsub string) {
	t.Helper()
	p.Secrets = gcptest.NewSecretManager()
	p.Keys = webhooktest.NewKeySet()
	keys := httptest.NewUnstartedServer(p.keyWire())
	wire := proxy.NewListener(keys.Listener)
	keys.Listener = wire
	p.wires = append(p.wires, wire)
	keys.Start()
	t.Cleanup(keys.Close)
	p.KeysURL = keys.URL
	p.Firestore, p.pubsub = firestore, pubsub
	p.Env = []string{
		"GOOGLE_CLOUD_PROJECT=" + p.ID,
		"ROUTES=" + Routes,
		"FIRESTORE_EMULATOR_HOST=" + p.wire(t, firestore),
		"PUBSUB_EMULATOR_HOST=" + p.wire(t, pubsub),
		"SECRET_MANAGER_EMULATOR_HOST=" + p.wire(t, serve(t, p.Secrets)),
		"JWKS_URL=" + p.KeysURL,
	}
}

// keyWire puts the fault in front of the key set. Its fetches are not among the
// calls: the set counts them.
func (p *Project) keyWire() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		client, _ := net.ResolveTCPAddr("tcp", r.RemoteAddr)
		err := p.HandleUnrecorded(peer.NewContext(r.Context(), &peer.Peer{Addr: client}), FetchKeys, func() error {
			p.Keys.ServeHTTP(answer, r)
			return nil
		})
		if err != nil {
			panic(http.ErrAbortHandler) // breaks the connection off
		}
		_, _ = w.Write(answer.Body.Bytes())
	})
}

func serve(t *testing.T, s gcptest.Service) (addr string) {
	t.Helper()
	server, err := gcptest.Start("127.0.0.1:0", s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.Addr()
}

// wire puts a proxy in front of a server.
func (p *Project) wire(t *testing.T, addr string) string {
	t.Helper()
	wire, err := proxy.Start(addr, p.Handle)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { wire.Close() })
	p.wires = append(p.wires, wire.Clients)
	return wire.Addr
}

// Cut breaks off all connections to the project's parts, in the middle of whatever goes
// over them.
func (p *Project) Cut() {
	for _, wire := range p.wires {
		wire.Cut()
	}
}

// Forget makes the connection silent that a call came over, given the call's context,
// or all connections to the project's parts, given none.
func (p *Project) Forget(call context.Context) {
	var clients []net.Addr
	if client, ok := peer.FromContext(call); ok {
		clients = append(clients, client.Addr)
	}
	for _, wire := range p.wires {
		wire.Forget(clients...)
	}
}

// Connections counts the connections that were ever made to the project's parts.
func (p *Project) Connections() (n int) {
	for _, wire := range p.wires {
		n += wire.Accepted()
	}
	return n
}

// Messages returns the messages that reached any topic since the last time.
func (p *Project) Messages(t *testing.T) []Message {
	t.Helper()
	return p.topics.messages(t)
}

// Records returns how many deliveries have a record.
func (p *Project) Records(t *testing.T) int {
	t.Helper()
	client, err := firestore.NewClient(t.Context(), p.ID, plain(p.Firestore)...)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	records, err := client.Collection("deliveries").Documents(t.Context()).GetAll()
	if err != nil {
		t.Fatal(err)
	}
	return len(records)
}

// AddSecret makes a secret, unless there is one, and gives it another version.
func (p *Project) AddSecret(t *testing.T, id, value string) (version string) {
	t.Helper()
	version, err := p.Secrets.AddSecret(t.Context(), p.ID, id, value)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// An Endpoint is a function that listens.
type Endpoint struct {
	URL string
	Log *Log
}

// Serve has a handler listen until the test ends.
func Serve(t *testing.T, h http.Handler, log *Log) *Endpoint {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &Endpoint{URL: server.URL, Log: log}
}

// An Answer is what the sender sees.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Post sends a delivery. query may be empty.
func (e *Endpoint) Post(t *testing.T, query string, header http.Header, body string) Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	return e.Do(t, req)
}

// Do sends any request.
func (e *Endpoint) Do(t *testing.T, req *http.Request) Answer {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return Answer{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(body)}
}
