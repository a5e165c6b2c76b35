// Package geminitest simulates the part of the Gemini API that this project uses:
// webhooks, batches, background interactions, video operations, and the files that
// jobs produce. If the real API was observed to differ from its documentation,
// geminitest behaves as observed. A job ends after a chosen time. Then its event is
// delivered, signed as Gemini signs. Deliveries go only to this machine, or through a
// transport that the test provides. A test can inject faults.
//
// By default the only clock is package time ([API.Now] can replace it for the expiry of
// signing secrets). With [API.Client], and with deliveries through
// [InMemory], an API runs in a testing/synctest bubble on virtual time.
package geminitest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Events are the event types to which a webhook can be subscribed. Gemini documents
// batch.cancelled and interaction.cancelled as well, but rejects subscriptions to
// them.
var Events = []string{
	"batch.succeeded", "batch.failed", "batch.expired",
	"interaction.completed", "interaction.requires_action", "interaction.failed",
	"video.generated",
}

// The names of the API's calls for webhooks, for [API.Fail] and [API.Calls].
const (
	Create = "create"
	List   = "list"
	Get    = "get"
	Update = "update"
	Delete = "delete"
	Ping   = "ping"
	Rotate = "rotate"
)

// The names of the API's other calls.
const (
	CreateBatch       = "batches.create"
	ListBatches       = "batches.list"
	GetBatch          = "batches.get"
	CancelBatch       = "batches.cancel"
	DeleteBatch       = "batches.delete"
	CreateInteraction = "interactions.create"
	GetInteraction    = "interactions.get"
	CancelInteraction = "interactions.cancel"
	DeleteInteraction = "interactions.delete"
	CreateVideo       = "videos.create"
	GetVideo          = "videos.get"
	ListVideos        = "videos.list"
	GetFile           = "files.get"
	Download          = "files.download"
)

// filesURL is the beginning of the URLs of files. It is Google's, also if the API is
// served elsewhere: the SDKs use only the name in such a URL, and the JavaScript SDK
// only if the URL is https.
const filesURL = "https://generativelanguage.googleapis.com/v1beta/"

const (
	// defaultPage is the number of items a page if a call does not state a size.
	defaultPage = 50

	// maxPage is the API's maximum number of items a page.
	maxPage = 1000

	// maxBody is the maximum size of a request, in bytes: the API's limit for inline
	// requests.
	maxBody = 20 << 20
)

// An API is an http.Handler that serves /v1beta, /download/v1beta, to which downloads
// of files are redirected, and at /.well-known/jwks.json the public keys of Keys, which
// verify deliveries to the URLs of webhook configs (v1a). Create one with New, and end
// it with Close. Do not change its exported fields during use. It is safe for
// concurrent use.
type API struct {
	Key  string           // the API key that calls must have
	Now  func() time.Time // the clock by which signing secrets expire
	Page int              // the maximum number of items a page

	// Run, if set, returns the course of a job that a call starts. If it is nil, each
	// such job succeeds at once. It must be safe for concurrent use. kind is one of
	// KindBatch and the other kinds. The call determines Model and Webhook of the
	// result; for a batch also Inline, and Requests unless its input is a file. An
	// interaction that is not in the background ignores the result, and succeeds at
	// once.
	Run func(kind string) Job

	Keys         *webhooktest.KeySet // its first key signs deliveries to the URLs of webhook configs
	Deliveries   http.RoundTripper   // transport of deliveries; nil: the network, to loopback IP addresses only, not to "localhost"
	Backoff      time.Duration       // pause before the second attempt, which doubles before each further one, until 24 hours after the first was due; not zero; New sets 5 s
	DisableAfter int                 // consecutive failed attempts that disable a webhook; zero: never

	// The following fields choose a behaviour of the real API that is unknown. EventID,
	// ChangeEvent and ChangeJob are called under the API's lock, so they must not call
	// its methods.
	EventID           func(name string) string   // returns data.id of a job; nil means Whole
	ChangeEvent       func(event map[string]any) // if set, changes an event before it is signed
	ChangeJob         func(job map[string]any)   // if set, changes the JSON of a job in each answer that shows it, also that of create, except for a video
	EchoWebhookConfig bool                       // create, get and list return the webhook config of a batch
	IgnoreFields      bool                       // the parameter "fields" has no effect

	// Trouble, if set, returns the fault for a call that has no fault from Fail. It
	// must be safe for concurrent use.
	Trouble func(call string) Fault

	routes *http.ServeMux

	mu       sync.Mutex
	webhooks []*hook // the oldest first
	faults   map[string][]Fault
	calls    []string
	revoked  bool

	seq   int
	jobs  map[string]*job // by name
	order []*job          // the newest first

	context   context.Context // ends with Close
	cancelAll context.CancelFunc
	alarms    map[*alarm]bool
	running   sync.WaitGroup
}

