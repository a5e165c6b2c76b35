package geminitest

import (
	"fmt"
	"net/http"
	"slices"
)

// A Fault is what becomes of one call.
type Fault struct {
	Status int    // the answer
	Done   bool   // it happened all the same: only the reply is lost
	Body   string // the answer's body, where it is to be an odd one
}

// Fail has the next calls of a kind meet faults, one each.
func (a *API) Fail(call string, faults ...Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.faults[call] = append(a.faults[call], faults...)
}

// begin notes a call and returns the fault that it meets.
func (a *API) begin(call string) (f Fault) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, call)
	if queue := a.faults[call]; len(queue) > 0 {
		f, a.faults[call] = queue[0], queue[1:]
	}
	return f
}

// answer lets a client that repeats the call do so at once.
func (f Fault) answer(w http.ResponseWriter) {
	body := f.Body
	if body == "" {
		body = fmt.Sprintf(`{"error":{"code":%d,"message":"a fault of the test","status":"UNKNOWN"}}`, f.Status)
	}
	w.Header().Set("Content-Type", "application/json; charset=UTF-8")
	w.Header().Set("Retry-After-Ms", "1")
	w.WriteHeader(f.Status)
	fmt.Fprint(w, body)
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
