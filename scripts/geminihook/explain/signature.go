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

const otherScheme = "sign as Standard Webhooks says: HMAC with SHA-256 of id.timestamp.body, in base64 after v1,; " +
	"if another service sent it, it is not for this URL"

// senders are the signature headers of other services.
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
			x.find(finding{OtherScheme, "the signature is of another scheme: the request has " + strings.ToLower(sender.header) + ", which is " + sender.whose, otherScheme},
				"scheme", "%s, and no webhook-signature", strings.ToLower(sender.header))
			return true
		}
	}
	return false
}

// scheme reports whether the signature is of a scheme that the endpoint takes.
func (x *examination) scheme() bool {
	h := &x.header
	v1, v1a := x.of(webhook.V1), x.of(webhook.V1a)
	switch {
	case h.signature == "":
		return false
	case x.dynamic() && (h.isJWT() || v1a) || !x.dynamic() && v1:
		return true
	case x.dynamic() && v1:
		x.find(finding{V1AtDynamic, "v1 is the signature of a project-level webhook, and a dynamic endpoint takes v1a or a token",
			"point the project-level webhook at the static function's URL, or check with its secret here (--secret-file)"}, "scheme", "v1, at a dynamic endpoint")
	case v1a:
		x.find(finding{V1aAtStatic, "v1a is the signature of a webhook that a request brought along (webhook_config), and a static endpoint takes v1",
			"put the dynamic function's URL into the request, or check with the key set here (--jwks-url)"}, "scheme", "v1a, at a static endpoint")
	case h.isJWT():
		x.find(finding{JWTAtStatic, "a JSON Web Token is for a dynamic endpoint, and a static one takes v1",
			"put the dynamic function's URL into the request, or check with the key set here (--jwks-url)"}, "scheme", "a JSON Web Token, at a static endpoint")
	case foreign(h.signature):
		x.find(finding{OtherScheme, "the signature is of another scheme: its header is made of names and values, as sha256=… or t=…,v1=…", otherScheme}, "scheme", "another service's")
	default:
		x.find(finding{SignatureForm, "webhook-signature has no entry of the form v1,BASE64 or v1a,BASE64, and is no token",
			"sign as Standard Webhooks says: the version, a comma, standard base64"}, "scheme", "none that is known")
	}
	return false
}

// foreign reports whether a signature header begins as those of other services do.
func foreign(signature string) bool {
	name, _, ok := strings.Cut(strings.ToLower(signature), "=")
	return ok && slices.Contains([]string{"sha1", "sha256", "sha512", "t", "v0", "v1", "hmac", "keyid", "signature", "sig1"}, name)
}

// of reports whether there is a signature of a version.
func (x *examination) of(version webhook.Scheme) bool {
	return slices.ContainsFunc(x.header.entries(), func(e string) bool { return strings.HasPrefix(e, string(version)+",") })
}

// signature looks for what the signature was made with, and of.
func (x *examination) signature() {
	h := &x.header
	r := x.verify(h.http(), x.capture.Body, anyAge)
	switch {
	case h.isJWT():
		x.jwtSignature(r)
		return
	case r.Matched != "":
		x.say(Pass, "signature", "good: %s", x.matched(r.Matched))
		x.packedElsewhere()
	case h.id == "" || h.timestamp == "":
		x.say(Note, "signature", "covers webhook-id and webhook-timestamp: not checked")
	case r.Reason() == webhook.TooManySignatures:
		x.find(finding{Refused, printable(r.Refusal.Detail), "send the signatures of the keys in force only: two while one is rotated"}, "signature", "%s", printable(r.Refusal.Detail))
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

// packedElsewhere looks at what is good in a capture, but may not arrive as captured.
func (x *examination) packedElsewhere() {
	if x.looksPacked().cause == BodyCompressed {
		x.say(Note, "content-encoding", "names an encoding that the captured body is not in: if it arrives compressed, the function, which decodes nothing, refuses it")
	}
}

// matched says which of the entries and of the keys it was.
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
			return fmt.Sprintf("entry %d of %d is v1 with %s; the others are of other secrets: another webhook's, or another version's", i+1, len(entries), key)
		}
	}
	return "v1 with " + key
}