// New returns an API without webhooks and jobs, which accepts this API key.
func New(key string) *API {
	a := &API{
		Key: key, Now: time.Now, Page: maxPage,
		Keys: webhooktest.NewKeySet(), Backoff: 5 * time.Second,
		routes: http.NewServeMux(), faults: map[string][]Fault{}, jobs: map[string]*job{}, alarms: map[*alarm]bool{},
	}
	a.context, a.cancelAll = context.WithCancel(context.Background())
	a.serveWebhooks()
	a.serveJobs()
	a.routes.HandleFunc("GET /.well-known/jwks.json", func(w http.ResponseWriter, r *http.Request) { a.Keys.ServeHTTP(w, r) })
	return a
}

func (a *API) serveWebhooks() {
	const root = "/v1beta/webhooks"
	a.handle("POST "+root, Create, a.create)
	a.handle("GET "+root, List, a.list)
	a.handle("GET "+root+"/{id}", Get, a.onOne(func(w *hook, _ fields) (any, error) { return w.public(a.Now()), nil }))
	a.handle("PATCH "+root+"/{id}", Update, a.onOne(a.update))
	a.handle("DELETE "+root+"/{id}", Delete, a.onOne(a.delete))
	a.custom("POST "+root+"/{id}", map[string]endpoint{
		"ping": {Ping, a.ping}, "rotateSigningSecret": {Rotate, a.onOne(a.rotate)},
	})
}

func (a *API) serveJobs() {
	a.custom("POST /v1beta/models/{model}", map[string]endpoint{
		"batchGenerateContent": {CreateBatch, a.createBatch}, "predictLongRunning": {CreateVideo, a.createVideo},
	})
	a.handle("GET /v1beta/batches", ListBatches, a.listBatches)
	a.handle("GET /v1beta/batches/{id}", GetBatch, a.getBatch)
	a.handle("DELETE /v1beta/batches/{id}", DeleteBatch, a.deleteBatch)
	a.custom("POST /v1beta/batches/{id}", map[string]endpoint{"cancel": {CancelBatch, a.cancelBatch}})

	const interactions = "/v1beta/interactions"
	a.handle("POST "+interactions, CreateInteraction, a.createInteraction)
	a.handle("GET "+interactions+"/{id}", GetInteraction, a.onInteraction(func(j *job) object { return a.show(j, true) }))
	a.handle("DELETE "+interactions+"/{id}", DeleteInteraction, a.onInteraction(a.deleteInteraction))
	a.handle("POST "+interactions+"/{id}/cancel", CancelInteraction, a.onInteraction(a.cancelInteraction))

	a.handle("GET /v1beta/models/{model}/operations", ListVideos, a.listVideos)
	a.handle("GET /v1beta/models/{model}/operations/{id}", GetVideo, a.getVideo)
	a.custom("GET /v1beta/files/{id}", map[string]endpoint{"": {GetFile, a.getFile}, "download": {Download, a.redirectDownload}})
	a.custom("GET /download/v1beta/files/{id}", map[string]endpoint{"download": {Download, a.download}})
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.routes.ServeHTTP(w, r) }

