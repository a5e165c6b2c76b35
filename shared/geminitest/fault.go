package geminitest

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// A Fault is what becomes of one call. The zero value lets it succeed.
type Fault struct {
	Status int    // the answer; zero without Cut and Hang: no fault
	Done   bool   // the call takes effect all the same: only the reply is lost
	Body   string // the answer's body; empty: an error in the API's format
	Cut    bool   // the connection breaks without an answer
	Hang   bool   // there is no answer until the client gives up, and then none

	// RetryAfter is what an answer says about the next attempt, in whole seconds. Zero
	// lets the SDKs repeat the call at once, by a header of their own. Less than zero
	// says nothing.
	RetryAfter time.Duration
}

// none reports whether the call succeeds.
func (f Fault) none() bool { return f.Status == 0 && !f.Cut && !f.Hang }

// Fail has the next calls of a kind meet faults, one each.
func (a *API) Fail(call string, faults ...Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults[call] = append(a.faults[call], faults...)
}

// begin notes a call and returns the fault that it meets: the next one of Fail, or else
// that of Trouble.
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

// answer answers a call that meets a fault.
func (f Fault) answer(w http.ResponseWriter, r *http.Request, call string) {
	if f.Hang {
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

// Revoke makes the key invalid, or valid again.
func (a *API) Revoke(revoked bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.revoked = revoked
}

// Calls returns the calls since the last time, in order.
func (a *API) Calls() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	calls := a.calls
	a.calls = nil
	return calls
}

// IDs returns the webhooks there are, the oldest first.
func (a *API) IDs() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var ids []string
	for _, w := range a.webhooks {
		ids = append(ids, w.id)
	}
	return ids
}

// Secrets returns the secrets in force of a webhook, the newest first.
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

// Add makes a webhook as an earlier run, or somebody else, would have.
func (a *API) Add(uri string) (id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := &hook{id: newID(), uri: uri, state: enabled, events: slices.Clone(Events)}
	w.renew(a.Now())
	a.webhooks = append(a.webhooks, w)
	return w.id
}

// Disable puts a webhook in the state that too many failed deliveries lead to.
func (a *API) Disable(id string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.find(id).state = failed
}
