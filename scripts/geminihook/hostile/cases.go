package hostile

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// The expected answers. The statuses are those that the receiver package documents.
var (
	accepted       = []int{http.StatusNoContent}
	malformed      = []int{http.StatusBadRequest}
	rejected       = []int{http.StatusUnauthorized}
	tooLarge       = []int{http.StatusRequestEntityTooLarge}
	notPost        = []int{http.StatusMethodNotAllowed}
	acceptedOrBusy = []int{http.StatusNoContent, http.StatusServiceUnavailable}
)

// maxCopies is the most copies that a case sends at once.
const maxCopies = 20

// casesOf returns the cases of a scheme.
func casesOf(scheme webhook.Scheme) []conformanceCase {
	switch scheme {
	case webhook.V1:
		return slices.Concat(common, signatures, static)
	case webhook.V1a:
		return slices.Concat(common, signatures, dynamic)
	}
	return slices.Concat(common, dynamic, jwts)
}

// common are the cases for every scheme.
var common = []conformanceCase{
	{name: "genuine", want: accepted, why: "the basic case"},
	{name: "a retry", want: accepted, why: "a duplicate with a new signature is accepted", then: again},
	{name: "2 concurrent copies", want: acceptedOrBusy, why: "one is published; the other is a duplicate or busy", copies: 2},
	{name: "20 concurrent copies", want: acceptedOrBusy, why: "one is published; the others are duplicates or busy", copies: maxCopies},

	{name: "4 minutes old", want: accepted, why: "within the tolerance", mutate: sent(-4 * time.Minute)},
	{name: "4 minutes ahead", want: accepted, why: "within the tolerance", mutate: sent(4 * time.Minute)},
	{name: "6 minutes old", want: rejected, why: "stale", mutate: sent(-6 * time.Minute)},
	{name: "6 minutes ahead", want: rejected, why: "stale", mutate: sent(6 * time.Minute)},

	{name: "timestamp missing", want: malformed, why: "required", mutateSigned: without("Webhook-Timestamp")},
	{name: "timestamp header twice", ours: true, want: malformed, why: "ambiguous: either may be the signed one", mutateSigned: twice("Webhook-Timestamp")},
	{name: "timestamp empty", want: malformed, why: "not in Unix seconds", mutate: timestamp("")},
	{name: "timestamp with a sign", ours: true, want: malformed, why: "not the canonical form", mutate: timestamp("+{}")},
	{name: "timestamp negative", want: malformed, why: "not in Unix seconds", mutate: timestamp("-{}")},
	{name: "timestamp with a leading zero", ours: true, want: malformed, why: "not the canonical form", mutate: timestamp("0{}")},
	{name: "timestamp in milliseconds", want: malformed, why: "not in Unix seconds", mutate: timestamp("{}000")},
	{name: "timestamp with a fraction", ours: true, want: malformed, why: "not in Unix seconds", mutate: timestamp("{}.5")},
	{name: "timestamp in full-width digits", want: malformed, why: "not ASCII digits, but some libraries parse them", mutate: timestamp("１７６００００００００")},
	{name: "timestamp with an exponent", want: malformed, why: "not in Unix seconds", mutate: timestamp("1e9")},
	{name: "timestamp beyond 64 bits", want: malformed, why: "not in Unix seconds", mutate: timestamp("99999999999999999999")},
	{name: "timestamp a date", want: malformed, why: "not in Unix seconds", mutate: timestamp("2026-01-22T12:00:00Z")},

	{name: "id missing", want: malformed, why: "required", mutateSigned: without("Webhook-Id")},
	{name: "id header twice", ours: true, want: malformed, why: "ambiguous: either may be the signed one", mutateSigned: twice("Webhook-Id")},
	{name: "id empty", want: malformed, why: "required", mutate: id("")},
	{name: "id of 256 characters", ours: true, want: accepted, why: "the longest allowed", mutate: idOf(256)},
	{name: "id of 257 characters", ours: true, want: malformed, why: "too long", mutate: idOf(257)},
	{name: "id of 10,000 characters", ours: true, want: malformed, why: "too long", mutate: idOf(10_000)},
	{name: "id with a dot", ours: true, want: malformed, why: "dots separate the signed fields", mutate: id("{}a.bx")},
	{name: "id with a slash", ours: true, want: accepted, why: "printable ASCII", mutate: id("{}a/bx")},
	{name: "id with a space", ours: true, want: accepted, why: "printable ASCII", mutate: id("{}a bx")},
	{name: "id not in ASCII", ours: true, want: malformed, why: "not printable ASCII", mutate: id("{}éx")},
	{name: "id not in UTF-8", ours: true, want: malformed, why: "Firestore rejects it", mutate: id("{}\xffx")},

	{name: "signature missing", want: malformed, why: "required", mutateSigned: without("Webhook-Signature")},
	{name: "signature empty", want: malformed, why: "required", mutateSigned: set("Webhook-Signature", "")},
	{name: "signature by an unknown key", want: rejected, why: "matches none of the receiver's keys", mutate: strangers},

	{name: "unknown event type", want: accepted, why: "new types may be added", mutate: body(webhooktest.NewEvent("model.retired"))},
	{name: "content type missing", ours: true, want: accepted, why: "the content type is ignored", mutateSigned: without("Content-Type")},
	{name: "content type wrong", ours: true, want: accepted, why: "the content type is ignored", mutateSigned: set("Content-Type", "image/png; ;")},
	{name: "chunked", want: accepted, why: "no Content-Length is required", mutateSigned: chunked},
	{name: "body of 1 MiB", ours: true, want: accepted, why: "the largest allowed", mutate: bodyOf(receiver.MaxBody)},
	{name: "body of 1 MiB, chunked", ours: true, want: accepted, why: "the largest allowed", mutate: bodyOf(receiver.MaxBody), mutateSigned: chunked},
	{name: "body of 1 MiB + 1 byte", ours: true, want: tooLarge, why: "over the limit", mutate: bodyOf(receiver.MaxBody + 1)},
	{name: "body of 1 MiB + 1 byte, chunked", ours: true, want: tooLarge, why: "over the limit", mutate: bodyOf(receiver.MaxBody + 1), mutateSigned: chunked},
	{name: "connection closed mid-body", want: malformed, why: "the body is incomplete", mutateSigned: func(r *delivery.Request) { r.Cut = true }},

	{name: "GET", ours: true, want: notPost, why: "deliveries are POSTs", mutateSigned: method("GET")},
	{name: "HEAD", ours: true, want: notPost, why: "deliveries are POSTs", mutateSigned: method("HEAD")},
	{name: "PUT", ours: true, want: notPost, why: "deliveries are POSTs", mutateSigned: method("PUT")},
	{name: "OPTIONS", ours: true, want: notPost, why: "deliveries are POSTs; no CORS", mutateSigned: method("OPTIONS")},
}

