// Package functiontest runs the functions in tests. It provides a Google Cloud project
// on this machine, and sends deliveries to a function as it is deployed. Firestore and
// Pub/Sub are either embedded (the servers of package gcptest, in the test's process)
// or Google's official emulators. Secret Manager and the key set are always embedded.
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

// The methods of the gRPC calls that a webhook function makes, as [Project.Calls]
// returns them, and a name for the request for the key set.
const (
	Commit        = "/google.firestore.v1.Firestore/Commit"
	BatchWrite    = "/google.firestore.v1.Firestore/BatchWrite" // if deliveries share a call
	Read          = "/google.firestore.v1.Firestore/BatchGetDocuments"
	Begin         = "/google.firestore.v1.Firestore/BeginTransaction"
	Publish       = "/google.pubsub.v1.Publisher/Publish"
	ListVersions  = "/google.cloud.secretmanager.v1.SecretManagerService/ListSecretVersions"
	AccessVersion = "/google.cloud.secretmanager.v1.SecretManagerService/AccessSecretVersion"
	FetchKeys     = "GET /" // the method that a fault, set with proxy.Recorder.Interfere, gets for a request for the key set; Calls does not include it
)

// Routes is the value of ROUTES in a [Project]. The constants after it are its topic
// ids.
const (
	Routes           = "batch=geminihook-batch,interaction=geminihook-interaction,video=geminihook-video,*=geminihook-other"
	BatchTopic       = "geminihook-batch"
	InteractionTopic = "geminihook-interaction"
	VideoTopic       = "geminihook-video"
	OtherTopic       = "geminihook-other"
)

// A Project is a Google Cloud project for the functions. Each connection to its
// services passes through a proxy, which records calls and can make them fail.
type Project struct {
	ID        string
	Secrets   *gcptest.SecretManager
	Keys      *webhooktest.KeySet
	KeysURL   string
	Firestore string   // Firestore's address, without the proxy
	Env       []string // the settings of a function in this project: NAME=value

	proxy.Recorder // records the calls to the services

	topics topics
	pubsub string // Pub/Sub's address, without the proxy
	wires  []*proxy.Listener
}

// A Message is a message that was published to a topic.
type Message struct {
	Topic string // the topic's id
	*pubsubpb.PubsubMessage
}

// topics reads published messages.
type topics interface {
	messages(t *testing.T) []Message
}

// OnBoth runs a test twice, with an embedded project and with the official emulators.
func OnBoth(t *testing.T, test func(t *testing.T, p *Project)) {
	t.Run("embedded", func(t *testing.T) { test(t, Embedded(t)) })
	t.Run("official", func(t *testing.T) { test(t, Official(t)) })
}

// Embedded returns a project with embedded services, and sets the environment
// variables that direct a function to it.
func Embedded(t *testing.T) *Project {
	t.Helper()
	return lead(t, NewEmbedded(t))
}

// Official returns a project with the official emulators of Firestore and Pub/Sub, and
// sets the environment variables that direct a function to it. If the emulators are not
// installed, it skips the test, or fails it if the environment variable
// REQUIRE_EMULATORS is 1.
func Official(t *testing.T) *Project {
	t.Helper()
	return lead(t, NewOfficial(t))
}

// lead sets the environment variables of p.
func lead(t *testing.T, p *Project) *Project {
	t.Helper()
	for _, setting := range p.Env {
		name, value, _ := strings.Cut(setting, "=")
		t.Setenv(name, value)
	}
	return p
}

// NewEmbedded is [Embedded] for parallel tests: it does not set environment
// variables. Pass Env to the function.
func NewEmbedded(t *testing.T) *Project {
	t.Helper()
	p := &Project{ID: "test-project"}
	topics := newWatchedTopics(p.ID)
	p.topics = topics
	p.setUp(t, serve(t, gcptest.NewFirestore()), serve(t, topics.server))
	return p
}

// NewOfficial is [Official] for parallel tests: it does not set environment
// variables. Pass Env to the function.
func NewOfficial(t *testing.T) *Project {
	t.Helper()
	firestore, id := emulatortest.Firestore(t)
	pubsub, _ := emulatortest.PubSub(t)
	p := &Project{ID: id, topics: newPulledTopics(t, pubsub, id)}
	p.setUp(t, firestore, pubsub)
	return p
}

// setUp starts the other services and the proxies. firestore and pubsub are
// addresses.
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

// keyWire returns the key set behind the proxy's faults. It does not record the
// requests, because the key set counts them.
func (p *Project) keyWire() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := httptest.NewRecorder()
		client, _ := net.ResolveTCPAddr("tcp", r.RemoteAddr)
		err := p.HandleUnrecorded(peer.NewContext(r.Context(), &peer.Peer{Addr: client}), FetchKeys, func() error {
			p.Keys.ServeHTTP(answer, r)
			return nil
		})
		if err != nil {
			panic(http.ErrAbortHandler) // closes the connection
		}
		_, _ = w.Write(answer.Body.Bytes())
	})
}

// serve runs an embedded service until the test ends.
func serve(t *testing.T, s gcptest.Service) (addr string) {
	t.Helper()
	server, err := gcptest.Start("127.0.0.1:0", s)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	return server.Addr()
}

// wire starts a proxy in front of a server, and returns its address.
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

// Cut closes all connections to the project's services, even during a call.
func (p *Project) Cut() {
	for _, wire := range p.wires {
		wire.Cut()
	}
}

// Forget makes connections silent: their packets are dropped in both directions without
// an error, until the client closes them. If call is the context that a fault received
// (see proxy.Recorder.Interfere), only the connection of that call is affected;
// otherwise all current connections to the project's services.
func (p *Project) Forget(call context.Context) {
	var clients []net.Addr
	if client, ok := peer.FromContext(call); ok {
		clients = append(clients, client.Addr)
	}
	for _, wire := range p.wires {
		wire.Forget(clients...)
	}
}

// Connections returns the number of connections made to the project's services so
// far.
func (p *Project) Connections() (n int) {
	for _, wire := range p.wires {
		n += wire.Accepted()
	}
	return n
}

// Messages returns the messages published since the last call, on the topics of Routes.
// In an embedded project it also returns those on JobsTopic and RejectedTopic.
func (p *Project) Messages(t *testing.T) []Message {
	t.Helper()
	return p.topics.messages(t)
}

// Records returns the number of deliveries that have a record.
func (p *Project) Records(t *testing.T) int {
	t.Helper()
	client, err := firestore.NewClient(t.Context(), p.ID, gcptest.ClientOptions(p.Firestore)...)
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

// AddSecret adds a version to a secret, which it creates if necessary. It returns the
// version's name.
func (p *Project) AddSecret(t *testing.T, id, value string) (version string) {
	t.Helper()
	version, err := p.Secrets.AddSecret(t.Context(), p.ID, id, value)
	if err != nil {
		t.Fatal(err)
	}
	return version
}

// An Endpoint is a function that serves requests, and its log.
type Endpoint struct {
	URL string // without a query
	Log *Log
}

// Serve serves a handler on a free port until the test ends.
func Serve(t *testing.T, h http.Handler, log *Log) *Endpoint {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return &Endpoint{URL: server.URL, Log: log}
}

// An Answer is the response that the sender gets.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Post sends a delivery. query begins with "?", or is empty.
func (e *Endpoint) Post(t *testing.T, query string, header http.Header, body string) Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, e.URL+query, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = header
	return e.Do(t, req)
}

// Do sends a request. If that fails, it fails the test and returns a zero Answer.
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
