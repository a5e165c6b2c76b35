package explain_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/explain"
)

// Texts of the output that the other tests do not cover.
func TestWhatTheOutputSays(t *testing.T) {
	by := newSender(t)
	old := func(ago time.Duration) func(d *sent) {
		return func(d *sent) {
			d.at = d.at.Add(-ago)
			d.body = event(d.at)
			d.sign()
		}
	}
	timeless := func(d *sent) {
		d.at = d.at.Add(-time.Hour)
		d.body = []byte(`{"type":"batch.succeeded"}`)
		d.sign()
	}
	arrived := func(ago time.Duration) string {
		return `{"start":"` + time.Now().Add(-ago).UTC().Format(time.RFC3339) + `","request":{"method":"POST","uri":"/Webhook","headers":` + jsonLists + `,"body":{json}}}`
	}
	for name, test := range map[string]struct {
		scheme  string
		before  func(d *sent)
		capture string
		cause   explain.Cause
		want    string
	}{
		"old, and no arrival":       {"v1", old(time.Hour), rawHeaders + "\r\n{body}", explain.Stale, "or for a wrong clock"},
		"right at its time":         {"v1", old(time.Hour), arrived(time.Hour), explain.Stale, "it was within the limit when it arrived"},
		"old when it arrived":       {"v1", old(time.Hour), arrived(10 * time.Minute), explain.Stale, "s old when it arrived"},
		"ahead when it arrived":     {"v1", timeless, arrived(2 * time.Hour), explain.SenderClock, "after the time of arrival in the capture"},
		"an old token":              {"jwt", func(d *sent) { old(8 * time.Minute)(d) }, rawHeaders + "\r\n{body}", explain.Stale, "the timestamp is 8m"},
		"a token's iat ahead":       {"jwt", func(d *sent) { d.claims = map[string]any{"iat": d.at.Add(time.Hour).Unix()}; d.sign() }, ngrok, explain.SenderClock, "iat is 59m5"},
		"a token's nbf ahead":       {"jwt", func(d *sent) { d.claims = map[string]any{"nbf": d.at.Add(30 * time.Minute).Unix()}; d.sign() }, ngrok, explain.SenderClock, "nbf is 29m5"},
		"curl":                      {"v1", nil, curl + curlAnswer, explain.BodyMissing, "because curl -v does not print it"},
		"incomplete chunks":         {"v1", nil, rawHeaders + "Transfer-Encoding: chunked\r\n\r\n40\r\n{\"type\"", explain.BodyChunks, "body               its chunked encoding is incomplete: chunk 1 has 7 of 64 bytes"},
		"the last chunk is missing": {"v1", nil, rawHeaders + "Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n", explain.BodyChunks, "no chunk follows chunk 1, so the last one of size 0 is missing"},
		"a length that differs":     {"v1", func(d *sent) { d.body = d.body[:9] }, rawHeaders + "Content-Length: 155\r\n\r\n{body}", explain.Incomplete, "body               9 bytes, but its Content-Length is 155"},
		"inflated before":           {"v1", nil, rawHeaders + "Content-Encoding: gzip\r\n\r\n{body}", "", "names an encoding, but the captured body is not encoded"},
		"decoded":                   {"v1", nil, dump(jsonMap, `"body":"{b64}"`), "", "batch.succeeded, decoded from base64"},
		"what was tried":            {"v1", stored(func(d *sent) string { return "whsec_" + "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" }), rawHeaders + "\r\n{body}", explain.WrongSecret, "tried 2"},
		"the spelling":              {"v1", func(d *sent) { d.body = spaced(d.body); d.sign() }, dump(jsonMap, `"body":{body}`), explain.BodyParsed, `", " and ": "`},
		"no spelling":               {"v1", func(d *sent) { d.body = []byte(`{"a" : 1}`); d.sign() }, dump(jsonMap, `"body":{body}`), explain.BodyParsed, "does not match any usual encoding"},
		"a mark":                    {"v1", stored(func(d *sent) string { return "\ufeff" + d.by.secret() }), rawHeaders + "\r\n{body}", explain.SecretMark, "the functions ignore the mark"},
		"decoded, what to do":       {"v1", stored(func(d *sent) string { return fmt.Sprintf("%x", d.by.key) }), rawHeaders + "\r\n{body}", explain.SecretDecoded, "store the secret as Gemini returned it"},
		"no URL token":              {"v1a", nil, rawHeaders + "\r\n{body}", "", "missing from the URL"},
		"a URL token":               {"v1a", nil, strings.Replace(rawHeaders, "POST / ", "POST /?token=x ", 1) + "\r\n{body}", "", "present in the URL"},
		"hex":                       {"v1", written(func(raw []byte) string { return fmt.Sprintf("%x", raw) }), rawHeaders + "\r\n{body}", explain.SignatureEncoding, "✗ signature          does not match: the signature is encoded in hex"},
		"base64url":                 {"v1", func(d *sent) { d.signature = strings.NewReplacer("+", "-", "/", "_").Replace(d.signature) }, rawHeaders + "\r\n{body}", explain.SignatureEncoding, "in base64url"},
		"another secret of the page": {"v1", func(d *sent) {
			d.to.Secrets = append([]string{"whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}, d.to.Secrets...)
		}, rawHeaders + "\r\n{body}", "", "v1 with secret 2 of 2"},
		"claims of another form":   {"jwt", func(d *sent) { d.claims = map[string]any{"aud": 1}; d.sign() }, ngrok, explain.Token, "claims do not conform to RFC 7519"},
		"a token without an event": {"jwt", func(d *sent) { d.body = nil; d.sign(); d.body = event(d.at) }, ngrok, "", "the JWT has no event"},
		"a token, and no id":       {"jwt", nil, strings.Replace(rawHeaders, "webhook-id", "x-id", 1) + "\r\n{body}", explain.HeaderMissing, "not checked"},
		"a token's kind":           {"jwt", nil, ngrok, "", "a JSON Web Token"},
		"a token of another event": {"jwt", func(d *sent) { d.body = []byte(`{"type":"batch.failed","data":{}}`) }, ngrok, explain.Event, "another body was sent with the JWT"},
		"a signature, and no id":   {"v1", nil, strings.Replace(rawHeaders, "webhook-id", "x-id", 1) + "\r\n{body}", explain.HeaderMissing, "not checked, because it covers webhook-id and webhook-timestamp"},
		"inflated": {"v1", func(d *sent) {
			plain := d.body
			packed("gzip", "gzip")(d)
			d.sign()
			d.body = plain
		}, rawHeaders + "Content-Encoding: gzip\r\n\r\n{body}", explain.BodyCompressed, "compressed or decompressed between the sender and the capture"},
		"a line of a dotenv file": {"v1", stored(func(d *sent) string { return "SECRET=" + d.by.secret() }), rawHeaders + "\r\n{body}", explain.SecretLine, "does not match: the secret is a whole line"},
		"decoded, as text": {"v1", stored(func(d *sent) string {
			var text strings.Builder
			for _, c := range d.by.key {
				text.WriteRune(rune(c))
			}
			return text.String()
		}), rawHeaders + "\r\n{body}", explain.SecretDecoded, "does not match: the secret was decoded"},
		"chunks":         {"v1", body(chunks), rawHeaders + "\r\n{body}", explain.BodyChunks, "does not match: the body contains chunk headers"},
		"a GET":          {"v1", nil, strings.Replace(rawHeaders, "POST", "GET", 1) + "\r\n{body}", explain.Method, "Rejected with 405 at step method"},
		"stale and late": {"v1", func(d *sent) { d.at = d.at.Add(-time.Hour); d.sign(); d.body = nil }, rawHeaders + "\r\n", explain.BodyMissing, "– age"},
	} {
		d := by.deliver(test.scheme)
		if test.before != nil {
			test.before(d)
		}
		text := []byte(d.fill(test.capture))
		r := d.explain(t, text)
		var out bytes.Buffer
		r.Write(&out, false)
		if r.Cause != test.cause || !strings.Contains(out.String(), test.want) {
			t.Errorf("%s: %q, want %q and %q in\n%s", name, r.Cause, test.cause, test.want, &out)
		}
	}
}

// A capture with a time of arrival, as on serve's page, is examined at that time.
func TestArrivalOnThePage(t *testing.T) {
	d := newSender(t).deliver("v1")
	c, err := explain.Read(bytes.NewReader(rawHTTP(d)))
	if err != nil {
		t.Fatal(err)
	}
	c.At = d.at.Add(time.Hour)
	if r := d.to.Explain(c); r.Cause != explain.Stale || !strings.Contains(r.Why[0], "it was 1h0m0s old when it arrived") {
		t.Errorf("%+v", r)
	}
}
