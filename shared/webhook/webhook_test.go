package webhook_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// ring is a Keyring that never fails.
type ring[K any] []K

func (r ring[K]) Find(_ context.Context, match func(K) bool) (bool, error) {
	return slices.ContainsFunc(r, match), nil
}

// outage is a Keyring that always fails.
type outage[K any] struct{ err error }

func (o outage[K]) Find(context.Context, func(K) bool) (bool, error) { return false, o.err }

// The keys of all tests, generated once.
var (
	rsaKey   = sync.OnceValue(newRSAKey)
	otherRSA = sync.OnceValue(newRSAKey)
	ecKey    = sync.OnceValue(func() *ecdsa.PrivateKey { return must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader)) })
	edKey    = newEdKey('a')
	otherEd  = newEdKey('b')
)

func newRSAKey() *rsa.PrivateKey { return must(rsa.GenerateKey(rand.Reader, 2048)) }

func newEdKey(seed byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, ed25519.SeedSize))
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

func signingKey(t testing.TB, secret string) webhook.SigningKey {
	t.Helper()
	key, err := webhook.ParseSigningKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicKey(kid string, key crypto.Signer) webhook.PublicKey {
	return webhook.PublicKey{ID: kid, Key: key.Public()}
}

const (
	secretA  = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	secretB  = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
	audience = "https://receiver.example/DynamicWebhook"
	someID   = "msg_2f0b8c3e-9c53-4f0a-8f5e-0d7c6f6a1b42"
)

var someBody = []byte(`{"type":"batch.succeeded","version":"v1","timestamp":"2026-01-22T12:00:00Z",` +
	`"data":{"id":"batches/123456","output_file_uri":"gs://my-bucket/results.jsonl"}}`)

// A verifier is a Static or a Dynamic.
type verifier interface {
	Verify(context.Context, http.Header, []byte) (*webhook.Delivery, error)
}

// A side is the signer and the verifier of one scheme.
type side struct {
	scheme   webhook.Scheme
	endpoint string
	verifier verifier
	sign     func(id, timestamp string, body []byte) string
}

// sides returns all three schemes. Their verifiers also hold keys that signed
// nothing.
func sides(t testing.TB) []side {
	secret := signingKey(t, secretA)
	static := &webhook.Static{Keys: ring[webhook.SigningKey]{signingKey(t, secretB), secret}}
	dynamic := &webhook.Dynamic{
		Keys: ring[webhook.PublicKey]{
			publicKey("", otherEd), publicKey("rsa", rsaKey()), publicKey("ec", ecKey()), publicKey("", edKey),
		},
		Audiences: []string{audience},
	}
	return []side{
		{webhook.V1, webhook.StaticEndpoint, static, func(id, timestamp string, body []byte) string {
			return webhook.SignV1(secret, id, timestamp, body)
		}},
		{webhook.V1a, webhook.DynamicEndpoint, dynamic, func(id, timestamp string, body []byte) string {
			return webhook.SignV1a(edKey, id, timestamp, body)
		}},
		{webhook.JWT, webhook.DynamicEndpoint, dynamic, func(_, _ string, body []byte) string {
			return must(webhook.SignJWT(rsaKey(), "rsa", webhooktest.Claims(audience, time.Now(), body)))
		}},
	}
}

// refusals are the kinds of errors for which the sender is at fault.
var refusals = []error{webhook.ErrMalformed, webhook.ErrForged, webhook.ErrAudience, webhook.ErrStale}

// wantRefusal checks that err is of kind want and of no other kind. If want is nil,
// it checks that there is a delivery.
func wantRefusal(t testing.TB, d *webhook.Delivery, err, want error) {
	t.Helper()
	if want == nil {
		if err != nil || d == nil {
			t.Errorf("Verify: %v, %v; want a delivery", d, err)
		}
		return
	}
	if d != nil {
		t.Errorf("Verify returned a delivery and an error")
	}
	for _, kind := range refusals {
		if errors.Is(err, kind) != (kind == want) {
			t.Errorf("Verify: %v; want %v alone", err, want)
		}
	}
}

// wantEachForged checks that a delivery is genuine if the signature covers its id,
// timestamp and body, and forged after any of them, or anything that spoil changes,
// differs from the signed content.
func wantEachForged(t *testing.T, s side, spoil map[string]func(h http.Header, body *[]byte)) {
	t.Helper()
	now := time.Now()
	maps.Copy(spoil, map[string]func(h http.Header, body *[]byte){
		"id": func(h http.Header, _ *[]byte) { h.Set("Webhook-Id", someID+"0") },
		"timestamp": func(h http.Header, _ *[]byte) {
			h.Set("Webhook-Timestamp", webhooktest.Timestamp(now.Add(time.Second)))
		},
		"body":            func(_ http.Header, body *[]byte) { *body = append(*body, '\n') },
		"body cut":        func(_ http.Header, body *[]byte) { *body = (*body)[:len(*body)-1] },
		"no body":         func(_ http.Header, body *[]byte) { *body = nil },
		"body re-encoded": func(_ http.Header, body *[]byte) { *body = reencode(*body) },
	})
	for name, spoil := range spoil {
		t.Run(name, func(t *testing.T) {
			body := bytes.Clone(someBody)
			h := webhooktest.Header(someID, now, s.sign(someID, webhooktest.Timestamp(now), body))
			d, err := s.verifier.Verify(t.Context(), h, body)
			wantRefusal(t, d, err, nil)
			spoil(h, &body)
			d, err = s.verifier.Verify(t.Context(), h, body)
			wantRefusal(t, d, err, webhook.ErrForged)
		})
	}
}

const someTraceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

func TestVerifyReturnsTheDelivery(t *testing.T) {
	for _, s := range sides(t) {
		t.Run(string(s.scheme), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				timestamp := webhooktest.Timestamp(time.Now().Add(-time.Minute))
				h := webhooktest.Header(someID, time.Now().Add(-time.Minute), s.sign(someID, timestamp, someBody))
				h.Set("Content-Type", "application/json; charset=utf-8")
				h.Set("Traceparent", someTraceparent)
				got, err := s.verifier.Verify(t.Context(), h, someBody)
				if err != nil {
					t.Fatal(err)
				}
				want := &webhook.Delivery{
					Endpoint:    s.endpoint,
					Scheme:      s.scheme,
					ID:          someID,
					Received:    time.Now(),
					ContentType: "application/json; charset=utf-8",
					Traceparent: someTraceparent,
					Body:        someBody,
					Event:       webhook.ParseEvent(someBody),
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got  %+v\nwant %+v", got, want)
				}
				if &got.Body[0] != &someBody[0] {
					t.Error("Body is a copy")
				}
			})
		})
	}
}

