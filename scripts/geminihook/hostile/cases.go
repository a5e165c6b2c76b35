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

// The answers, as the receiver's table has them.
var (
	accepted       = []int{http.StatusNoContent}
	malformed      = []int{http.StatusBadRequest}
	rejected       = []int{http.StatusUnauthorized}
	tooLarge       = []int{http.StatusRequestEntityTooLarge}
	notPost        = []int{http.StatusMethodNotAllowed}
	acceptedOrBusy = []int{http.StatusNoContent, http.StatusServiceUnavailable}
)

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

// common are for every scheme.
var common = []conformanceCase{
	{name: "genuine", want: accepted, why: "to begin with"},
	{name: "the same again", want: accepted, why: "a retry, signed anew: a duplicate", then: again},
	{name: "2 copies at once", want: acceptedOrBusy, why: "one is published; busy says Retry-After", copies: 2},
	{name: "20 copies at once", want: acceptedOrBusy, why: "one is published; busy says Retry-After", copies: maxCopies},

	{name: "4 minutes old", want: accepted, why: "within the tolerance", mutate: sent(-4 * time.Minute)},
	{name: "4 minutes ahead", want: accepted, why: "within the tolerance", mutate: sent(4 * time.Minute)},
	{name: "6 minutes old", want: rejected, why: "stale", mutate: sent(-6 * time.Minute)},
	{name: "6 minutes ahead", want: rejected, why: "stale", mutate: sent(6 * time.Minute)},

	{name: "timestamp missing", want: malformed, why: "needed", mutateSigned: without("Webhook-Timestamp")},
	{name: "timestamp twice", ours: true, want: malformed, why: "which one was signed?", mutateSigned: twice("Webhook-Timestamp")},
	{name: "timestamp empty", want: malformed, why: "not in Unix seconds", mutate: timestamp("")},
	{name: "timestamp with a sign", ours: true, want: malformed, why: "not the canonical form", mutate: timestamp("+{}")},
	{name: "timestamp negative", want: malformed, why: "not in Unix seconds", mutate: timestamp("-{}")},
	{name: "timestamp with a leading zero", ours: true, want: malformed, why: "not the canonical form", mutate: timestamp("0{}")},
	{name: "timestamp in milliseconds", want: malformed, why: "not in Unix seconds", mutate: timestamp("{}000")},
	{name: "timestamp with a fraction", ours: true, want: malformed, why: "not in Unix seconds", mutate: timestamp("{}.5")},
	{name: "timestamp in full-width digits", want: malformed, why: "some libraries read them", mutate: timestamp("１７６００００００００")},
	{name: "timestamp with an exponent", want: malformed, why: "not in Unix seconds", mutate: timestamp("1e9")},
	{name: "timestamp beyond 64 bits", want: malformed, why: "not in Unix seconds", mutate: timestamp("99999999999999999999")},
	{name: "timestamp a date", want: malformed, why: "not in Unix seconds", mutate: timestamp("2026-01-22T12:00:00Z")},

	{name: "id missing", want: malformed, why: "needed", mutateSigned: without("Webhook-Id")},
	{name: "id twice", ours: true, want: malformed, why: "which one was signed?", mutateSigned: twice("Webhook-Id")},
	{name: "id empty", want: malformed, why: "needed", mutate: id("")},
	{name: "id of 256 characters", ours: true, want: accepted, why: "the longest", mutate: idOf(256)},
	{name: "id of 257 characters", ours: true, want: malformed, why: "too long", mutate: idOf(257)},
	{name: "id of 10,000 characters", ours: true, want: malformed, why: "too long", mutate: idOf(10_000)},
	{name: "id with a dot", ours: true, want: malformed, why: "makes what is signed ambiguous", mutate: id("{}a.bx")},
	{name: "id with a slash", ours: true, want: accepted, why: "an id like any other", mutate: id("{}a/bx")},
	{name: "id with a space", ours: true, want: accepted, why: "printable ASCII", mutate: id("{}a bx")},
	{name: "id not in ASCII", ours: true, want: malformed, why: "not printable ASCII", mutate: id("{}éx")},
	{name: "id not in UTF-8", ours: true, want: malformed, why: "Firestore would refuse it", mutate: id("{}\xffx")},

	{name: "signature missing", want: malformed, why: "needed", mutateSigned: without("Webhook-Signature")},
	{name: "signature empty", want: malformed, why: "needed", mutateSigned: set("Webhook-Signature", "")},
	{name: "signature of another key", want: rejected, why: "no key of the receiver matches", mutate: strangers},

	{name: "an event of unknown type", want: accepted, why: "types are an open set", mutate: body(webhooktest.NewEvent("model.retired"))},
	{name: "content type missing", ours: true, want: accepted, why: "nothing depends on it", mutateSigned: without("Content-Type")},
	{name: "content type wrong", ours: true, want: accepted, why: "nothing depends on it", mutateSigned: set("Content-Type", "image/png; ;")},
	{name: "chunked", want: accepted, why: "as good as with a length", mutateSigned: chunked},
	{name: "body of 1 MiB", ours: true, want: accepted, why: "the largest", mutate: bodyOf(receiver.MaxBody)},
	{name: "body of 1 MiB, chunked", ours: true, want: accepted, why: "the largest", mutate: bodyOf(receiver.MaxBody), mutateSigned: chunked},
	{name: "body of 1 MiB and a byte", ours: true, want: tooLarge, why: "over the limit", mutate: bodyOf(receiver.MaxBody + 1)},
	{name: "body of 1 MiB and a byte, chunked", ours: true, want: tooLarge, why: "over the limit", mutate: bodyOf(receiver.MaxBody + 1), mutateSigned: chunked},
	{name: "body that breaks off", want: malformed, why: "not what was signed", mutateSigned: func(r *delivery.Request) { r.Cut = true }},

	{name: "GET", ours: true, want: notPost, why: "deliveries are POSTs", mutateSigned: method("GET")},
	{name: "HEAD", ours: true, want: notPost, why: "deliveries are POSTs", mutateSigned: method("HEAD")},
	{name: "PUT", ours: true, want: notPost, why: "deliveries are POSTs", mutateSigned: method("PUT")},
	{name: "OPTIONS", ours: true, want: notPost, why: "no browser is to call", mutateSigned: method("OPTIONS")},
}

