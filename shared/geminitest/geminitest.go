// Package geminitest is the Gemini webhooks API inside this process: not as it is
// documented but as it is observed to behave, with faults where a test wants them.
// It delivers too, signed as Gemini signs, and only to this machine.
package geminitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Events are those that can be subscribed to. The two cancellations, which are
// documented beside them, are refused.
var Events = []string{
	"batch.succeeded", "batch.failed", "batch.expired",
	"interaction.completed", "interaction.requires_action", "interaction.failed",
	"video.generated",
}

// The calls of the API.
const (
	Create = "create"
	List   = "list"
	Get    = "get"
	Update = "update"
	Delete = "delete"
	Ping   = "ping"
	Rotate = "rotate"
)

const (
	defaultPage = 50
	maxPage     = 1000
	maxBody     = 1 << 20
)

// An API is an http.Handler that serves /v1beta/webhooks. Its exported fields are
// not to be changed in use. It is safe for concurrent use; make one with New.
type API struct {
	Key  string           // the API key that it takes
	Now  func() time.Time // what secrets expire by
	Page int              // the most webhooks that it gives out at once

	routes *http.ServeMux

	mu       sync.Mutex
	webhooks []*hook // the oldest first
	faults   map[string][]Fault
	calls    []string
}

// New returns an API without webhooks.
func New(key string) *API {
	a := &API{Key: key, Now: time.Now, Page: maxPage, routes: http.NewServeMux(), faults: map[string][]Fault{}}
	const root = "/v1beta/webhooks"
	a.handle("POST "+root, Create, a.create)
	a.handle("GET "+root, List, a.list)
	a.handle("GET "+root+"/{id}", Get, a.onOne(func(w *hook, _ fields) (any, error) { return w.public(a.Now()), nil }))
	a.handle("PATCH "+root+"/{id}", Update, a.onOne(a.update))
	a.handle("DELETE "+root+"/{id}", Delete, a.onOne(a.delete))
	a.routes.HandleFunc("POST "+root+"/{call}", a.custom)
	return a
}

// ServeHTTP implements http.Handler.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) { a.routes.ServeHTTP(w, r) }

// custom serves the calls whose name follows the id and a colon.
func (a *API) custom(w http.ResponseWriter, r *http.Request) {
	id, call, _ := strings.Cut(r.PathValue("call"), ":")
	r.SetPathValue("id", id)
	switch call {
	case "ping":
		a.serve(w, r, Ping, a.ping)
	case "rotateSigningSecret":
		a.serve(w, r, Rotate, a.onOne(a.rotate))
	default:
		http.NotFound(w, r)
	}
}

// fields are the body of a request, decoded one level deep.
type fields map[string]json.RawMessage

// A method does one call. What it returns goes out as JSON.
type method func(r *http.Request, body fields) (any, error)

func (a *API) handle(pattern, call string, do method) {
	a.routes.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { a.serve(w, r, call, do) })
}

func (a *API) serve(w http.ResponseWriter, r *http.Request, call string, do method) {
	fault := a.begin(call)
	if fault.Status != 0 && !fault.Done {
		fault.answer(w)
		return
	}
	result, err := a.do(r, do)
	if fault.Status != 0 {
		fault.answer(w)
		return
	}
	status := http.StatusOK
	if err != nil {
		refused := refusalOf(err)
		status, result = refused.code, refused.body()
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(result)
}

func (a *API) do(r *http.Request, do method) (any, error) {
	if r.Header.Get("x-goog-api-key") != a.Key {
		return nil, invalid("API key not valid. Please pass a valid API key.")
	}
	body := fields{}
	if r.ContentLength != 0 {
		if err := json.NewDecoder(http.MaxBytesReader(nil, r.Body, maxBody)).Decode(&body); err != nil {
			return nil, invalid("Invalid JSON payload received.")
		}
	}
	return do(r, body)
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
	w := a.find(id)
	a.mu.Unlock()
	if w == nil {
		return nil, notFound(id)
	}
	go a.deliverPing(id)
	return struct{}{}, nil
}