func TestVerifyAcceptsAnyBody(t *testing.T) {
	for _, s := range sides(t)[:2] { // a JWT carries only JSON
		for name, body := range map[string][]byte{
			"none":        nil,
			"empty":       {},
			"no JSON":     []byte("hello"),
			"no UTF-8":    {0xff, 0, '.', '\n'},
			"1 MiB":       bytes.Repeat([]byte("a"), 1<<20),
			"deep JSON":   []byte(strings.Repeat("[", 1<<20)),
			"a dot first": []byte(".1"),
		} {
			t.Run(string(s.scheme)+" "+name, func(t *testing.T) {
				now := time.Now()
				h := webhooktest.Header(someID, now, s.sign(someID, webhooktest.Timestamp(now), body))
				d, err := s.verifier.Verify(t.Context(), h, body)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(d.Body, body) {
					t.Error("another body")
				}
				if e := d.Event; e != (webhook.Event{}) {
					t.Errorf("Event = %+v, want none", e)
				}
			})
		}
	}
}

// The body is published as received, so its content encoding must be too.
func TestContentEncoding(t *testing.T) {
	for _, s := range sides(t) {
		for want, lines := range map[string][]string{
			"": nil, "gzip": {"gzip"}, "gzip, br": {"gzip", "br"}, "\xff": {"\xff"},
		} {
			now := time.Now()
			h := webhooktest.Header(someID, now, s.sign(someID, webhooktest.Timestamp(now), someBody))
			h["Content-Encoding"] = lines
			d, err := s.verifier.Verify(t.Context(), h, someBody)
			if err != nil || d.ContentEncoding != want || !bytes.Equal(d.Body, someBody) {
				t.Errorf("%s, %q: %+v, %v", s.scheme, lines, d, err)
			}
		}
	}
}

// A failure of ours is never reported as a forgery.
func TestKeyringErrorIsNoRefusal(t *testing.T) {
	down := errors.New("down")
	all := sides(t)
	all[0].verifier = &webhook.Static{Keys: outage[webhook.SigningKey]{down}}
	all[1].verifier = &webhook.Dynamic{Keys: outage[webhook.PublicKey]{down}, Audiences: []string{audience}}
	all[2].verifier = all[1].verifier
	for _, s := range all {
		t.Run(string(s.scheme), func(t *testing.T) {
			now := time.Now()
			h := webhooktest.Header(someID, now, s.sign(someID, webhooktest.Timestamp(now), someBody))
			d, err := s.verifier.Verify(t.Context(), h, someBody)
			if d != nil || !errors.Is(err, down) {
				t.Errorf("Verify: %v, %v; want the keyring's error", d, err)
			}
			for _, kind := range refusals {
				if errors.Is(err, kind) {
					t.Errorf("%v is a refusal of kind %v", err, kind)
				}
			}
		})
	}
}

