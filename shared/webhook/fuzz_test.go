package webhook_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// wantForged checks that err is a refusal of an unsigned delivery.
func wantForged(t testing.TB, d *webhook.Delivery, err error) {
	t.Helper()
	if d != nil || !errors.Is(err, webhook.ErrForged) && !errors.Is(err, webhook.ErrMalformed) {
		t.Fatalf("%+v, %v; want ErrForged or ErrMalformed", d, err)
	}
}

// parts returns copies of the four parts of a delivery, to change single bytes in.
func parts(id, timestamp, signature string, body []byte) [4][]byte {
	return [4][]byte{[]byte(id), []byte(timestamp), []byte(signature), bytes.Clone(body)}
}

// checkFlip verifies the delivery with one bit inverted, counted over all four parts.
func checkFlip(t testing.TB, v verifier, p [4][]byte, bit int) {
	t.Helper()
	for i := range p {
		if bit < 8*len(p[i]) {
			p[i][bit/8] ^= 1 << (bit % 8)
			h := http.Header{
				"Webhook-Id": {string(p[0])}, "Webhook-Timestamp": {string(p[1])}, "Webhook-Signature": {string(p[2])},
			}
			d, err := v.Verify(t.Context(), h, p[3])
			p[i][bit/8] ^= 1 << (bit % 8)
			wantForged(t, d, err)
			return
		}
		bit -= 8 * len(p[i])
	}
}

// A delivery with any single bit inverted is rejected.
func TestEveryBitIsSigned(t *testing.T) {
	dynamic := &webhook.Dynamic{Keys: ring[webhook.PublicKey]{publicKey("", edKey)}}
	for _, s := range sides(t)[:2] {
		t.Run(string(s.scheme), func(t *testing.T) {
			v := s.verifier
			if s.scheme == webhook.V1a {
				v = dynamic // with one key only, because Ed25519 is slow
			}
			timestamp := webhooktest.Timestamp(time.Now())
			p := parts("msg_1", timestamp, s.sign("msg_1", timestamp, []byte(`{"a":1}`)), []byte(`{"a":1}`))
			n := 0
			for _, part := range p {
				n += 8 * len(part)
			}
			for bit := range n {
				checkFlip(t, v, p, bit)
			}
		})
	}
}

// Any changed character of a JWT is rejected, and so is any changed bit of the body
// that the JWT carries.
func TestEveryBitOfAJWTIsSigned(t *testing.T) {
	dynamic := &webhook.Dynamic{Keys: ring[webhook.PublicKey]{publicKey("", edKey)}, Audiences: []string{audience}}
	now := time.Now()
	body := []byte(`{"type":"t","data":1}`)
	token := []byte(must(webhook.SignJWT(edKey, "", webhooktest.Claims(audience, now, body))))
	d, err := dynamic.Verify(t.Context(), webhooktest.Header(someID, now, string(token)), body)
	wantRefusal(t, d, err, nil)
	for bit := range 8 * len(token) {
		token[bit/8] ^= 1 << (bit % 8)
		d, err := dynamic.Verify(t.Context(), webhooktest.Header(someID, now, string(token)), body)
		token[bit/8] ^= 1 << (bit % 8)
		wantForged(t, d, err)
	}
	for bit := range 8 * len(body) {
		body[bit/8] ^= 1 << (bit % 8)
		d, err := dynamic.Verify(t.Context(), webhooktest.Header(someID, now, string(token)), body)
		body[bit/8] ^= 1 << (bit % 8)
		wantForged(t, d, err)
	}
}

// Any signed content is accepted, and rejected after one bit of it has changed.
func TestRandomDeliveries(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		id := make([]byte, 1+random.IntN(256))
		for i := range id {
			for id[i] = '.'; id[i] == '.'; {
				id[i] = byte(' ' + random.IntN('~'-' '+1))
			}
		}
		body := make([]byte, random.IntN(3000))
		for i := range body {
			body[i] = byte(random.Uint32())
		}
		now := time.Now()
		timestamp := webhooktest.Timestamp(now.Add(time.Duration(random.IntN(598)-299) * time.Second))
		for _, s := range sides(t)[:2] {
			p := parts(string(id), timestamp, s.sign(string(id), timestamp, body), body)
			h := http.Header{"Webhook-Id": {string(p[0])}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {string(p[2])}}
			d, err := s.verifier.Verify(t.Context(), h, body)
			if wantRefusal(t, d, err, nil); t.Failed() {
				t.Fatalf("id %q, timestamp %s, body %x", id, timestamp, body)
			}
			total := 8 * (len(p[0]) + len(p[1]) + len(p[2]) + len(p[3]))
			for range 5 {
				checkFlip(t, s.verifier, p, random.IntN(total))
			}
		}
	}
}