// signatures are the cases for v1 and v1a, which sign the id, the timestamp and the
// body.
var signatures = []conformanceCase{
	{name: "same id, another body", ours: true, want: accepted, why: "a duplicate, logged as a mismatch", then: otherBody},
	{name: "another body", want: rejected, why: "the signature covers it", mutateSigned: func(r *delivery.Request) { r.Body = webhooktest.NewEvent("batch.succeeded") }},
	{name: "one bit of the body flipped", want: rejected, why: "the signature covers it", mutateSigned: func(r *delivery.Request) { r.Body[len(r.Body)/2] ^= 1 }},
	{name: "newline appended to the body", want: rejected, why: "the bytes are signed, not the JSON", mutateSigned: func(r *delivery.Request) { r.Body = append(r.Body, '\n') }},
	{name: "body parsed and re-encoded", want: rejected, why: "the bytes are signed, not the JSON", mutateSigned: rewritten},
	{name: "another id", want: rejected, why: "the signature covers it", mutateSigned: set("Webhook-Id", webhooktest.NewID())},
	{name: "another timestamp", want: rejected, why: "the signature covers it", mutateSigned: aSecondLater},
	{name: "empty body, signed", ours: true, want: accepted, why: "the signature is genuine", mutate: body(nil)},
	{name: "body removed after signing", want: rejected, why: "the signature covers it", mutateSigned: func(r *delivery.Request) { r.Body = nil }},
	{name: "body not JSON", ours: true, want: accepted, why: "the signature is genuine", mutate: body([]byte("batch_123456 succeeded\x00\xff"))},
	{name: "JSON 100,000 levels deep", ours: true, want: accepted, why: "genuine; must not overflow the stack", mutate: body(deep(100_000))},

	{name: "signature without a comma", want: rejected, why: "not a valid entry", mutateSigned: signature(func(s string) string { return strings.Replace(s, ",", "", 1) })},
	{name: "signature without a version", want: rejected, why: "not a valid entry", mutateSigned: signature(func(s string) string { return s[strings.IndexByte(s, ','):] })},
	{name: "signature not base64", want: rejected, why: "not a valid entry", mutateSigned: signature(func(s string) string { return s[:len(s)-4] + "!!!!" })},
	{name: "signature truncated", want: rejected, why: "too short", mutateSigned: signature(func(s string) string { return s[:len(s)-8] })},
	{name: "signature with characters appended", want: rejected, why: "too long", mutateSigned: signature(func(s string) string { return s + "AAAA" })},
	{name: "one character of the signature changed", want: rejected, why: "matches none of the receiver's keys", mutateSigned: signature(flipped)},
	{name: "entries of unknown versions first", want: accepted, why: "unknown versions are ignored", mutateSigned: signature(func(s string) string { return "v9,AAAA nonsense " + s })},
	{name: "another key's signature first", want: accepted, why: "a rotation sends two signatures", mutateSigned: signature(func(s string) string { return flipped(s) + " " + s })},
	{name: "20 entries of an unknown version first", ours: true, want: accepted, why: "unknown versions do not count", mutateSigned: signature(func(s string) string { return strings.Repeat("v9,AAAA ", 20) + s })},
	{name: "signature 4 of 4", want: accepted, why: "at least 4 must be tried", mutateSigned: signature(func(s string) string { return strings.Repeat(flipped(s)+" ", 3) + s })},
	{name: "signature 17 of 17", ours: true, want: malformed, why: "too many signatures", mutateSigned: signature(func(s string) string { return strings.Repeat(flipped(s)+" ", 16) + s })},
	{name: "signature after 20,000 entries", ours: true, want: malformed, why: "too many signatures", mutateSigned: signature(func(s string) string { return strings.Repeat(s[:strings.IndexByte(s, ',')]+", ", 20_000) + s })},
	{name: "signature header twice", ours: true, want: accepted, why: "two header lines are one list", mutateSigned: twice("Webhook-Signature")},
	{name: "two signatures joined by a proxy", ours: true, want: accepted, why: "a proxy joins header lines with a comma", mutateSigned: signature(func(s string) string { return s + ", " + flipped(s) })},
}