// The endpoint determines the scheme, not the caller.
func TestEndpointsAcceptNoOtherScheme(t *testing.T) {
	all := sides(t)
	for _, endpoint := range all[:2] {
		for _, caller := range all {
			if caller.endpoint == endpoint.endpoint {
				continue
			}
			t.Run(fmt.Sprintf("%s at %s", caller.scheme, endpoint.endpoint), func(t *testing.T) {
				now := time.Now()
				h := webhooktest.Header(someID, now, caller.sign(someID, webhooktest.Timestamp(now), someBody))
				d, err := endpoint.verifier.Verify(t.Context(), h, someBody)
				wantRefusal(t, d, err, webhook.ErrForged)
			})
		}
	}
}

// A refusal's text is logged. It contains nothing that helps to forge a delivery, and
// is short for any request.
func TestErrorsDoNotRepeatTheRequest(t *testing.T) {
	long := strings.Repeat("canary", 10_000)
	for _, s := range sides(t) {
		for name, mutate := range map[string]func(http.Header){
			"id":              func(h http.Header) { h.Set("Webhook-Id", long) },
			"id with a dot":   func(h http.Header) { h.Set("Webhook-Id", "canary.") },
			"timestamp":       func(h http.Header) { h.Set("Webhook-Timestamp", long) },
			"signature":       func(h http.Header) { h.Set("Webhook-Signature", long) },
			"v1 signature":    func(h http.Header) { h.Set("Webhook-Signature", "v1,canary") },
			"v1a signature":   func(h http.Header) { h.Set("Webhook-Signature", "v1a,"+strings.Repeat("canary1+", 11)) },
			"oversized token": func(h http.Header) { h.Set("Webhook-Signature", "e30.e30."+long) },
			"token":           func(h http.Header) { h.Set("Webhook-Signature", "eyJhbGciOiJSUzI1NiJ9.canarycanary.canary") },
		} {
			t.Run(string(s.scheme)+" "+name, func(t *testing.T) {
				h := webhooktest.Header(someID, time.Now(), "v1,")
				mutate(h)
				_, err := s.verifier.Verify(t.Context(), h, []byte("canary"))
				if err == nil {
					t.Fatal("accepted")
				}
				if text := err.Error(); strings.Contains(text, "canary") || len(text) > 200 {
					t.Errorf("error: %.300s", text)
				}
			})
		}
	}
}

// A body may have 1 MiB: v1 does not copy it, v1a copies it once.
func TestVerifyCopiesTheBodyOnceAtMost(t *testing.T) {
	body := bytes.Repeat([]byte("a"), 1<<20)
	for i, s := range sides(t)[:2] {
		t.Run(string(s.scheme), func(t *testing.T) {
			now := time.Now()
			h := webhooktest.Header(someID, now, s.sign(someID, webhooktest.Timestamp(now), body))
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			d, err := s.verifier.Verify(t.Context(), h, body)
			runtime.ReadMemStats(&after)
			wantRefusal(t, d, err, nil)
			if got, most := after.TotalAlloc-before.TotalAlloc, uint64(i<<20+1<<18); got > most {
				t.Errorf("%d bytes allocated, more than the maximum of %d", got, most)
			}
		})
	}
}

func TestVerifyConcurrently(t *testing.T) {
	for _, s := range sides(t) {
		t.Run(string(s.scheme), func(t *testing.T) {
			var all sync.WaitGroup
			for g := range 8 {
				all.Go(func() {
					for i := range 20 {
						id := fmt.Sprintf("msg_%d_%d", g, i)
						body := fmt.Appendf(nil, `{"type":"t%d","data":{"id":"%d"}}`, g, i)
						now := time.Now()
						h := webhooktest.Header(id, now, s.sign(id, webhooktest.Timestamp(now), body))
						if _, err := s.verifier.Verify(t.Context(), h, body); err != nil {
							t.Errorf("genuine: %v", err)
						}
						if _, err := s.verifier.Verify(t.Context(), h, fmt.Appendf(body, " ")); s.scheme != webhook.JWT && !errors.Is(err, webhook.ErrForged) {
							t.Errorf("forged: %v", err)
						}
					}
				})
			}
			all.Wait()
		})
	}
}
