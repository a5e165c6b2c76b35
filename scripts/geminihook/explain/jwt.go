package explain

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/reverify"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A decodedJWT holds a JWT's header and claims, verified or not. They are only shown;
// the verdict does not depend on them.
type decodedJWT struct {
	header struct{ Alg, Kid string }
	claims map[string]json.RawMessage
}

// decodeJWT decodes a JWT of three parts. Parts that are malformed stay zero.
func decodeJWT(text string) (t decodedJWT) {
	parts := strings.Split(text, ".")
	for i, into := range []any{&t.header, &t.claims} {
		if raw, err := base64.RawURLEncoding.DecodeString(parts[i]); err == nil {
			_ = json.Unmarshal(raw, into)
		}
	}
	return t
}

// jwtSignature checks a JWT in the verifier's order. r is the verifier's result with
// the tolerance anyAge.
func (x *examination) jwtSignature(r reverify.Result) {
	t := decodeJWT(x.header.signature)
	about := fmt.Sprintf("alg %s, kid %s", orNone(t.header.Alg), orNone(t.header.Kid))
	switch {
	case !r.Passed(webhook.StepHeaders) && len(x.findings) > 0: // the verifier did not reach the JWT
		x.say(Note, "token", "%s; not checked", about)
	case !r.Passed(webhook.StepScheme):
		why := printable(r.Refusal.Detail)
		x.find(finding{Token, why, "sign the JWT with RS256, ES256 or EdDSA (Ed25519)"}, "token", "%s: %s", about, why)
	case !r.Passed(webhook.StepSignature):
		x.find(finding{KeyNotInSet, "no key in the set signed the JWT: " + x.kid(t.header.Kid),
			"fetch the current key set from " + keySetURL + "; if it is already that one, the JWT is forged"},
			"token", "%s: signed by none of %d keys; %s", about, len(x.to.Keys), x.kid(t.header.Kid))
	default:
		x.say(Pass, "token", "%s: signed by %s", about, r.Matched)
		x.claims(t, r)
	}
}

func orNone(text string) string {
	if text == "" {
		return "none"
	}
	return printable(text)
}

// kid describes whether the set has a key with this id.
func (x *examination) kid(id string) string {
	if id == "" {
		return "the JWT has no kid"
	}
	for _, k := range x.to.Keys {
		if k.ID == id {
			return "the set has a key with its kid, but the signature does not match"
		}
	}
	return "no key has its kid"
}

// claims checks the claims of a JWT that a key in the set signed. r is the verifier's
// result with the tolerance anyAge.
func (x *examination) claims(t decodedJWT, r reverify.Result) {
	reason, why := r.Reason(), ""
	if r.Refusal != nil {
		why = printable(r.Refusal.Detail)
	}
	if reason == webhook.JWTClaimsForm {
		x.find(finding{Token, why, "have the sender make JWTs whose claims conform to RFC 7519"}, "claims", "%s", why)
		return
	}
	if x.audience(t, reason); errors.Is(r.Err, webhook.ErrAudience) {
		return
	}
	if reason == webhook.JWTExpMissing {
		x.find(finding{Token, why, "have the sender make JWTs with an exp, at most an hour ahead"}, "exp", "%s", why)
		return
	}
	x.times(t)
	switch reason {
	case webhook.EventDiffers, webhook.EventNotInBody:
		f := x.otherBody()
		if f.cause == "" {
			f = finding{Event, why, "compare the JWT's type and data with the body's: the body was changed, or another body was sent with the JWT"}
		}
		x.find(f, "event", "%s", why)
	case "":
		if t.claims["type"] == nil || t.claims["data"] == nil {
			x.say(Note, "event", "the JWT has no event, so it does not authenticate the body: the function accepts it only if it requires a URL token")
			return
		}
		x.say(Pass, "event", "the JWT's event matches the body")
	}
}

