// Package geminitest stands in for the part of the Gemini API that this project uses:
// webhooks, batches, background interactions, video operations, and the files that they
// make. It behaves as the API is observed to behave, not as it is documented. Jobs end
// after a chosen time; their events are delivered, signed as Gemini signs, only to this
// machine or through a transport that the test provides. A test can ask for faults.
//
// It uses no clock but that of package time. With [API.Client], and with deliveries
// through [InMemory], it runs in a bubble of testing/synctest on virtual time.
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

// Events are those that can be subscribed to. The two cancellations, which are
// documented beside them, are refused.
var Events = []string{
	"batch.succeeded", "batch.failed", "batch.expired",
	"interaction.completed", "interaction.requires_action", "interaction.failed",
	"video.generated",
}

// The calls of the API that are about webhooks.
const (
	Create = "create"
	List   = "list"
	Get    = "get"
	Update = "update"
	Delete = "delete"
	Ping   = "ping"
	Rotate = "rotate"
)

// The other calls of the API.
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

const (
	defaultPage = 50
	maxPage     = 1000
	maxBody     = 1 << 20
)

// An API is an http.Handler that serves /v1beta, and the keys that sign v1a deliveries
// at /.well-known/jwks.json. Its exported fields must not be changed in use. It is safe
// for concurrent use; make one with New and end it with Close.
type API struct {
	Key  string           // the API key that it takes
	Now  func() time.Time // what secrets expire by
	Page int              // the most items that it gives out at once

	// BaseURL is where the URLs of files lead. Default: Google's.
	BaseURL string

	// Run, if set, returns how a job runs that is started by a call. Its model, and its
	// webhook config, are those of the call. Nil: it succeeds at once.
	Run func(kind string) Job

	Keys         *webhooktest.KeySet // signs the deliveries of webhook configs, by its first key
	Deliveries   http.RoundTripper   // nil: the network, and only this machine
	Backoff      time.Duration       // between the first and the second attempt, doubling; default 5 s
	DisableAfter int                 // failed attempts in a row that disable a webhook; zero: never

	// The facts about the API that are not known.
	EventID           func(name string) string   // data.id of a job; nil: Whole
	ChangeEvent       func(event map[string]any) // changes a body before it is signed
	ChangeJob         func(job map[string]any)   // changes a job before get or list shows it
	EchoWebhookConfig bool                       // a batch shows its webhook config
	IgnoreFields      bool                       // the parameter "fields" has no effect

	// Trouble, if set, returns the fault that a call meets if Fail has none for it. It
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

// New returns an API without webhooks and without jobs.
func New(key string) *API {
	a := &API{
		Key: key, Now: time.Now, Page: maxPage, BaseURL: "https://generativelanguage.googleapis.com",
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

// custom serves the calls whose name follows the last segment of the path and a colon.
// That segment is a wildcard of the pattern.
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

// fields are the body of a request, decoded one level deep.
type fields map[string]json.RawMessage

// into decodes the body into a struct. Names that the struct does not have are ignored.
func (f fields) into(to any) error {
	text, err := json.Marshal(f)
	if err != nil || json.Unmarshal(text, to) != nil {
		return invalid("Invalid JSON payload received.")
	}
	return nil
}

// A method does one call. What it returns goes out as JSON, except a raw.
type method func(r *http.Request, body fields) (any, error)

func (a *API) handle(pattern, call string, do method) {
	a.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, call, do) })
}

const jsonType = "application/json; charset=UTF-8"

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

// refuse answers with an error, in the format of the call's part of the API.
func refuse(w http.ResponseWriter, call string, refused *refusal) {
	body := refused.body()
	if strings.HasPrefix(call, "interactions.") {
		body = refused.interactionBody()
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(refused.code)
	_ = json.NewEncoder(w).Encode(body)
}

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

// show returns a job as the API has it. Results are those of an inline batch. The
// caller holds the lock.
func (a *API) show(j *job, results bool) (shown object) {
	now := time.Now()
	switch j.kind {
	case KindBatch:
		shown = a.showBatch(j, now, results)
	case KindInteraction:
		shown = j.showInteraction(now)
	default:
		shown = a.showVideo(j, now)
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

// onOne returns a method that is about the webhook with the id in the path.
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

// find returns the webhook of an id, or nil.
func (a *API) find(id string) *hook {
	i := slices.IndexFunc(a.webhooks, func(w *hook) bool { return w.id == id })
	if i < 0 {
		return nil
	}
	return a.webhooks[i]
}

// update applies exactly the fields in the body: update_mask is ignored.
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

// rotate gives out a new secret at every call.
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

// ping answers {} whether or not anybody is there.
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