// found reports what makes the signature good.
func (x *examination) found(m match) {
	var but []string
	for _, f := range []finding{m.who, x.asSigned(m), formed(m.form)} {
		if f.cause != "" {
			x.findings, but = append(x.findings, f), append(but, f.why)
		}
	}
	switch {
	case len(but) > 0:
		x.say(Fail, "signature", "good, but %s", strings.Join(but, "; and "))
	case m.timestamp != x.header.timestamp:
		x.say(Pass, "signature", "good over the timestamp's seconds")
	case x.has(Milliseconds):
		x.say(Pass, "signature", "good over the timestamp's header as it stands")
	default:
		x.say(Pass, "signature", "good once that is put right")
	}
}

// asSigned is the finding if not the body as it is was signed.
func (x *examination) asSigned(m match) finding {
	how := m.body.how
	switch {
	case how == "":
		return finding{}
	case x.capture.parsed != nil: // which was found before: the verdict is of the spelling that was signed
		x.capture.Body = m.body.body
		x.say(Note, "spelling", "%s", how)
		return finding{}
	case m.body.finding.cause != "":
		return m.body.finding
	}
	return finding{Rewritten, "the body is not the one that was signed, which is the captured one in this form: " + how,
		"verify the bytes as they arrive, before anything parses them (express.raw, request.get_data(), io.ReadAll), and capture those"}
}

// parsedBody is the finding of a capture that has the body as a value only.
var parsedBody = finding{BodyParsed, "the capture has the body as a parsed value, so the bytes that were signed are lost",
	"verify and capture the bytes as they arrive, before anything parses them (express.raw, request.get_data(), io.ReadAll)"}

func formed(form string) finding {
	if form == "" {
		return finding{}
	}
	return finding{SignatureEncoding, "the signature is right, but written " + form, "write it in standard base64, padded with ="}
}

// notFound reports that nothing makes the signature good.
func (x *examination) notFound() {
	f, says := x.lost(), "not good for what there is of the body"
	switch {
	case x.capture.parsed != nil:
		x.say(Note, "signature", "not good for any usual spelling of the body; tried were %s. If the spelling is another, the secret or the key may be right", x.tried)
		return
	case f.cause != "":
	case x.has(BodyTooLarge), x.has(Milliseconds), x.has(HeaderSpace), x.has(HeaderMalformed):
		x.say(Note, "signature", "not good for the request as it is, which the cause before may explain")
		return
	case x.dynamic():
		says = "by no key in the set, for this body or any usual rewriting of it"
		f = finding{KeyNotInSet, fmt.Sprintf("none of the %d keys in the set made the signature", len(x.to.Keys)),
			"take the set from " + keySetURL + ", anew if the sender has rotated its keys; if it is that one, the delivery is forged or its body was changed"}
	case !x.usable():
		x.say(Note, "signature", "no secret to check it with")
		return
	default:
		says = "not with this secret, for this body or any usual rewriting of it"
		f = finding{WrongSecret, "no signature is by this secret: it is another webhook's, or another version of the secret. Nothing else explains it; tried were " + x.tried,
			"compare truncated_secret of the webhook with the end of yours (" + terminal.Command("list") + "); a lost secret is rotated. If it is the right one, the id, the timestamp or the body was changed"}
	}
	x.find(f, "signature", "%s", says)
}

// usable reports whether one of the secrets has a form that the functions accept.
func (x *examination) usable() bool {
	return slices.ContainsFunc(x.to.Secrets, func(text string) bool { _, err := keyOf(text); return err == nil })
}

// lost returns the finding of a body that is not there, or not as it was sent, by its
// form; a zero one if the body looks whole.
func (x *examination) lost() finding {
	c := x.capture
	switch f := x.looksPacked(); {
	case len(c.Body) == 0 && c.cut == "":
		return finding{BodyMissing, "there is no body in the capture, and the signature covers it",
			"capture the body too, byte for byte: after an empty line in raw HTTP, as \"body\" in JSON"}
	case f.cause != "":
		return f
	case c.short != "":
		return finding{Incomplete, "the body is not the whole one: " + c.short, "capture the body whole, and byte for byte"}
	case brokenOff(c.Body):
		return finding{Incomplete, "the body is not the whole one: its JSON breaks off at its end", "capture the body whole, and byte for byte"}
	}
	return finding{}
}

// brokenOff reports whether a body is the beginning of a JSON text.
func brokenOff(body []byte) bool {
	syntax, is := errors.AsType[*json.SyntaxError](json.Unmarshal(body, new(json.RawMessage)))
	return is && syntax.Offset >= int64(len(body)) && bytes.ContainsAny(body[:1], "{[")
}

// keySetURL is where the keys of live deliveries are.
const keySetURL = "https://generativelanguage.googleapis.com/.well-known/jwks.json"
