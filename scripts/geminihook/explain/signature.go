package explain

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/webhook"
)

// otherScheme is the remedy for OtherScheme.
const otherScheme = "sign as Standard Webhooks specifies: HMAC-SHA256 over id.timestamp.body, in base64 after v1,; " +
	"if another service sent the request, give that service another URL"

// senders are the signature headers of other services. Their order is that of
// preference.
var senders = []struct{ header, whose string }{
	{"X-Hub-Signature-256", "GitHub's"},
	{"X-Hub-Signature", "GitHub's or Meta's"},
	{"Stripe-Signature", "Stripe's"},
	{"X-Slack-Signature", "Slack's"},
	{"X-Shopify-Hmac-Sha256", "Shopify's"},
	{"X-Twilio-Signature", "Twilio's"},
	{"X-Goog-Signature", "another Google service's"},
	{"X-Signature", "another service's"},
}

// otherSender reports whether the request has the signature of another service only.
func (x *examination) otherSender() bool {
	h := x.capture.Header
	for _, sender := range senders {
		if h.Get(sender.header) != "" && h.Get("Webhook-Signature") == "" && h.Get("Svix-Signature") == "" {
			x.find(finding{OtherScheme, "the signature has another scheme: the request has " + strings.ToLower(sender.header) + ", which is " + sender.whose + " header", otherScheme},
				"scheme", "%s, but no webhook-signature", strings.ToLower(sender.header))
			return true
		}
	}
	return false
}

// scheme reports whether the endpoint accepts the signature's scheme.
func (x *examination) scheme() bool {
	h := &x.header
	v1, v1a := x.of(webhook.V1), x.of(webhook.V1a)
	switch {
	case h.signature == "":
		return false
	case x.dynamic() && (h.isJWT() || v1a) || !x.dynamic() && v1:
		return true
	case x.dynamic() && v1:
		x.find(finding{V1AtDynamic, "a v1 signature is from a project-level webhook, but a dynamic endpoint accepts only v1a or a JWT",
			"set the project-level webhook's URL to the static function's URL; if it is, give explain the webhook's secret (--secret-file)"}, "scheme", "v1, at a dynamic endpoint")
	case v1a:
		x.find(finding{V1aAtStatic, "a v1a signature is from a per-request webhook (webhook_config), but a static endpoint accepts only v1",
			"set webhook_config to the dynamic function's URL; if it is, give explain the key set (--jwks-url)"}, "scheme", "v1a, at a static endpoint")
	case h.isJWT():
		x.find(finding{JWTAtStatic, "a JSON Web Token is for a dynamic endpoint, but a static endpoint accepts only v1",
			"set webhook_config to the dynamic function's URL; if it is, give explain the key set (--jwks-url)"}, "scheme", "a JSON Web Token, at a static endpoint")
	case foreign(h.signature):
		x.find(finding{OtherScheme, "the signature has another scheme: its header has the form name=value, as in sha256=… or t=…,v1=…", otherScheme}, "scheme", "another service's")
	default:
		x.find(finding{SignatureForm, "webhook-signature has no entry of the form v1,BASE64 or v1a,BASE64, and is not a JWT",
			"sign as Standard Webhooks specifies: the version, a comma, standard base64"}, "scheme", "unknown")
	}
	return false
}

// foreign reports whether a signature header begins like another service's.
func foreign(signature string) bool {
	name, _, ok := strings.Cut(strings.ToLower(signature), "=")
	return ok && slices.Contains([]string{"sha1", "sha256", "sha512", "t", "v0", "v1", "hmac", "keyid", "signature", "sig1"}, name)
}

// of reports whether there is a signature with a scheme's version.
func (x *examination) of(version webhook.Scheme) bool {
	return slices.ContainsFunc(x.header.entries(), func(e string) bool { return strings.HasPrefix(e, string(version)+",") })
}

// signature verifies the signature, and if it does not match looks for the cause.
func (x *examination) signature() {
	h := &x.header
	r := x.verify(h.http(), x.capture.Body, anyAge)
	switch {
	case h.isJWT():
		x.jwtSignature(r)
		return
	case r.Matched != "":
		x.say(Pass, "signature", "matches: %s", x.matched(r.Matched))
		x.packedElsewhere()
	case h.id == "" || h.timestamp == "":
		x.say(Note, "signature", "not checked, because it covers webhook-id and webhook-timestamp")
	case r.Reason() == webhook.TooManySignatures:
		x.find(finding{Refused, printable(r.Refusal.Detail), "send only signatures by active keys: two during a rotation, else one"}, "signature", "%s", printable(r.Refusal.Detail))
	default:
		if m, ok := x.search(); ok {
			x.found(m)
		} else {
			x.notFound()
		}
	}
	if !x.dynamic() {
		x.secretForm()
	}
}

// packedElsewhere adds a note if the signature matches, but the captured body does not
// have its content-encoding: the body may have arrived compressed.
func (x *examination) packedElsewhere() {
	if x.looksPacked().cause == BodyCompressed {
		x.say(Note, "content-encoding", "names an encoding, but the captured body is not encoded: if the body arrives compressed, the function rejects it, because it does not decompress bodies")
	}
}