// goodID reports whether an id is valid, implemented differently from the code under
// test.
func goodID(id string) bool {
	for _, r := range id {
		if r > unicode.MaxASCII || !strconv.IsPrint(r) || r == '.' {
			return false
		}
	}
	return id != "" && len(id) <= 256
}

// fuzzV fuzzes a scheme that signs "id.timestamp.body".
func fuzzV(f *testing.F, s side) {
	f.Add(someID, int16(0), someBody, uint32(0), []byte("v1,AAAA"))
	f.Add("a.b", int16(300), []byte(nil), uint32(100), []byte("v1a,"+strings.Repeat("A", 86)+"=="))
	f.Add(" ", int16(-301), []byte("\xff"), uint32(1<<31), []byte("a.b.c"))
	f.Fuzz(func(t *testing.T, id string, away int16, body []byte, bit uint32, junk []byte) {
		now := time.Now()
		timestamp := webhooktest.Timestamp(now.Add(time.Duration(away) * time.Second))
		signature := s.sign(id, timestamp, body)
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		d, err := s.verifier.Verify(t.Context(), h, body)
		switch {
		case !goodID(id):
			wantRefusal(t, d, err, webhook.ErrMalformed)
		case away > 295 && away < 305 || away < -295 && away > -305: // too close to the tolerance, because the clock runs on
		case away > 300 || away < -300:
			wantRefusal(t, d, err, webhook.ErrStale)
		default:
			wantRefusal(t, d, err, nil)
		}
		p := parts(id, timestamp, signature, body)
		total := uint32(8 * (len(p[0]) + len(p[1]) + len(p[2]) + len(p[3])))
		checkFlip(t, s.verifier, p, int(bit%total))
		if string(junk) != signature && !strings.Contains(string(junk), signature) {
			h.Set("Webhook-Signature", string(junk))
			d, err = s.verifier.Verify(t.Context(), h, body)
			wantForged(t, d, err)
		}
	})
}

func FuzzV1(f *testing.F) { fuzzV(f, sides(f)[0]) }

func FuzzV1a(f *testing.F) {
	s := sides(f)[1]
	s.verifier = &webhook.Dynamic{Keys: ring[webhook.PublicKey]{publicKey("", edKey)}, Audiences: []string{audience}}
	fuzzV(f, s)
}

// FuzzJWT signs any header and payload, with a current key and with another one.
// LATER in a payload stands for a time one minute from now. Without it, seeds with a
// fixed exp would soon expire.
func FuzzJWT(f *testing.F) {
	f.Add([]byte(`{"alg":"EdDSA"}`), []byte(`{"aud":"a","exp":LATER,"type":"t","data":1}`), []byte(`{"type":"t","data":1}`), "")
	f.Add([]byte(`{"alg":"EdDSA"}`), []byte(`{"aud":["a"],"exp":LATER,"type":"t","data":[1,{"x":1e2}],"timestamp":"n"}`),
		[]byte(`{"timestamp":"n","data":[1, {"x":1e2}],"type":"\u0074","x":{"a":1,"b":2}}`), "")
	f.Add([]byte(`{"alg":"Ed25519"}`), []byte(`{"aud":"a","exp":LATER,"type":"t","data":1}`), []byte("\ufeff"+`{"type":"t","data":1}`), "")
	f.Add([]byte(`{"alg":"none"}`), []byte(`{}`), []byte(``), "e30.e30.")
	f.Add([]byte(`{"alg":"EdDSA","crit":null}`), []byte(`null`), []byte(`[[[`), "..")
	f.Fuzz(func(t *testing.T, header, payload, body []byte, token string) {
		now := time.Now()
		payload = bytes.ReplaceAll(payload, []byte("LATER"), []byte(webhooktest.Timestamp(now.Add(time.Minute))))
		genuine := signJWT(edKey, string(header), string(payload))
		forged := signJWT(otherEd, string(header), string(payload))
		dynamic := &webhook.Dynamic{
			Keys:      ring[webhook.PublicKey]{publicKey("", edKey)},
			Audiences: []string{"a"},
		}
		for _, unbound := range []bool{false, true} {
			dynamic.JWTWithoutEvent = unbound
			d, err := dynamic.Verify(t.Context(), webhooktest.Header(someID, now, genuine), body)
			if err == nil {
				checkAccepted(t, d, header, payload, unbound)
			} else if !slices.ContainsFunc(refusals, func(kind error) bool { return errors.Is(err, kind) }) {
				t.Fatalf("%v is not a refusal", err)
			}
			for _, text := range []string{forged, token} {
				d, err := dynamic.Verify(t.Context(), http.Header{
					"Webhook-Id": {someID}, "Webhook-Timestamp": {"1"}, "Webhook-Signature": {text},
				}, body)
				wantForged(t, d, err)
			}
		}
	})
}