// static are the cases for the static endpoint.
var static = []conformanceCase{
	{name: "signed v1a", want: rejected, why: "the endpoint chooses the scheme", mutate: signed(webhook.V1a)},
	{name: "signed with a JWT", want: rejected, why: "the endpoint chooses the scheme", mutate: signed(webhook.JWT)},
	{name: "v1 signature labelled v1a", want: rejected, why: "the endpoint chooses the scheme", mutateSigned: signature(func(s string) string { return "v1a" + strings.TrimPrefix(s, "v1") })},
}

// dynamic are the cases for the dynamic endpoint.
var dynamic = []conformanceCase{
	{name: "URL token missing", ours: true, want: rejected, why: "Google's keys sign for every customer", mutateSigned: urlToken(func(string) string { return "" })},
	{name: "URL token wrong", ours: true, want: rejected, why: "not this receiver's token", mutateSigned: urlToken(func(t string) string { return strings.Repeat("x", len(t)) })},
	{name: "URL token truncated", ours: true, want: rejected, why: "not this receiver's token", mutateSigned: urlToken(func(t string) string { return t[:len(t)-1] })},
	{name: "signed v1", want: rejected, why: "the endpoint chooses the scheme", mutate: signed(webhook.V1)},
	{name: "signed v1 with the public key as secret", want: rejected, why: "a public key is not a secret", mutate: signV1WithPublicKey},
}