// matched describes the matching entry and its key.
func (x *examination) matched(key string) string {
	if x.dynamic() {
		return "v1a by " + key
	}
	entries := x.header.entries()
	if len(entries) == 1 {
		return "v1 with " + key
	}
	for i, entry := range entries {
		h := x.header
		h.signature = entry
		if x.verify(h.http(), x.capture.Body, anyAge).Matched != "" {
			return fmt.Sprintf("entry %d of %d is v1 with %s; the others are by other secrets: another webhook's, or another version's", i+1, len(entries), key)
		}
	}
	return "v1 with " + key
}

// found reports the changes that make the signature match.
func (x *examination) found(m match) {
	var but []string
	for _, f := range []finding{m.who, x.asSigned(m), formed(m.form)} {
		if f.cause != "" {
			x.findings, but = append(x.findings, f), append(but, f.why)
		}
	}
	switch {
	case len(but) > 0:
		x.say(Fail, "signature", "does not match: %s", strings.Join(but, "; and "))
	case m.timestamp != x.header.timestamp:
		x.say(Pass, "signature", "matches with the timestamp in seconds")
	case x.has(Milliseconds):
		x.say(Pass, "signature", "matches with the timestamp in milliseconds")
	default:
		x.say(Pass, "signature", "matches after the fault above is fixed")
	}
}

// asSigned returns the finding of a match's body. It is zero if the captured body was
// signed.
func (x *examination) asSigned(m match) finding {
	how := m.body.how
	switch {
	case how == "":
		return finding{}
	case x.capture.parsed != nil: // already reported; conclude verifies the encoding that was signed
		x.capture.Body = m.body.body
		x.say(Note, "spelling", "%s", how)
		return finding{}
	case m.body.finding.cause != "":
		return m.body.finding
	}
	return finding{Rewritten, "the body was changed after it was signed; the signed body is the captured one, but " + how,
		"verify and capture the bytes as they arrive, before they are parsed (express.raw, request.get_data(), io.ReadAll)"}
}

// parsedBody is the finding for a capture that has only the body's parsed value.
var parsedBody = finding{BodyParsed, "the capture has the body as a parsed value, so the signed bytes are lost",
	"verify and capture the bytes as they arrive, before they are parsed (express.raw, request.get_data(), io.ReadAll)"}

// formed returns the finding for a signature that is encoded in another form than
// padded standard base64. It is zero if form is empty.
func formed(form string) finding {
	if form == "" {
		return finding{}
	}
	return finding{SignatureEncoding, "the signature is encoded " + form, "encode the signature in standard base64, padded with ="}
}

// notFound reports that the signature matches with no guess.
func (x *examination) notFound() {
	f, says := x.lost(), "does not match the captured part of the body"
	switch {
	case x.capture.parsed != nil:
		x.say(Note, "signature", "does not match any usual encoding of the body; tried %s. With an unusual encoding, the secret or the key may still be correct", x.tried)
		return
	case f.cause != "":
	case x.has(BodyTooLarge), x.has(Milliseconds), x.has(HeaderSpace), x.has(HeaderMalformed):
		x.say(Note, "signature", "does not match; the fault above may be the cause")
		return
	case x.dynamic():
		says = "matches no key in the set, for this body and its usual rewritings"
		f = finding{KeyNotInSet, fmt.Sprintf("none of the %d keys in the set made the signature", len(x.to.Keys)),
			"fetch the current key set from " + keySetURL + "; if it is already that one, the delivery is forged or its body was changed"}
	case !x.usable():
		x.say(Note, "signature", "not checked: there is no valid secret")
		return
	default:
		says = "does not match this secret, for this body and its usual rewritings"
		f = finding{WrongSecret, "no signature is by this secret; it may be another webhook's secret, or another version. No other cause was found; tried " + x.tried,
			"compare the webhook's truncated_secret with the end of yours (" + terminal.Command("list") + "); if yours is lost, rotate it. If they are equal, the id, the timestamp or the body was changed"}
	}
	x.find(f, "signature", "%s", says)
}

// usable reports whether the functions accept the form of at least one secret.
func (x *examination) usable() bool {
	return slices.ContainsFunc(x.to.Secrets, func(text string) bool { _, err := keyOf(text); return err == nil })
}

// lost returns the finding for a body that is missing, incomplete, compressed or
// chunked. It is zero if the body looks complete.
func (x *examination) lost() finding {
	c := x.capture
	switch f := x.looksPacked(); {
	case len(c.Body) == 0 && c.cut == "":
		return finding{BodyMissing, "the capture has no body, but the signature covers it",
			"capture the body too, byte for byte: after an empty line in raw HTTP, or as \"body\" in JSON"}
	case f.cause != "":
		return f
	case c.short != "":
		return finding{Incomplete, "the body is incomplete: " + c.short, "capture the complete body, byte for byte"}
	case brokenOff(c.Body):
		return finding{Incomplete, "the body is incomplete: its JSON is truncated", "capture the complete body, byte for byte"}
	}
	return finding{}
}

// brokenOff reports whether a body is a truncated JSON object or array.
func brokenOff(body []byte) bool {
	syntax, is := errors.AsType[*json.SyntaxError](json.Unmarshal(body, new(json.RawMessage)))
	return is && syntax.Offset >= int64(len(body)) && bytes.ContainsAny(body[:1], "{[")
}

// keySetURL is the URL of Gemini's key set.
const keySetURL = "https://generativelanguage.googleapis.com/.well-known/jwks.json"