// signatures are for v1 and v1a, whose signature covers id, timestamp and body.
var signatures = []conformanceCase{
	{name: "the same id again, with another body", ours: true, want: accepted, why: "a duplicate: the id is known", then: otherBody},
	{name: "another body", want: rejected, why: "the signature covers it", mutateSigned: func(r *delivery.Request) { r.Body = webhooktest.NewEvent("batch.succeeded") }},
	{name: "one bit of the body", want: rejected, why: "the signature covers it", mutateSigned: func(r *delivery.Request) { r.Body[len(r.Body)/2] ^= 1 }},
	{name: "a newline after the body", want: rejected, why: "the bytes are signed, not the JSON", mutateSigned: func(r *delivery.Request) { r.Body = append(r.Body, '\n') }},
	{name: "the body written anew", want: rejected, why: "the bytes are signed, not the JSON", mutateSigned: rewritten},
	{name: "another id", want: rejected, why: "the signature covers it", mutateSigned: set("Webhook-Id", webhooktest.NewID())},
	{name: "another timestamp", want: rejected, why: "the signature covers it", mutateSigned: aSecondLater},
	{name: "no body, signed so", ours: true, want: accepted, why: "genuine is enough", mutate: body(nil)},
	{name: "no body, not signed so", want: rejected, why: "the signature covers it", mutateSigned: func(r *delivery.Request) { r.Body = nil }},
	{name: "a body that is no JSON", ours: true, want: accepted, why: "genuine is enough", mutate: body([]byte("batch_123456 succeeded\x00\xff"))},
	{name: "JSON 100,000 levels deep", ours: true, want: accepted, why: "genuine is enough; no stack overflows", mutate: body(deep(100_000))},

	{name: "a signature without a comma", want: rejected, why: "no entry", mutateSigned: signature(func(s string) string { return strings.Replace(s, ",", "", 1) })},
	{name: "a signature without a version", want: rejected, why: "no entry", mutateSigned: signature(func(s string) string { return s[strings.IndexByte(s, ','):] })},
	{name: "a signature not in base64", want: rejected, why: "no entry", mutateSigned: signature(func(s string) string { return s[:len(s)-4] + "!!!!" })},
	{name: "a signature cut short", want: rejected, why: "not whole", mutateSigned: signature(func(s string) string { return s[:len(s)-8] })},
	{name: "a signature with more after it", want: rejected, why: "not whole", mutateSigned: signature(func(s string) string { return s + "AAAA" })},
	{name: "one bit of the signature", want: rejected, why: "no key of the receiver matches", mutateSigned: signature(flipped)},
	{name: "unknown versions beside it", want: accepted, why: "what is not understood is passed over", mutateSigned: signature(func(s string) string { return "v9,AAAA nonsense " + s })},
	{name: "another key's signature beside it", want: accepted, why: "during a rotation there are two", mutateSigned: signature(func(s string) string { return flipped(s) + " " + s })},
	{name: "20 of unknown versions before it", ours: true, want: accepted, why: "they do not count", mutateSigned: signature(func(s string) string { return strings.Repeat("v9,AAAA ", 20) + s })},
	{name: "3 of another key before it", want: accepted, why: "at least 4 are looked at", mutateSigned: signature(func(s string) string { return strings.Repeat(flipped(s)+" ", 3) + s })},
	{name: "16 of another key before it", ours: true, want: malformed, why: "too many signatures", mutateSigned: signature(func(s string) string { return strings.Repeat(flipped(s)+" ", 16) + s })},
	{name: "20,000 entries before it", ours: true, want: malformed, why: "too many signatures", mutateSigned: signature(func(s string) string { return strings.Repeat(s[:strings.IndexByte(s, ',')]+", ", 20_000) + s })},
	{name: "signature twice", ours: true, want: accepted, why: "a list may come in two lines", mutateSigned: twice("Webhook-Signature")},
	{name: "two signatures joined by a proxy", ours: true, want: accepted, why: "two lines are one list", mutateSigned: signature(func(s string) string { return s + ", " + flipped(s) })},
}