// jwts are the cases for JWTs, which cover the event, not the body's bytes.
var jwts = []conformanceCase{
	{name: "alg none", want: rejected, why: "a known attack: not signed", mutate: jwtBy("none", func([]byte, *delivery.Keys) []byte { return nil })},
	{name: "HS256 with the public key as secret", want: rejected, why: "a known attack: a public key is not a secret", mutate: jwtBy("HS256", hmacWithPublicKey)},
	{name: "public key in the JWT's header", want: rejected, why: "only the key set's keys are accepted", mutate: broughtKey},
	{name: "unknown kid", want: rejected, why: "not in the key set", mutate: keys(func(k *delivery.Keys) { k.JWTKeyID = "rsa-2" })},
	{name: "kid missing", ours: true, want: accepted, why: "all keys are tried", mutate: keys(func(k *delivery.Keys) { k.JWTKeyID = "" })},
	{name: "signed EdDSA", ours: true, want: accepted, why: "the key set has an Ed25519 key", mutate: keys(func(k *delivery.Keys) { k.JWT, k.JWTKeyID = k.Ed25519, "" })},
	{name: "another audience", want: rejected, why: "not for this receiver", mutate: claim("aud", "https://example.com/hook")},
	{name: "audience missing", want: rejected, why: "not for this receiver", mutate: claim("aud", nil)},
	{name: "audience in a list", want: accepted, why: "RFC 7519 allows it", mutate: claims(func(c map[string]any) { c["aud"] = []any{"https://example.com/hook", c["aud"]} })},
	{name: "audience with a query", ours: true, want: accepted, why: "queries are ignored", mutate: claims(func(c map[string]any) { c["aud"] = fmt.Sprint(c["aud"], "?token=x") })},
	{name: "expired 6 minutes ago", want: rejected, why: "stale", mutate: claimIn("exp", -6*time.Minute)},
	{name: "exp missing", want: rejected, why: "required: a JWT must expire", mutate: claim("exp", nil)},
	{name: "exp in two hours", ours: true, want: rejected, why: "at most an hour ahead", mutate: claimIn("exp", 2*time.Hour)},
	{name: "exp in a year", ours: true, want: rejected, why: "at most an hour ahead", mutate: claimIn("exp", 365*24*time.Hour)},
	{name: "iat in 6 minutes", want: rejected, why: "not issued yet", mutate: claimIn("iat", 6*time.Minute)},
	{name: "nbf in 6 minutes", want: rejected, why: "not valid yet", mutate: claimIn("nbf", 6*time.Minute)},
	{name: "iat missing", want: accepted, why: "optional", mutate: claim("iat", nil)},
	{name: "type claim differs from the body", ours: true, want: rejected, why: "the JWT signs another event", mutate: claim("type", "batch.failed")},
	{name: "data claim differs from the body", ours: true, want: rejected, why: "the JWT signs another event", mutate: claim("data", map[string]any{"id": "batches/other"})},
	{name: "another body", ours: true, want: rejected, why: "the JWT signs another event", mutateSigned: func(r *delivery.Request) { r.Body = webhooktest.NewEvent("batch.succeeded") }},
	{name: "duplicate JSON key in the body", ours: true, want: rejected, why: "parsers disagree about which value counts", mutateSigned: func(r *delivery.Request) { r.Body = append([]byte(`{"type":"batch.failed",`), r.Body[1:]...) }},
	{name: "body 100,000 levels deep", ours: true, want: rejected, why: "another event; must not overflow the stack", mutateSigned: func(r *delivery.Request) { r.Body = deep(100_000) }},
	{name: "signature header twice", ours: true, want: rejected, why: "a JWT is not a list", mutateSigned: twice("Webhook-Signature")},
	{name: "JWT of 20 kB", ours: true, want: malformed, why: "at most 16 KiB", mutate: claim("padding", strings.Repeat("x", 20_000))},
	{name: "JWT of two parts", want: rejected, why: "a JWT has three parts", mutateSigned: signature(func(s string) string { return s[:strings.LastIndexByte(s, '.')] })},
	{name: "JWT of three empty parts", want: rejected, why: "not a JWT", mutateSigned: signature(func(string) string { return ".." })},
}