// checkAccepted checks that an accepted JWT and its body agree, as a parser with
// case-sensitive names reads them.
func checkAccepted(t *testing.T, d *webhook.Delivery, header, payload []byte, unbound bool) {
	t.Helper()
	var h struct {
		Alg  string
		Crit any
	}
	if json.Unmarshal(header, &h) != nil || h.Alg != "EdDSA" && h.Alg != "Ed25519" || h.Crit != nil || d.Scheme != webhook.JWT {
		t.Fatalf("accepted with header %q", header)
	}
	claims, body := decodeObject(payload), decodeObject(bytes.TrimPrefix(d.Body, []byte("\ufeff")))
	if claims == nil {
		t.Fatalf("accepted with payload %q", payload)
	}
	if claims["type"] == nil && claims["data"] == nil && unbound {
		return // nothing binds the body
	}
	for _, name := range []string{"type", "data"} {
		if _, ok := body[name]; !ok && claims[name] != nil || !unbound && body[name] == nil {
			t.Fatalf("accepted with payload %q and without %s in the body %q", payload, name, d.Body)
		}
	}
	for name, value := range body {
		if claim, ok := claims[name]; ok && !reflect.DeepEqual(value, claim) {
			t.Fatalf("accepted with payload %q and body %q", payload, d.Body)
		}
	}
	if eventType, ok := body["type"].(string); ok && d.Event.Type != eventType && len(eventType) <= 1024 {
		t.Fatalf("Event.Type = %q, the body %q", d.Event.Type, d.Body)
	}
}

// decodeObject decodes a JSON object, with numbers as written. It returns nil if text
// is not an object.
func decodeObject(text []byte) (object map[string]any) {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if !json.Valid(text) || dec.Decode(&object) != nil {
		return nil
	}
	return object
}

