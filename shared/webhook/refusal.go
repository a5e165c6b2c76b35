package webhook

import (
	"errors"
	"fmt"
	"slices"
)

// A Step is a part of a request's way through a function. The steps follow one
// another in the order of these constants; a request that ends at one has passed all
// before it. Log lines, metrics and alerts name them, so a step once released keeps
// its name.
type Step string

// The steps, in their order.
const (
	StepBuild     Step = "build"     // the function reads its settings and opens its clients
	StepLimit     Step = "limit"     // few enough requests are being served
	StepMethod    Step = "method"    // it is a POST
	StepGate      Step = "gate"      // the URL carries the token, if one is required
	StepBody      Step = "body"      // the body arrives whole, in time and within its bound
	StepHeaders   Step = "headers"   // the three webhook-* headers are well-formed and within their bounds
	StepScheme    Step = "scheme"    // there is a signature of a scheme that the endpoint takes
	StepSignature Step = "signature" // one of the keys in force made it
	StepJWT       Step = "jwt"       // what a JWT claims is for us, in force now, and about this body
	StepTimestamp Step = "timestamp" // webhook-timestamp is within the tolerance
	StepClaim     Step = "claim"     // the ledger has no such delivery, and records ours as claimed
	StepPublish   Step = "publish"   // Pub/Sub acknowledges the message
	StepMark      Step = "mark"      // the ledger records the delivery as done
)

// A Reason is a machine's word for why a request was refused. The set is fixed; each
// reason has one step and one kind. Like a step, it keeps its name.
type Reason string

// The reasons, in the order of their steps.
const (
	TooManyRequests Reason = "too_many_requests" // the concurrency limit of the instance

	NotPOST Reason = "not_post"

	URLTokenMissing Reason = "url_token_missing"
	URLTokenWrong   Reason = "url_token_wrong" // none of those in force

	BodyTooLarge   Reason = "body_too_large"
	BodyIncomplete Reason = "body_incomplete" // the connection was closed mid-body
	BodySlow       Reason = "body_slow"       // it was not there in time

	IDMissing          Reason = "id_missing" // or empty
	IDRepeated         Reason = "id_repeated"
	IDMalformed        Reason = "id_malformed" // see ID
	TimestampMissing   Reason = "timestamp_missing"
	TimestampRepeated  Reason = "timestamp_repeated"
	TimestampMalformed Reason = "timestamp_malformed" // not in Unix seconds
	SignatureMissing   Reason = "signature_missing"
	TooManySignatures  Reason = "too_many_signatures"
	JWTTooLarge        Reason = "jwt_too_large"

	NoSignature  Reason = "no_signature"  // of the endpoint's schemes
	JWTMalformed Reason = "jwt_malformed" // not in base64url, or its header is no JSON object
	JWTAlgorithm Reason = "jwt_algorithm" // none of RS256, ES256, EdDSA
	JWTCritical  Reason = "jwt_critical"  // extensions that would have to be understood

	NoKeyMatches Reason = "no_key_matches" // another key, or other bytes

	JWTClaimsForm   Reason = "jwt_claims_form"  // not as RFC 7519 has them
	AudienceUnset   Reason = "audience_unset"   // none is configured
	AudienceUnknown Reason = "audience_unknown" // none of those configured
	JWTExpMissing   Reason = "jwt_exp_missing"
	JWTExpired      Reason = "jwt_expired"
	JWTNotYet       Reason = "jwt_not_yet"       // nbf is ahead
	JWTOld          Reason = "jwt_old"           // by its iat
	JWTAhead        Reason = "jwt_ahead"         // by its iat
	JWTLivesLong    Reason = "jwt_lives_long"    // its exp is too far ahead
	EventMissing    Reason = "event_missing"     // the JWT carries none, and must
	EventNotInBody  Reason = "event_not_in_body" // the JWT carries one, the body is none
	EventDiffers    Reason = "event_differs"     // the JWT's is not the body's

	TimestampOld   Reason = "timestamp_old"
	TimestampAhead Reason = "timestamp_ahead"
)

// reasons is the whole set: which step and which kind each reason has.
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

// A Refusal is the error for a request that is not taken as it came: why, and at which
// step. It wraps its kind. An error for a request that is no Refusal, and no outcome of
// the ledger, is a fault of ours.
type Refusal struct {
	Kind   error  // one of the errors in this package, for example ErrForged
	Step   Step   // where the request ended
	Reason Reason // what decided
	Detail string // for people; may be empty; holds no secret, no signature and no URL's query
}

// Refuse returns the refusal for a reason, which must be one of the constants. Without
// a format there is no detail.
func Refuse(reason Reason, format string, args ...any) *Refusal {
	for _, r := range reasons {
		if slices.Contains(r.reasons, reason) {
			return &Refusal{Kind: r.kind, Step: r.step, Reason: reason, Detail: fmt.Sprintf(format, args...)}
		}
	}
	panic(fmt.Sprintf("webhook: no reason %q", reason))
}

// Refusals returns one refusal for each reason that there is, without details.
func Refusals() []*Refusal {
	var all []*Refusal
	for _, r := range reasons {
		for _, reason := range r.reasons {
			all = append(all, Refuse(reason, ""))
		}
	}
	return all
}

// AsRefusal returns the refusal that err is or wraps, or nil.
func AsRefusal(err error) *Refusal {
	r, _ := errors.AsType[*Refusal](err)
	return r
}

// Error returns the kind's text, and the detail after a colon if there is one.
func (r *Refusal) Error() string {
	if r.Detail == "" {
		return r.Kind.Error()
	}
	return r.Kind.Error() + ": " + r.Detail
}

// Unwrap returns the kind.
func (r *Refusal) Unwrap() error { return r.Kind }
