package webhook

import (
	"errors"
	"fmt"
	"slices"
)

// A Step is a stage of processing a request. The steps run in the order of the
// constants, so a request that ended at one step has passed all steps before it. Log
// lines, metrics and alerts contain step names, so a released name never changes.
type Step string

// The steps, in their order.
const (
	StepBuild     Step = "build"     // reads the settings and opens the clients
	StepLimit     Step = "limit"     // checks the instance's concurrency limit
	StepMethod    Step = "method"    // checks that the method is POST
	StepGate      Step = "gate"      // checks the URL token, if one is required
	StepBody      Step = "body"      // reads the body, within its maximum time and size
	StepHeaders   Step = "headers"   // parses the three webhook-* headers
	StepScheme    Step = "scheme"    // finds a signature of a scheme that the endpoint accepts
	StepSignature Step = "signature" // verifies the signature with the current keys
	StepJWT       Step = "jwt"       // checks a JWT's audience, times and event
	StepTimestamp Step = "timestamp" // compares webhook-timestamp with the clock
	StepClaim     Step = "claim"     // claims the delivery in the ledger
	StepPublish   Step = "publish"   // publishes the message to Pub/Sub
	StepMark      Step = "mark"      // marks the delivery as done in the ledger
)

// A Reason is the machine-readable cause of a refusal. The set is fixed, and each
// reason belongs to one step and one kind. A released name never changes.
type Reason string

// The reasons, in the order of their steps.
const (
	TooManyRequests Reason = "too_many_requests" // the instance's concurrency limit is reached

	NotPOST Reason = "not_post"

	URLTokenMissing Reason = "url_token_missing"
	URLTokenWrong   Reason = "url_token_wrong" // not one of the current tokens

	BodyTooLarge   Reason = "body_too_large"
	BodyIncomplete Reason = "body_incomplete" // the connection was closed mid-body
	BodySlow       Reason = "body_slow"       // it did not arrive in time, or left too little time to fetch the keys

	IDMissing          Reason = "id_missing" // missing or empty
	IDRepeated         Reason = "id_repeated"
	IDMalformed        Reason = "id_malformed"      // see ID
	TimestampMissing   Reason = "timestamp_missing" // missing or empty
	TimestampRepeated  Reason = "timestamp_repeated"
	TimestampMalformed Reason = "timestamp_malformed" // not in Unix seconds
	SignatureMissing   Reason = "signature_missing"   // missing or empty
	TooManySignatures  Reason = "too_many_signatures"
	JWTTooLarge        Reason = "jwt_too_large"

	NoSignature  Reason = "no_signature"  // no signature of a scheme that the endpoint accepts
	JWTMalformed Reason = "jwt_malformed" // not base64url, or the header is not a JSON object
	JWTAlgorithm Reason = "jwt_algorithm" // not RS256, ES256 or EdDSA
	JWTCritical  Reason = "jwt_critical"  // has critical extensions (crit)

	NoKeyMatches Reason = "no_key_matches" // signed with another key, or changed after signing

	JWTClaimsForm   Reason = "jwt_claims_form"  // not as RFC 7519 defines them
	AudienceUnset   Reason = "audience_unset"   // no audience is configured
	AudienceUnknown Reason = "audience_unknown" // aud contains no configured audience
	JWTExpMissing   Reason = "jwt_exp_missing"
	JWTExpired      Reason = "jwt_expired"
	JWTNotYet       Reason = "jwt_not_yet"       // nbf is in the future
	JWTOld          Reason = "jwt_old"           // iat is too far in the past
	JWTAhead        Reason = "jwt_ahead"         // iat is too far in the future
	JWTLivesLong    Reason = "jwt_lives_long"    // exp is too far in the future
	EventMissing    Reason = "event_missing"     // the claims lack type, data or both, and JWTWithoutEvent is false
	EventNotInBody  Reason = "event_not_in_body" // the claims have type or data, and the body is not a JSON object or has a duplicate key
	EventDiffers    Reason = "event_differs"     // the events in the JWT and in the body differ

	TimestampOld   Reason = "timestamp_old"
	TimestampAhead Reason = "timestamp_ahead"
)

// reasons maps each reason to its kind and step.
var reasons = []struct {
	kind    error
	step    Step
	reasons []Reason
}{
	{ErrOverloaded, StepLimit, []Reason{TooManyRequests}},
	{ErrMethod, StepMethod, []Reason{NotPOST}},
	{ErrUnauthorized, StepGate, []Reason{URLTokenMissing, URLTokenWrong}},
	{ErrTooLarge, StepBody, []Reason{BodyTooLarge}},
	{ErrMalformed, StepBody, []Reason{BodyIncomplete}},
	{ErrSlowBody, StepBody, []Reason{BodySlow}},
	{ErrMalformed, StepHeaders, []Reason{
		IDMissing, IDRepeated, IDMalformed, TimestampMissing, TimestampRepeated, TimestampMalformed,
		SignatureMissing, TooManySignatures, JWTTooLarge,
	}},
	{ErrForged, StepScheme, []Reason{NoSignature, JWTMalformed, JWTAlgorithm, JWTCritical}},
	{ErrForged, StepSignature, []Reason{NoKeyMatches}},
	{ErrForged, StepJWT, []Reason{JWTClaimsForm, JWTExpMissing, EventMissing, EventDiffers, EventNotInBody}},
	{ErrAudience, StepJWT, []Reason{AudienceUnset, AudienceUnknown}},
	{ErrStale, StepJWT, []Reason{JWTExpired, JWTNotYet, JWTOld, JWTAhead, JWTLivesLong}},
	{ErrStale, StepTimestamp, []Reason{TimestampOld, TimestampAhead}},
}

// A Refusal is a rejection with a Reason. It wraps its kind, and is answered 4xx, except
// the kinds ErrOverloaded and ErrSlowBody: 503. An error that is neither a Refusal nor
// ErrDuplicate, ErrMismatch, ErrUnmarked or a *BusyError is a failure of ours.
type Refusal struct {
	Kind   error  // one of the errors in this package, for example ErrForged
	Step   Step   // the step that failed
	Reason Reason // the cause
	Detail string // for humans; may be empty; contains no secret, no signature and no URL query
}

// Refuse returns the refusal for a reason, with a detail formatted as by fmt.Sprintf.
// An empty format means no detail. Refuse panics if reason is not one of the
// constants.
func Refuse(reason Reason, format string, args ...any) *Refusal {
	for _, r := range reasons {
		if slices.Contains(r.reasons, reason) {
			return &Refusal{Kind: r.kind, Step: r.step, Reason: reason, Detail: fmt.Sprintf(format, args...)}
		}
	}
	panic(fmt.Sprintf("webhook: no reason %q", reason))
}

// Refusals returns one refusal for each reason, without details.
func Refusals() []*Refusal {
	var all []*Refusal
	for _, r := range reasons {
		for _, reason := range r.reasons {
			all = append(all, Refuse(reason, ""))
		}
	}
	return all
}

// AsRefusal returns the refusal that err is or wraps, or nil if there is none.
func AsRefusal(err error) *Refusal {
	r, _ := errors.AsType[*Refusal](err)
	return r
}

// Error returns the text of the kind, followed by a colon and the detail if there is
// one.
func (r *Refusal) Error() string {
	if r.Detail == "" {
		return r.Kind.Error()
	}
	return r.Kind.Error() + ": " + r.Detail
}

// Unwrap returns the kind.
func (r *Refusal) Unwrap() error { return r.Kind }
