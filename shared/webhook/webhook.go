// Package webhook says what a Gemini webhook delivery is and whether it is
// genuine.
//
// A verifier, [Static] or [Dynamic], takes the headers and the body exactly as
// they were received and returns a [Delivery], or a [Refusal] that says why there
// is none, and at which [Step]. Holding a Delivery is the proof that its signature matched; nothing
// else in the project makes one out of a request. Package reconcile makes deliveries of
// the scheme [API] out of what the Gemini API says of a job.
//
// The scheme is chosen by the endpoint that was called, never by the caller.
// Both endpoints speak Standard Webhooks (https://www.standardwebhooks.com,
// version 1.0.0): three headers, and a signature over "id.timestamp.body".
package webhook

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Scheme is the way in which a delivery proved itself.
type Scheme string

// The schemes.
const (
	V1  Scheme = "v1"  // HMAC-SHA256 with a secret of this webhook
	V1a Scheme = "v1a" // Ed25519 with one of Google's keys
	JWT Scheme = "jwt" // a JSON Web Token signed with one of Google's keys
	API Scheme = "api" // no delivery came: the event was rebuilt from what the API says of its job
)

// The endpoints. A delivery id is unique within its endpoint.
const (
	StaticEndpoint  = "static"
	DynamicEndpoint = "dynamic"

	// ReconciledEndpoint is where events count as received that package reconcile rebuilds.
	ReconciledEndpoint = "reconciled"
)

// A Delivery is one genuine delivery, or an event that package reconcile rebuilt. It is
// not to be changed. It is safe for concurrent use.
type Delivery struct {
	Endpoint    string    // StaticEndpoint, DynamicEndpoint or ReconciledEndpoint
	Scheme      Scheme    // how it proved itself
	ID          string    // webhook-id: 1 to 256 printable ASCII characters, none of them a dot; the same on every retry
	Received    time.Time // when it was verified
	ContentType string    // as received; may be empty or nonsense
	// ContentEncoding is as received too: empty unless the sender names an encoding.
	// Body is not decoded.
	ContentEncoding string
	// Traceparent is the request's place in a trace, as received. It is empty if the
	// header is absent, repeated, or not well-formed. The signature does not cover it.
	Traceparent string
	Body        []byte // exactly the bytes received
	Event       Event  // the one that Body describes; zero if it describes none
}

// A Receipt is Pub/Sub's acknowledgement that a message is stored.
type Receipt struct {
	Topic     string // full name: projects/P/topics/T
	MessageID string
	Attempts  int // made to publish it; each but the last may have put a copy on the topic
}

// A Keyring holds the keys in force, which change at their source at any time.
type Keyring[K any] interface {
	// Find reports whether match holds for one of the keys. A false without an
	// error is definite: the keys were confirmed at their source within the last
	// minute. An error means that nobody can say now, and that it is our fault.
	// match may be called several times for a key, one call at a time.
	Find(ctx context.Context, match func(K) bool) (bool, error)
}

// A CutError is the error of a Keyring that left out keys of some algorithms because
// of a bound of ours. A signature by another algorithm that matches none of its keys is
// definitely no match all the same.
type CutError struct {
	Algorithms []string // see PublicKey.Algorithm
	Reason     string   // names the bound
}

func (e *CutError) Error() string { return e.Reason }

// What can become of a request. Every error that the packages in shared return
// for a delivery is one of these, or a fault of ours, which the sender may try
// again. Match them with errors.Is. Those before ErrDuplicate are the kinds of
// refusals: they come wrapped in a *Refusal.
var (
	// ErrOverloaded and ErrSlowBody are answered like a fault of ours, since the
	// sender may be right and its retry may succeed.
	ErrOverloaded = errors.New("too many requests at once")
	ErrSlowBody   = errors.New("the body took too long")

	ErrMethod       = errors.New("not a POST")
	ErrUnauthorized = errors.New("URL token missing or wrong")
	ErrTooLarge     = errors.New("body too large")
	ErrMalformed    = errors.New("malformed delivery")
	ErrForged       = errors.New("not signed by a key in force")
	ErrAudience     = errors.New("token signed for another audience")
	ErrStale        = errors.New("genuine, but too old or too far ahead")

	// ErrDuplicate means that the delivery was published before. ErrMismatch is a
	// duplicate whose body differs from the one that was published.
	ErrDuplicate = errors.New("already published")
	ErrMismatch  = fmt.Errorf("%w, with another body", ErrDuplicate)

	// ErrUnmarked means that the delivery is on its topic but its record does not
	// say so: a retry may publish it again under the same id.
	ErrUnmarked = errors.New("published, but not recorded as done")

	// ErrNotPublished means that the message is certainly not on its topic. Any
	// other failure to publish leaves that open.
	ErrNotPublished = errors.New("not published")
)

// BusyError means that another instance holds the delivery. It is to be tried
// again after RetryAfter, when that instance has finished or its lease has
// expired.
type BusyError struct {
	RetryAfter time.Duration
}

func (e *BusyError) Error() string {
	return fmt.Sprintf("claimed by another instance, whose lease ends in %v", e.RetryAfter)
}