func (x *examination) audience(t decodedJWT, reason webhook.Reason) {
	f := finding{Audience, "the JWT is for another audience: " + t.audience(), "if that audience is yours, give it with --audience, and set the function's JWT_AUDIENCES"}
	switch reason {
	case webhook.AudienceUnset:
		f.why, f.do = "no audience is configured, so all JWTs are rejected; this one is for "+t.audience(), "give --audience with the value of the function's JWT_AUDIENCES"
		x.find(f, "aud", "%s", t.audience())
	case webhook.AudienceUnknown:
		x.find(f, "aud", "%s", t.audience())
	default:
		x.say(Pass, "aud", "%s", t.audience())
	}
}

// otherBody returns the finding that explains why a JWT's event differs from the body.
// It is zero if no rewriting of the body matches.
func (x *examination) otherBody() finding {
	for _, body := range append(textual(x.capture.Body), packed(x.capture.Body)...) {
		if r := x.verify(x.header.http(), body.body, anyAge); r.Passed(webhook.StepJWT) {
			return x.asSigned(match{body: body})
		}
	}
	return x.lost()
}

// times compares exp, nbf and iat with the current time, in the verifier's order. If
// the sender's clock is wrong, age reports that instead.
func (x *examination) times(t decodedJWT) {
	if x.clock() != "" {
		x.say(Note, "exp", "%s", utc(t.time("exp")))
		return
	}
	if x.expiry(t); len(x.findings) > 0 || t.claims["iat"] == nil {
		return
	}
	ago := x.now.Sub(t.time("iat"))
	says := utc(t.time("iat")) + ", " + from(ago)
	switch {
	case ago.Abs() <= webhook.DefaultTolerance:
		x.say(Pass, "iat", "%s", says)
	case ago < 0:
		x.find(finding{SenderClock, "the JWT's iat is " + from(ago) + " of this machine's clock", setClocks}, "iat", "%s", says)
	case x.header.sent.Sub(t.time("iat")).Abs() <= webhook.DefaultTolerance: // as old as the timestamp, which age reports
		x.say(Note, "iat", "%s", says)
	default:
		x.find(finding{TokenOld, fmt.Sprintf("the JWT has not expired, but it was issued %v ago, and the limit is %s", round(ago), tolerance),
			"have the sender make a new JWT for each attempt: a reused JWT can be replayed by anyone who sees it"}, "iat", "%s", says)
	}
}

// expiry compares exp and nbf with the current time.
func (x *examination) expiry(t decodedJWT) {
	ago, most := x.now.Sub(t.time("exp")), webhook.MaxJWTLife+webhook.DefaultTolerance
	says := utc(t.time("exp")) + ", " + from(ago)
	start := t.time("nbf")
	switch {
	case ago >= webhook.DefaultTolerance:
		x.find(finding{Expired, "the JWT expired " + from(ago), "nothing if the request arrived before " + utc(t.time("exp")) + ", when the JWT was valid"}, "exp", "%s", says)
		return
	case t.claims["nbf"] != nil && start.Sub(x.now) > webhook.DefaultTolerance:
		x.find(finding{SenderClock, "the JWT's nbf is " + from(x.now.Sub(start)) + " of this machine's clock", setClocks}, "nbf", "%s", utc(start))
		return
	case -ago > most:
		x.find(finding{Token, fmt.Sprintf("the JWT's exp is more than %v ahead", most),
			"have the sender make JWTs that expire within an hour, and compare its clock with this machine's"}, "exp", "%s", says)
		return
	}
	x.say(Pass, "exp", "%s", says)
}

func (t decodedJWT) time(claim string) time.Time {
	var seconds float64
	_ = json.Unmarshal(t.claims[claim], &seconds)
	return time.Unix(int64(seconds), 0)
}

// audience returns the JWT's aud without queries, which may contain a URL token.
func (t decodedJWT) audience() string {
	var one string
	var all []string
	if json.Unmarshal(t.claims["aud"], &one) == nil {
		all = []string{one}
	} else {
		_ = json.Unmarshal(t.claims["aud"], &all)
	}
	for i := range all {
		all[i], _, _ = strings.Cut(all[i], "?")
	}
	return orNone(strings.Join(all, ", "))
}
