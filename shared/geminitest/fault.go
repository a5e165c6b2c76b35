package geminitest

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A Fault replaces the answer to one call. The zero value is no fault: the call
// succeeds.
type Fault struct {
	Status int    // HTTP status of the answer; may be zero with Cut or Hang
	Done   bool   // the call takes effect, and only its reply is replaced
	Body   string // body of the answer; if empty, an error in the API's format
	Cut    bool   // the connection is closed without an answer
	Hang   bool   // the call blocks until the client gives up

	// RetryAfter is the value of the header Retry-After, in whole seconds. If it is
	// zero, the answer has the header Retry-After-Ms: 1, so that the SDKs retry at
	// once. If it is negative, the answer has neither header.
	RetryAfter time.Duration
}

// none reports whether f is no fault.
func (f Fault) none() bool { return f.Status == 0 && !f.Cut && !f.Hang }

// Fail adds faults for the next calls with this name, one for each call.
func (a *API) Fail(call string, faults ...Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults[call] = append(a.faults[call], faults...)
}

// begin records a call, and returns its fault: the next one of Fail, or else that of
// Trouble.
func (a *API) begin(call string) (f Fault) {
	a.mu.Lock()
	a.calls = append(a.calls, call)
	queue := a.faults[call]
	if len(queue) > 0 {
		f, a.faults[call] = queue[0], queue[1:]
	}
	a.mu.Unlock()
	if len(queue) == 0 && a.Trouble != nil {
		f = a.Trouble(call)
	}
	return f
}

// answer answers a call that has a fault.
func (f Fault) answer(w http.ResponseWriter, r *http.Request, call string) {
	if f.Hang {
		_, _ = io.Copy(io.Discard, r.Body) // the server notices a closed connection only after the body is read
		<-r.Context().Done()
	}
	if f.Hang || f.Cut {
		panic(http.ErrAbortHandler)
	}
	switch {
	case f.RetryAfter > 0:
		w.Header().Set("Retry-After", strconv.Itoa(int(f.RetryAfter.Seconds())))
	case f.RetryAfter == 0:
		w.Header().Set("Retry-After-Ms", "1")
	}
	if f.Body == "" {
		refuse(w, call, &refusal{f.Status, "a fault of the test"})
		return
	}
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(f.Status)
	fmt.Fprint(w, f.Body)
}

// Revoke makes the API key invalid, or valid again if revoked is false.
func (a *API) Revoke(revoked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = revoked
}

// Calls returns the names of the calls since the previous call of Calls, in order.
func (a *API) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls := a.calls
	a.calls = nil
	return calls
}

// IDs returns the ids of all webhooks, the oldest first.
func (a *API) IDs() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var ids []string
	for _, w := range a.webhooks {
		ids = append(ids, w.id)
	}
	return ids
}

// Secrets returns the secrets of a webhook that have not expired, the newest first.
// If the webhook does not exist, Secrets returns nil.
func (a *API) Secrets(id string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var texts []string
	if w := a.find(id); w != nil {
		for _, s := range w.inForce(a.Now()) {
			texts = append(texts, s.text)
		}
	}
	return texts
}

// Add adds a webhook with a new secret, without a call of the API, and returns its
// id. It is enabled and subscribed to all Events. The URL is not checked.
func (a *API) Add(uri string) (id string) { return a.AddWithSecret(uri, webhooktest.NewSecret()) }

// AddWithSecret is like [API.Add], with a given secret, "whsec_…".
func (a *API) AddWithSecret(uri, signing string) (id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := &hook{id: newID(), uri: uri, state: enabled, events: slices.Clone(Events), secrets: []secret{{text: signing}}}
	a.webhooks = append(a.webhooks, w)
	return w.id
}

// State returns the state and the id of the oldest webhook with this URL; both are
// empty if there is no such webhook.
func (a *API) State(uri string) (state, id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, w := range a.webhooks {
		if w.uri == uri {
			return w.state, w.id
		}
	}
	return "", ""
}

// Disable sets the state of a webhook to "disabled_due_to_failed_deliveries". If the
// webhook does not exist, Disable does nothing. The events of jobs that end while it is
// disabled are not delivered to it, even after Enable. A delivery with an attempt due
// in this time ends too.
func (a *API) Disable(id string) { a.setState(id, failed) }

// Enable sets the state of a webhook to "enabled", and its count of failures to 0. If
// the webhook does not exist, Enable does nothing.
func (a *API) Enable(id string) { a.setState(id, enabled) }

func (a *API) setState(id, state string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.find(id); w != nil {
		w.state, w.failures = state, 0
	}
}
