// Package reverify verifies a captured request once more and reports how far it got and
// which keys were tried. The receiver and the verifiers are those of the functions: the
// steps and reasons are theirs, and nothing is derived from the texts of errors.
package reverify

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// Keys are those of an endpoint, each with a name that discloses nothing of it.
type Keys[K any] struct {
	Ring webhook.Keyring[K]
	Name func(K) string
}

// An Endpoint is what a function verifies deliveries with.
type Endpoint struct {
	Static *Keys[webhook.SigningKey] // of a static endpoint

	// Of a dynamic endpoint. JWTs that carry no event are accepted.
	Dynamic   *Keys[webhook.PublicKey]
	Audiences []string

	Tolerance time.Duration // zero means webhook.DefaultTolerance
}

// A Result is how one verification ended.
type Result struct {
	Err     error            // nil if the request was accepted
	Refusal *webhook.Refusal // Err if it is one; else Err is a failure to get the keys
	Tried   []string         // the names of the keys that were tried, each once
	Matched string           // the name of the one that matched; empty if none did
}

// Verify verifies a request, but for its URL token.
func (e *Endpoint) Verify(ctx context.Context, header http.Header, body []byte) Result {
	if e.Dynamic != nil {
		keys := &recorder[webhook.PublicKey]{keys: e.Dynamic}
		v := webhook.Dynamic{Keys: keys, Audiences: e.Audiences, JWTWithoutEvent: true, Tolerance: e.Tolerance}
		_, err := v.Verify(ctx, header, body)
		return keys.ended(err)
	}
	keys := &recorder[webhook.SigningKey]{keys: e.Static}
	_, err := (&webhook.Static{Keys: keys, Tolerance: e.Tolerance}).Verify(ctx, header, body)
	return keys.ended(err)
}

// Steps are those of Verify, in their order.
var Steps = []webhook.Step{
	webhook.StepHeaders, webhook.StepScheme, webhook.StepSignature, webhook.StepJWT, webhook.StepTimestamp,
}

// Passed reports whether a request passed a step of Verify. If Err is no refusal, the
// keys could not be had: the steps before the signature are passed.
func (r *Result) Passed(step webhook.Step) bool {
	switch {
	case r.Err == nil:
		return true
	case r.Refusal == nil:
		return slices.Index(Steps, step) < slices.Index(Steps, webhook.StepSignature)
	}
	return slices.Index(Steps, step) < slices.Index(Steps, r.Refusal.Step)
}

// Reason returns why a request was refused, and nothing for one that was not.
func (r *Result) Reason() webhook.Reason {
	if r.Refusal == nil {
		return ""
	}
	return r.Refusal.Reason
}

// A recorder is a keyring for one verification, and remembers what became of it.
type recorder[K any] struct {
	keys *Keys[K]
	Result
}

// Find implements [webhook.Keyring].
func (r *recorder[K]) Find(ctx context.Context, match func(K) bool) (bool, error) {
	return r.keys.Ring.Find(ctx, func(key K) bool {
		name := r.keys.Name(key)
		if !slices.Contains(r.Tried, name) { // keys are tried again after a refresh
			r.Tried = append(r.Tried, name)
		}
		ok := match(key)
		if ok {
			r.Matched = name
		}
		return ok
	})
}

func (r *recorder[K]) ended(err error) Result {
	r.Err, r.Refusal = err, webhook.AsRefusal(err)
	return r.Result
}

// Fixed are keys that do not change.
type Fixed[K any] []K

// Find implements [webhook.Keyring].
func (f Fixed[K]) Find(_ context.Context, match func(K) bool) (bool, error) {
	return slices.ContainsFunc(f, match), nil
}