// static are for the static endpoint.
var static = []conformanceCase{
	{name: "signed v1a", want: rejected, why: "the endpoint chooses the scheme", mutate: signed(webhook.V1a)},
	{name: "a token", want: rejected, why: "the endpoint chooses the scheme", mutate: signed(webhook.JWT)},
	{name: "v1 called v1a", want: rejected, why: "the endpoint chooses the scheme", mutateSigned: signature(func(s string) string { return "v1a" + strings.TrimPrefix(s, "v1") })},
}

// dynamic are for the dynamic endpoint.
var dynamic = []conformanceCase{
	{name: "no URL token", ours: true, want: rejected, why: "Google signs for every customer", mutateSigned: urlToken(func(string) string { return "" })},
	{name: "a wrong URL token", ours: true, want: rejected, why: "not ours", mutateSigned: urlToken(func(t string) string { return strings.Repeat("x", len(t)) })},
	{name: "a URL token cut short", ours: true, want: rejected, why: "not ours", mutateSigned: urlToken(func(t string) string { return t[:len(t)-1] })},
	{name: "signed v1", want: rejected, why: "the endpoint chooses the scheme", mutate: signed(webhook.V1)},
	{name: "signed v1 with the public key as secret", want: rejected, why: "public keys are no secrets", mutate: signV1WithPublicKey},
}