// FuzzEvent checks the properties of an event on which the rest of the project
// relies.
func FuzzEvent(f *testing.F) {
	f.Add(someBody)
	f.Add([]byte(`{"type":"\ud800","data":{"id":"\u0000"},"timestamp":"9999-12-31T23:59:59-01:00"}`))
	f.Add([]byte(strings.Repeat(`{"data":[`, 100)))
	f.Add([]byte("\ufeff" + `{"type":"batch.failed","Type":"video.generated","data":{"Id":"1","id":"2"}}`))
	f.Add([]byte(`{"type":"a","\u0074ype":"b","data":{"id":"1"},"data":[{"id":"2"}],"x":"\"type\":"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		given := bytes.Clone(body)
		e := webhook.ParseEvent(given)
		for _, field := range []string{e.Type, e.JobID} {
			if len(field) > 1024 || !utf8.ValidString(field) {
				t.Errorf("field %q", field)
			}
		}
		if year := e.Time.UTC().Year(); year < 0 || year > 9999 {
			t.Errorf("time %v", e.Time)
		}
		if !bytes.Equal(given, body) {
			t.Error("ParseEvent changed the body")
		}
		body = bytes.TrimPrefix(body, []byte("\ufeff"))
		if !json.Valid(body) && e != (webhook.Event{}) {
			t.Errorf("event %+v, although the body is not JSON", e)
		}
		// The names of a map are case-sensitive too, and the last of two equal names
		// wins.
		envelope := decodeObject(body)
		if eventType, ok := envelope["type"].(string); ok && e.Type != eventType && len(eventType) <= 1024 ||
			envelope["type"] == nil && len(envelope) > 0 && e.Type != "" && !bytes.Contains(body, []byte("null")) {
			t.Errorf("type %q, in the body %q", e.Type, body)
		}
		if data, ok := envelope["data"].(map[string]any); ok {
			if id, ok := data["id"].(string); ok && e.JobID != id && len(id) <= 1024 {
				t.Errorf("id %q, in the body %q", e.JobID, body)
			}
		}
	})
}

// FuzzSignatures puts a genuine signature between arbitrary texts, in one line or in
// two. The delivery is accepted unless the texts change the signature or add too many
// others.
func FuzzSignatures(f *testing.F) {
	f.Add("v1,AAAA v1a,AAAA", "v9,x")
	f.Add("v1,A", "v1a,B, v1,C,")
	f.Add("v1v1a", "\t,,v1")
	all := sides(f)
	f.Fuzz(func(t *testing.T, before, after string) {
		now := time.Now()
		for _, s := range all[:2] {
			genuine := s.sign(someID, webhooktest.Timestamp(now), someBody)
			for _, lines := range [][]string{{before + " " + genuine + " " + after}, {before + ", " + genuine + "," + after}, {before, genuine, after}} {
				h := http.Header{"Webhook-Id": {someID}, "Webhook-Timestamp": {webhooktest.Timestamp(now)}, "Webhook-Signature": lines}
				d, err := s.verifier.Verify(t.Context(), h, someBody)
				entries := strings.Count(before+after, string(s.scheme)+",")
				switch {
				case entries < 4:
					wantRefusal(t, d, err, nil)
				case err != nil:
					wantRefusal(t, d, err, webhook.ErrMalformed)
				}
			}
		}
	})
}

// FuzzHeaders sends unsigned headers to both endpoints and expects only refusals.
func FuzzHeaders(f *testing.F) {
	f.Add(someID, "1790000000", "v1,AAAA v1a,AAAA", []byte("x"))
	f.Add("a\xff", "１７９", ",,, ,", []byte(nil))
	f.Add("", "", "..", []byte("{}"))
	static := &webhook.Static{Keys: ring[webhook.SigningKey]{signingKey(f, secretA)}}
	dynamic := &webhook.Dynamic{Keys: ring[webhook.PublicKey]{
		{Key: edKey.Public().(ed25519.PublicKey)}, publicKey("", ecKey()),
	}, Audiences: []string{audience}, JWTWithoutEvent: true}
	f.Fuzz(func(t *testing.T, id, timestamp, signature string, body []byte) {
		h := http.Header{"Webhook-Id": {id}, "Webhook-Timestamp": {timestamp}, "Webhook-Signature": {signature}}
		for _, v := range []verifier{static, dynamic} {
			d, err := v.Verify(t.Context(), h, body)
			wantForged(t, d, err)
			if !goodID(id) || !goodTimestamp(timestamp) || signature == "" {
				wantRefusal(t, d, err, webhook.ErrMalformed)
			}
			if len(err.Error()) > 300 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
		}
	})
}

// goodTimestamp reports whether a timestamp is valid, implemented differently from
// the code under test.
func goodTimestamp(text string) bool {
	n, err := strconv.ParseInt(text, 10, 64)
	return err == nil && n > 0 && n < 1e11 && strconv.FormatInt(n, 10) == text
}

// FuzzSecrets parses any text as a signing secret and as a URL token. An accepted
// secret works, in one form only. A rejected secret is not in the error.
func FuzzSecrets(f *testing.F) {
	f.Add(secretA)
	f.Add(urlToken)
	f.Add("\ufeff" + urlToken)
	f.Add(" " + strings.Repeat("A", 22) + "==\n")
	f.Fuzz(func(t *testing.T, text string) {
		bare := strings.TrimSpace(strings.TrimPrefix(text, "\ufeff"))
		if key, err := webhook.ParseSigningKey([]byte(text)); err != nil {
			wantHidden(t, err, bare)
		} else {
			now := time.Now()
			h := webhooktest.Header(someID, now, webhook.SignV1(key, someID, webhooktest.Timestamp(now), someBody))
			static := &webhook.Static{Keys: ring[webhook.SigningKey]{key}}
			d, err := static.Verify(t.Context(), h, someBody)
			wantRefusal(t, d, err, nil)
			wantHidden(t, fmt.Errorf("%v %+v %#v", key, key, key), strings.TrimRight(strings.TrimPrefix(bare, "whsec_"), "="))
		}
		if token, err := webhook.ParseURLToken([]byte(text)); err != nil {
			wantHidden(t, err, bare)
		} else {
			gate := &webhook.URLTokenGate{Tokens: ring[webhook.URLToken]{token}}
			if err := gate.Check(t.Context(), bare); err != nil {
				t.Error(err)
			}
			for _, other := range []string{bare + "x", bare[1:], strings.ToUpper(bare) + "x", ""} {
				if err := gate.Check(t.Context(), other); !errors.Is(err, webhook.ErrUnauthorized) {
					t.Errorf("%q is accepted for %q", other, bare)
				}
			}
		}
	})
}

// wantHidden checks that an error does not contain the secret, if that is long enough
// to be one.
func wantHidden(t testing.TB, err error, secret string) {
	t.Helper()
	if len(secret) >= 16 && strings.Contains(err.Error(), secret) {
		t.Errorf("%q is shown in %q", secret, err)
	}
}