// An endpoint is a call and the method that serves it.
type endpoint struct {
	call string
	do   method
}

// custom serves calls with a name after the last segment of the path and a colon, as
// in "batches/ID:cancel". The last segment of the pattern must be a wildcard.
func (a *API) custom(pattern string, calls map[string]endpoint) {
	last := strings.Trim(pattern[strings.LastIndexByte(pattern, '/')+1:], "{}")
	a.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		id, call, _ := strings.Cut(r.PathValue(last), ":")
		r.SetPathValue(last, id)
		if to, ok := calls[call]; ok {
			a.serve(w, r, to.call, to.do)
		} else {
			http.NotFound(w, r)
		}
	})
}

// fields is the body of a request, decoded one level deep.
type fields map[string]json.RawMessage

// into decodes the body into a struct. Names that the struct does not have are ignored.
func (f fields) into(to any) error {
	text, err := json.Marshal(f)
	if err != nil || json.Unmarshal(text, to) != nil {
		return invalid("Invalid JSON payload received.")
	}
	return nil
}

// A method carries out one call. Its result is sent as JSON, unless it is a raw.
type method func(r *http.Request, body fields) (any, error)

// handle serves one call at a pattern of http.ServeMux.
func (a *API) handle(pattern, call string, do method) {
	a.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, call, do) })
}

// jsonType is the content type of the real API's JSON answers.
const jsonType = "application/json; charset=UTF-8"

// serve answers one call: with its fault if it has one, else with the result of do.
func (a *API) serve(w http.ResponseWriter, r *http.Request, call string, do method) {
	fault := a.begin(call)
	if !fault.none() && !fault.Done {
		fault.answer(w, r, call)
		return
	}
	result, err := a.do(r, do)
	if !fault.none() {
		fault.answer(w, r, call)
		return
	}
	if err != nil {
		refuse(w, call, refusalOf(err))
		return
	}
	if file, ok := result.(raw); ok {
		file.answer(w)
		return
	}
	w.Header().Set("Content-Type", jsonType)
	_ = json.NewEncoder(w).Encode(result)
}

// refuse answers a call with an error. The format depends on the part of the API.
func refuse(w http.ResponseWriter, call string, refused *refusal) {
	body := refused.body()
	if strings.HasPrefix(call, "interactions.") {
		body = refused.interactionBody()
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(refused.code)
	_ = json.NewEncoder(w).Encode(body)
}

// do checks the API key, decodes the body, carries out the call and applies the
// parameter fields.
func (a *API) do(r *http.Request, do method) (any, error) {
	a.mu.Lock()
	revoked := a.revoked
	a.mu.Unlock()
	if revoked || r.Header.Get("x-goog-api-key") != a.Key {
		return nil, invalid("API key not valid. Please pass a valid API key.")
	}
	body := fields{}
	if r.ContentLength != 0 {
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&body); err != nil {
			return nil, invalid("Invalid JSON payload received.")
		}
	}
	result, err := do(r, body)
	mask := r.URL.Query().Get("fields")
	if err != nil || mask == "" || a.IgnoreFields {
		return result, err
	}
	selected, ok := selectFields(result, mask)
	if !ok {
		return nil, invalid("Invalid field selection " + mask)
	}
	return selected, nil
}

// show returns the API's JSON of a job. It includes the results of an inline batch if
// results is true. The caller holds the lock.
func (a *API) show(j *job, results bool) (shown object) {
	now := time.Now()
	switch j.kind {
	case KindBatch:
		shown = a.showBatch(j, now, results)
	case KindInteraction:
		shown = j.showInteraction(now)
	default:
		shown = j.showVideo(now)
	}
	if a.ChangeJob != nil {
		a.ChangeJob(shown)
	}
	return shown
}