// jwts are for JWTs alone, which cover the event, not the bytes.
var jwts = []conformanceCase{
	{name: "alg none", want: rejected, why: "the classic forgery", mutate: jwtBy("none", func([]byte, *delivery.Keys) []byte { return nil })},
	{name: "HS256 with the public key as secret", want: rejected, why: "the classic forgery", mutate: jwtBy("HS256", hmacWithPublicKey)},
	{name: "a key brought along in the token", want: rejected, why: "keys come from the key set alone", mutate: broughtKey},
	{name: "a kid that is not there", want: rejected, why: "names no key of the set", mutate: keys(func(k *delivery.Keys) { k.JWTKeyID = "rsa-2" })},
	{name: "a kid left out", ours: true, want: accepted, why: "all keys are tried", mutate: keys(func(k *delivery.Keys) { k.JWTKeyID = "" })},
	{name: "signed EdDSA", ours: true, want: accepted, why: "one of the key set's kinds", mutate: keys(func(k *delivery.Keys) { k.JWT, k.JWTKeyID = k.Ed25519, "" })},
	{name: "another audience", want: rejected, why: "not ours", mutate: claim("aud", "https://example.com/hook")},
	{name: "no audience", want: rejected, why: "not ours", mutate: claim("aud", nil)},
	{name: "an audience in a list", want: accepted, why: "RFC 7519 allows it", mutate: claims(func(c map[string]any) { c["aud"] = []any{"https://example.com/hook", c["aud"]} })},
	{name: "an audience with the URL's query", ours: true, want: accepted, why: "compared without it", mutate: claims(func(c map[string]any) { c["aud"] = fmt.Sprint(c["aud"], "?token=x") })},
	{name: "expired 6 minutes ago", want: rejected, why: "stale", mutate: claimIn("exp", -6*time.Minute)},
	{name: "no exp", want: rejected, why: "tokens must expire", mutate: claim("exp", nil)},
	{name: "exp in two hours", ours: true, want: rejected, why: "at most an hour ahead", mutate: claimIn("exp", 2*time.Hour)},
	{name: "exp in a year", ours: true, want: rejected, why: "at most an hour ahead", mutate: claimIn("exp", 365*24*time.Hour)},
	{name: "iat in 6 minutes", want: rejected, why: "not issued yet", mutate: claimIn("iat", 6*time.Minute)},
	{name: "nbf in 6 minutes", want: rejected, why: "not valid yet", mutate: claimIn("nbf", 6*time.Minute)},
	{name: "no iat", want: accepted, why: "it is optional", mutate: claim("iat", nil)},
	{name: "claims with another type of event", ours: true, want: rejected, why: "not this body's", mutate: claim("type", "batch.failed")},
	{name: "claims with other data", ours: true, want: rejected, why: "not this body's", mutate: claim("data", map[string]any{"id": "batches/other"})},
	{name: "a body with other data", ours: true, want: rejected, why: "not the token's", mutateSigned: func(r *delivery.Request) { r.Body = webhooktest.NewEvent("batch.succeeded") }},
	{name: "a body with a name twice", ours: true, want: rejected, why: "readers differ in which they use", mutateSigned: func(r *delivery.Request) { r.Body = append([]byte(`{"type":"batch.failed",`), r.Body[1:]...) }},
	{name: "a body 100,000 levels deep", ours: true, want: rejected, why: "not the token's; no stack overflows", mutateSigned: func(r *delivery.Request) { r.Body = deep(100_000) }},
	{name: "signature twice", ours: true, want: rejected, why: "a token is no list", mutateSigned: twice("Webhook-Signature")},
	{name: "a token of 20 kB", ours: true, want: malformed, why: "at most 16 KiB", mutate: claim("padding", strings.Repeat("x", 20_000))},
	{name: "a token of two parts", want: rejected, why: "no token", mutateSigned: signature(func(s string) string { return s[:strings.LastIndexByte(s, '.')] })},
	{name: "a token of nothing but dots", want: rejected, why: "no token", mutateSigned: signature(func(string) string { return ".." })},
}
