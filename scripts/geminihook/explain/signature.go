package explain

import (
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/webhook"
)

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
	default:
		x.find(finding{SignatureForm, "webhook-signature has no entry of the form v1,BASE64 or v1a,BASE64, and is no token",
			"sign as Standard Webhooks says: the version, a comma, standard base64"}, "scheme", "none that is known")
	}
	return false
}

// of reports whether there is a signature of a version.
func (x *examination) of(version webhook.Scheme) bool {
	return slices.ContainsFunc(x.header.entries(), func(e string) bool { return strings.HasPrefix(e, string(version)+",") })
}

// signature looks for what the signature was made with, and of.
func (x *examination) signature() {
	h := &x.header
	if !x.dynamic() {
		x.secret()
	}
	r := x.verify(h.http(), anyAge)
	switch {
	case h.isJWT():
		x.jwtSignature(r)
	case r.Matched != "":
		x.say(Pass, "signature", "good: %s", x.matched(r.Matched))
	case h.id == "" || h.timestamp == "":
		x.say(Note, "signature", "covers webhook-id and webhook-timestamp: not checked")
	default:
		x.search()
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
	for i := range entries {
		if signed := x.signedV1(mustParse(x.to.Secret), entries[i:i+1]); signed(x.header.timestamp, x.capture.Body) {
			return fmt.Sprintf("entry %d of %d is v1 with this secret; the others are of other secrets: another webhook's, or another version's", i+1, len(entries))
		}
	}
	return "v1 with " + key
}

// A signer is a guess at who signed.
type signer struct {
	finding
	signed func(timestamp string, body []byte) bool
}

// search tries what the signature may have been made with, and of, the simplest
// guesses first.
func (x *examination) search() {
	for body := range rewritings(x.capture.Body) {
		for _, signer := range x.signers() {
			for _, timestamp := range x.timestamps() {
				if signer.signed(timestamp, body.body) {
					x.found(signer.finding, timestamp, body.how)
					return
				}
			}
		}
	}
	x.notFound()
}

// timestamps are those that may have been signed.
func (x *examination) timestamps() []string {
	if x.header.seconds != "" {
		return []string{x.header.timestamp, x.header.seconds}
	}
	return []string{x.header.timestamp}
}

// found reports what makes the signature good.
func (x *examination) found(f finding, timestamp, how string) {
	switch {
	case x.has(f.cause):
		x.say(Pass, "signature", "good once that is put right")
	case f.cause != "":
		x.find(f, "signature", "good, but %s", f.why)
	case how == "":
		what := "seconds"
		if timestamp == x.header.timestamp {
			what = "header as it stands"
		}
		x.say(Pass, "signature", "good over the timestamp's %s", what)
	}
	if how != "" {
		x.find(finding{Rewritten, "the body is not the one that was signed, which is the captured one in this form: " + how,
			"verify the bytes as they arrive, before anything parses them (express.raw, request.get_data(), io.ReadAll), and capture those"},
			"signature", "good, but for the body in this form: %s", how)
	}
}

// notFound reports that nothing makes the signature good.
func (x *examination) notFound() {
	switch {
	case x.capture.short != "":
		x.find(finding{Incomplete, "the body is not the whole one: " + x.capture.short, "capture the body whole, and byte for byte"},
			"signature", "not good for what there is of the body")
	case x.dynamic():
		x.find(finding{KeyNotInSet, fmt.Sprintf("none of the %d keys in the set made the signature", len(x.to.Keys)),
			"take the set from " + keySetURL + ", anew if the sender has rotated its keys; if it is that one, the delivery is forged or its body was changed"},
			"signature", "by no key in the set, for this body or any usual rewriting of it")
	default:
		x.find(finding{WrongSecret, "no signature is by this secret: it is another webhook's, or another version of the secret",
			"compare truncated_secret of the webhook with the end of yours (" + terminal.Command("list") + "); a lost secret is rotated. If it is the right one, the id, the timestamp or the body was changed"},
			"signature", "not with this secret, for this body or any usual rewriting of it")
	}
}

// keySetURL is where the keys of live deliveries are.
const keySetURL = "https://generativelanguage.googleapis.com/.well-known/jwks.json"

// signers are those who may have signed.
func (x *examination) signers() []signer {
	if x.dynamic() {
		return []signer{{signed: x.signedV1a}}
	}
	entries := x.header.entries()
	var all []signer
	for _, s := range secrets(x.to.Secret) {
		if key, err := webhook.ParseSigningKey([]byte(s.text)); err == nil {
			all = append(all, signer{s.finding, x.signedV1(key, entries)})
		}
	}
	return all
}

func (x *examination) signedV1(key webhook.SigningKey, entries []string) func(string, []byte) bool {
	return func(timestamp string, body []byte) bool {
		return slices.Contains(entries, webhook.SignV1(key, x.header.id, timestamp, body))
	}
}

func (x *examination) signedV1a(timestamp string, body []byte) bool {
	content := append([]byte(x.header.id+"."+timestamp+"."), body...)
	for _, entry := range x.header.entries() {
		signature, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(entry, "v1a,"))
		if err != nil {
			continue
		}
		for _, k := range x.to.Keys {
			if key, ok := k.Key.(ed25519.PublicKey); ok && ed25519.Verify(key, content, signature) {
				return true
			}
		}
	}
	return false
}
