// Package webhook verifies Gemini webhook deliveries.
//
// A verifier, [Static] or [Dynamic], takes the headers and the body exactly as they
// were received, and returns a [Delivery]. If the sender is at fault, it returns a
// [Refusal] instead, with the [Reason] and the [Step] that failed. Any other error is
// a failure of geminihook or of a service that it uses, called "a failure of ours" in
// this package; it is answered 503, so that the sender retries.
//
// A Delivery is proof that its signature matched, because only the verifiers make
// deliveries from requests. Package reconcile makes deliveries of scheme [API], for
// events that Gemini did not deliver.
//
// The static endpoint, for project-level webhooks, accepts scheme v1 only. The dynamic
// endpoint, for per-request webhooks, accepts v1a and JWT; the form of the
// webhook-signature header determines which (see [IsJWT]). Both endpoints use the three
// headers of Standard Webhooks (https://www.standardwebhooks.com, version 1.0.0). v1
// and v1a sign "id.timestamp.body". A JWT covers neither the id nor the timestamp. If
// its claims have type or data, it covers the members of the body that are also among
// its claims. If they have neither, it covers nothing of the body (see
// [Dynamic.JWTWithoutEvent]). All other members of the body are unauthenticated.
package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Scheme is the method by which a delivery was authenticated.
type Scheme string

// The schemes.
const (
	V1  Scheme = "v1"  // HMAC-SHA256 with the signing secret of this webhook
	V1a Scheme = "v1a" // Ed25519 with one of Google's keys
	JWT Scheme = "jwt" // a JSON Web Token signed with one of Google's keys
	API Scheme = "api" // no delivery arrived: the event was rebuilt from its job in the Gemini API
)

// The values of [Delivery.Endpoint]. Endpoint and ID identify a delivery, except for
// scheme JWT: a JWT does not cover the id, so the body is part of the identity (see
// dedup.DocumentID).
const (
	StaticEndpoint  = "static"  // project-level webhooks: scheme v1
	DynamicEndpoint = "dynamic" // per-request webhooks: schemes v1a and JWT

	// ReconciledEndpoint is the endpoint of events that package reconcile rebuilds.
	ReconciledEndpoint = "reconciled"
)

// A Delivery is a genuine delivery, or an event that package reconcile rebuilt. Do
// not modify it. It is safe for concurrent use.
type Delivery struct {
	Endpoint    string    // StaticEndpoint, DynamicEndpoint or ReconciledEndpoint
	Scheme      Scheme    // how it was authenticated
	ID          string    // webhook-id: 1 to 256 printable ASCII characters, without dots; the same on every retry
	Received    time.Time // when it was verified
	ContentType string    // as received; may be empty or invalid
	// ContentEncoding is the content-encoding header as received; empty if absent.
	// Body is not decoded.
	ContentEncoding string
	// Traceparent is the request's place in a trace, as received. It is empty if the
	// header is absent, repeated, or not well-formed. The signature does not cover it.
	Traceparent string
	Body        []byte // exactly the bytes received
	Event       Event  // the event in Body; zero if Body describes no event
}

// A Receipt is the result of publishing a message. If publishing failed, MessageID is
// empty.
type Receipt struct {
	Topic     string // full name: projects/P/topics/T
	MessageID string // assigned by Pub/Sub

	// Attempts is the number of publish attempts. If it is above 1, there may be copies
	// with the same webhook-id and other message ids.
	Attempts int
}

// A Keyring holds the current keys, which may change at their source at any time.
type Keyring[K any] interface {
	// Find reports whether match returns true for one of the keys. A false without an
	// error is definite: the keys were fetched from their source within the last
	// minute. An error means that the current keys are not known; the sender is not
	// at fault. Find may call match several times for the same key, one call at a
	// time.
	Find(ctx context.Context, match func(K) bool) (bool, error)
}

// A CutError is the error of a Keyring that left out keys because of a limit of its
// own, for example on the number of keys. Only keys of the listed algorithms are
// missing: a signature by another algorithm that matches no key is definitely not
// genuine.
type CutError struct {
	Algorithms []string // see PublicKey.Algorithm
	Reason     string   // names the limit
}

// Error returns the reason.
func (e *CutError) Error() string { return e.Reason }

// The outcomes of a request. Each error that the packages in shared return for a
// delivery is one of:
//   - a [*Refusal], which wraps its kind: one of the errors before ErrDuplicate,
//   - ErrDuplicate or ErrMismatch,
//   - ErrUnmarked,
//   - a [*BusyError],
//   - a failure of ours, which includes ErrNotPublished; the sender may retry.
//
// Match the variables with errors.Is, a *BusyError with errors.As, and a *Refusal with
// AsRefusal.
var (
	// ErrOverloaded and ErrSlowBody are answered 503, like a failure of ours: the
	// delivery may be genuine, and a retry may succeed.
	ErrOverloaded = errors.New("too many requests at once")
	ErrSlowBody   = errors.New("request body too slow")

	ErrMethod       = errors.New("not a POST")
	ErrUnauthorized = errors.New("URL token missing or wrong") // dynamic endpoint only
	ErrTooLarge     = errors.New("body too large")
	ErrMalformed    = errors.New("malformed delivery")

	// ErrForged means that no current key made a signature of a scheme that the endpoint
	// accepts. It is also the kind of a JWT that a current key signed, but that does not
	// authenticate this delivery: the reasons JWTClaimsForm, JWTExpMissing,
	// EventMissing, EventDiffers and EventNotInBody.
	ErrForged = errors.New("signature does not authenticate the delivery")

	ErrAudience = errors.New("token signed for another audience")     // JWT only
	ErrStale    = errors.New("genuine, but too old or too far ahead") // signature valid, a time out of bounds; at StepJWT the body has not been compared yet

	// ErrDuplicate means that the delivery was published before. ErrMismatch is a
	// duplicate with a body that differs from the published one.
	ErrDuplicate = errors.New("already published")
	ErrMismatch  = fmt.Errorf("%w, with another body", ErrDuplicate)

	// ErrUnmarked means that the delivery was published, but its record could not be
	// marked as done: a retry may publish it again, with the same webhook-id and another
	// message id.
	ErrUnmarked = errors.New("published, but not recorded as done")

	// ErrNotPublished means that the message is certainly not on its topic. After any
	// other publish error it may be on the topic.
	ErrNotPublished = errors.New("not published")
)

// A BusyError means that another attempt at the same delivery, perhaps in this instance,
// holds the claim. The sender may retry after RetryAfter, when that attempt has finished
// or its lease has expired.
type BusyError struct {
	RetryAfter time.Duration // remaining time of the lease
}

// Error returns a text with the remaining time of the lease.
func (e *BusyError) Error() string {
	return fmt.Sprintf("claimed by another attempt; its lease expires in %v", e.RetryAfter)
}
