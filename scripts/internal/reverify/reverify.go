// Package reverify verifies a captured request again and reports which step it reached
// and which keys were tried. It runs the same receiver and verifiers as the functions.
// Its steps and reasons are therefore the functions' own, and it does not parse the
// texts of errors.
package reverify

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// Keys are the keys of an endpoint.
type Keys[K any] struct {
	Ring webhook.Keyring[K] // finds the keys
	Name func(K) string     // a key's name in results; it must not disclose the key
}

// An Endpoint holds the keys and settings that a function verifies deliveries with. It
// is dynamic if Dynamic is set; else Static must be set.
type Endpoint struct {
	Static *Keys[webhook.SigningKey] // the signing secrets of a static endpoint

	// Dynamic and Audiences belong to a dynamic endpoint. Audiences are the accepted
	// values of a JWT's aud; if empty, all JWTs are rejected. A JWT without an event is
	// accepted for any body.
	Dynamic   *Keys[webhook.PublicKey]
	Audiences []string

	Tolerance time.Duration // zero means webhook.DefaultTolerance
}

// A Result is the outcome of one verification.
type Result struct {
	Err     error            // nil if the request was accepted
	Refusal *webhook.Refusal // Err as a refusal; nil if the keys were not available
	Tried   []string         // the names of the keys that were tried, each once
	Matched string           // the name of the key that matched; empty if no key did
}

// Verify verifies a request's headers and body. It does not check the URL token.
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

// Steps are the steps of Verify, in order.
var Steps = []webhook.Step{
	webhook.StepHeaders, webhook.StepScheme, webhook.StepSignature, webhook.StepJWT, webhook.StepTimestamp,
}

// Passed reports whether a request passed a step of Verify. If Err is not a refusal,
// the keys were not available; then the steps before the signature are passed.
func (r *Result) Passed(step webhook.Step) bool {
	switch {
	case r.Err == nil:
		return true
	case r.Refusal == nil:
		return slices.Index(Steps, step) < slices.Index(Steps, webhook.StepSignature)
	}
	return slices.Index(Steps, step) < slices.Index(Steps, r.Refusal.Step)
}

// Reason returns the reason for which a request was rejected, and "" if it was not.
func (r *Result) Reason() webhook.Reason {
	if r.Refusal == nil {
		return ""
	}
	return r.Refusal.Reason
}

// A recorder is a keyring for one verification. It records the keys that were tried and
// the key that matched.
type recorder[K any] struct {
	keys *Keys[K]
	Result
}

// Find implements [webhook.Keyring].
func (r *recorder[K]) Find(ctx context.Context, match func(K) bool) (bool, error) {
	return r.keys.Ring.Find(ctx, func(key K) bool {
		name := r.keys.Name(key)
		if !slices.Contains(r.Tried, name) { // after a refresh, the keyring tries all keys again
			r.Tried = append(r.Tried, name)
		}
		ok := match(key)
		if ok {
			r.Matched = name
		}
		return ok
	})
}

// ended completes the result with the verification's error.
func (r *recorder[K]) ended(err error) Result {
	r.Err, r.Refusal = err, webhook.AsRefusal(err)
	return r.Result
}

// Fixed is a keyring with a fixed set of keys.
type Fixed[K any] []K

// Find implements [webhook.Keyring].
func (f Fixed[K]) Find(_ context.Context, match func(K) bool) (bool, error) {
	return slices.ContainsFunc(f, match), nil
}