func (a *API) create(_ *http.Request, body fields) (any, error) {
	w := &hook{id: newID(), state: enabled}
	if err := w.take(body, "name", "uri", "subscribed_events"); err != nil {
		return nil, err
	}
	if w.uri == "" || len(w.events) == 0 {
		return nil, invalid("'uri' and 'subscribed_events' are required.")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	w.renew(time.Time{})
	a.webhooks = append(a.webhooks, w)
	answer := w.public(a.Now())
	answer["new_signing_secret"] = w.secrets[0].text
	return answer, nil
}

// list ignores query parameters that it does not know, as the API does.
func (a *API) list(r *http.Request, _ fields) (any, error) {
	query := r.URL.Query()
	size, err := strconv.Atoi(query.Get("page_size"))
	if err != nil || size < 1 {
		size = defaultPage
	}
	from, err := strconv.Atoi(query.Get("page_token"))
	if err != nil && query.Get("page_token") != "" {
		return nil, invalid("Invalid page token.")
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	from = min(from, len(a.webhooks))
	to := min(from+min(size, a.Page), len(a.webhooks))
	answer := map[string]any{}
	var page []any
	for _, w := range a.webhooks[from:to] {
		page = append(page, w.public(a.Now()))
	}
	if page != nil {
		answer["webhooks"] = page
	}
	if to < len(a.webhooks) {
		answer["next_page_token"] = strconv.Itoa(to)
	}
	return answer, nil
}

// onOne returns a method that calls do with the webhook of the id in the path, under
// the lock.
func (a *API) onOne(do func(*hook, fields) (any, error)) method {
	return func(r *http.Request, body fields) (any, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		w := a.find(r.PathValue("id"))
		if w == nil {
			return nil, notFound(r.PathValue("id"))
		}
		return do(w, body)
	}
}

// find returns the webhook with this id, or nil. The caller holds the lock.
func (a *API) find(id string) *hook {
	i := slices.IndexFunc(a.webhooks, func(w *hook) bool { return w.id == id })
	if i < 0 {
		return nil
	}
	return a.webhooks[i]
}

// update sets the fields in the body. It ignores update_mask, as the real API does.
func (a *API) update(w *hook, body fields) (any, error) {
	changed := *w
	if err := changed.take(body, "name", "uri", "subscribed_events", "state"); err != nil {
		return nil, err
	}
	*w = changed
	return w.public(a.Now()), nil
}

func (a *API) delete(gone *hook, _ fields) (any, error) {
	a.webhooks = slices.DeleteFunc(a.webhooks, func(w *hook) bool { return w == gone })
	return struct{}{}, nil
}

// rotate creates a new secret at each call, as the real API does.
func (a *API) rotate(w *hook, body fields) (any, error) {
	if err := known(body, "revocation_behavior"); err != nil {
		return nil, err
	}
	behaviour := "revoke_previous_secrets_after_h24"
	if raw, ok := body["revocation_behavior"]; ok {
		if err := text(raw, "revocation_behavior", &behaviour); err != nil {
			return nil, err
		}
	}
	switch behaviour {
	case "revoke_previous_secrets_after_h24":
		w.renew(a.Now().Add(24 * time.Hour))
	case "revoke_previous_secrets_immediately":
		w.secrets = nil
		w.renew(time.Time{})
	default:
		return nil, invalid(fmt.Sprintf("Invalid value %q for 'revocation_behavior'. Supported values are: "+
			"'revoke_previous_secrets_after_h24', 'revoke_previous_secrets_immediately'.", behaviour))
	}
	return map[string]string{"secret": w.secrets[0].text}, nil
}

// ping answers {} before the delivery is made, so the answer does not depend on the
// receiver.
func (a *API) ping(r *http.Request, _ fields) (any, error) {
	id := r.PathValue("id")
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.find(id) == nil {
		return nil, notFound(id)
	}
	ping := &delivery{
		hook: id, msg: webhooktest.NewID(), body: []byte(pingEvent),
		pause: pingBackoff, until: time.Now().Add(pingTrying),
	}
	a.after(0, func() { a.try(ping) })
	return struct{}{}, nil
}
