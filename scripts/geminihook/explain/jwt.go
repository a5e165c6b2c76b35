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

// A decodedJWT holds the header and claims of a JSON Web Token, verified or not. It is
// only shown: what counts is what the verifier reads.
type decodedJWT struct {
	header struct{ Alg, Kid string }
	claims map[string]json.RawMessage
}

func decodeJWT(text string) (t decodedJWT) {
	parts := strings.Split(text, ".")
	for i, into := range []any{&t.header, &t.claims} {
		if raw, err := base64.RawURLEncoding.DecodeString(parts[i]); err == nil {
			_ = json.Unmarshal(raw, into)
		}
	}
	return t
}

// jwtSignature looks at a JWT in the verifier's order. r is of the verifier,
// whatever the time.
func (x *examination) jwtSignature(r reverify.Result) {
	t := decodeJWT(x.header.signature)
	about := fmt.Sprintf("alg %s, kid %s", orNone(t.header.Alg), orNone(t.header.Kid))
	switch {
	case !r.Passed(webhook.StepHeaders) && len(x.findings) > 0: // these kept the verifier from the JWT
		x.say(Note, "token", "%s; not checked", about)
	case !r.Passed(webhook.StepScheme):
		why := printable(r.Refusal.Detail)
		x.find(finding{Token, why, "only tokens by RS256, ES256 or EdDSA (Ed25519) are taken"}, "token", "%s: %s", about, why)
	case !r.Passed(webhook.StepSignature):
		x.find(finding{KeyNotInSet, "the token is signed by no key in the set: " + x.kid(t.header.Kid),
			"take the set from " + keySetURL + ", anew if the sender has rotated its keys; if it is that one, the token is forged"},
			"token", "%s: by none of %d keys; %s", about, len(x.to.Keys), x.kid(t.header.Kid))
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

// kid says whether the set has a key of this id.
func (x *examination) kid(id string) string {
	if id == "" {
		return "the token names none"
	}
	for _, k := range x.to.Keys {
		if k.ID == id {
			return "the set has a key of its kid, which did not sign it, or not this"
		}
	}
	return "none has its kid"
}

// claims looks at what a JWT says that a key in the set signed. r is of the verifier,
// whatever the time.
func (x *examination) claims(t decodedJWT, r reverify.Result) {
	reason, why := r.Reason(), ""
	if r.Refusal != nil {
		why = printable(r.Refusal.Detail)
	}
	if reason == webhook.JWTClaimsForm {
		x.find(finding{Token, why, "have the sender make a token whose claims are as RFC 7519 has them"}, "claims", "%s", why)
		return
	}
	if x.audience(t, reason); errors.Is(r.Err, webhook.ErrAudience) {
		return
	}
	if reason == webhook.JWTExpMissing {
		x.find(finding{Token, why, "have the sender make a token that expires, an hour later at most"}, "exp", "%s", why)
		return
	}
	x.times(t)
	switch reason {
	case webhook.EventDiffers, webhook.EventNotInBody:
		f := x.otherBody()
		if f.cause == "" {
			f = finding{Event, why, "compare what the token says with the body: another body was sent with it, or it was changed"}
		}
		x.find(f, "event", "%s", why)
	case "":
		if t.claims["type"] == nil || t.claims["data"] == nil {
			x.say(Note, "event", "the token carries none, so nothing binds the body: taken only while a URL token is required")
			return
		}
		x.say(Pass, "event", "the token's is the body's")
	}
}

func (x *examination) audience(t decodedJWT, reason webhook.Reason) {
	f := finding{Audience, "the token is for another audience: " + t.audience(), "say the right one (--audience; JWT_AUDIENCES of the function), if it is yours"}
	switch reason {
	case webhook.AudienceUnset:
		f.why, f.do = "no audience is configured, so every token is refused; this one is for "+t.audience(), "say --audience, what JWT_AUDIENCES of the function is"
		x.find(f, "aud", "%s", t.audience())
	case webhook.AudienceUnknown:
		x.find(f, "aud", "%s", t.audience())
	default:
		x.say(Pass, "aud", "%s", t.audience())
	}
}

// otherBody looks for what was done to the body that a JWT's event is about: a zero
// finding if nothing explains that they differ.
func (x *examination) otherBody() finding {
	for _, body := range append(textual(x.capture.Body), packed(x.capture.Body)...) {
		if r := x.verify(x.header.http(), body.body, anyAge); r.Passed(webhook.StepJWT) {
			return x.asSigned(match{body: body})
		}
	}
	return x.lost()
}

// times compares exp, nbf and iat with now, in the verifier's order. If the sender's
// clock is known to be wrong, that explains all of them.
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
		x.find(finding{SenderClock, "the token's iat is " + from(ago) + " of this machine's clock", setClocks}, "iat", "%s", says)
	case x.header.sent.Sub(t.time("iat")).Abs() <= webhook.DefaultTolerance: // as old as the timestamp: see age
		x.say(Note, "iat", "%s", says)
	default:
		x.find(finding{TokenOld, fmt.Sprintf("the token is valid, but was issued %v ago, and a receiver takes %s", round(ago), tolerance),
			"have the sender make a token for each attempt, not keep one: a kept token lets anybody who sees it replay it"}, "iat", "%s", says)
	}
}

// expiry compares the JWT's end with now.
func (x *examination) expiry(t decodedJWT) {
	ago, most := x.now.Sub(t.time("exp")), webhook.MaxJWTLife+webhook.DefaultTolerance
	says := utc(t.time("exp")) + ", " + from(ago)
	start := t.time("nbf")
	switch {
	case ago >= webhook.DefaultTolerance:
		x.find(finding{Expired, "the token expired " + from(ago), "nothing, if it arrived before " + utc(t.time("exp")) + ": it was right at its time"}, "exp", "%s", says)
		return
	case t.claims["nbf"] != nil && start.Sub(x.now) > webhook.DefaultTolerance:
		x.find(finding{SenderClock, "the token's nbf is " + from(x.now.Sub(start)) + " of this machine's clock", setClocks}, "nbf", "%s", utc(start))
		return
	case -ago > most:
		x.find(finding{Token, fmt.Sprintf("the token's exp is more than %v ahead", most),
			"have the sender make a token that lives for an hour at most, and compare its clock with this machine's"}, "exp", "%s", says)
		return
	}
	x.say(Pass, "exp", "%s", says)
}

func (t decodedJWT) time(claim string) time.Time {
	var seconds float64
	_ = json.Unmarshal(t.claims[claim], &seconds)
	return time.Unix(int64(seconds), 0)
}

// audience is the JWT's aud without queries, which may hold a URL token.
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
