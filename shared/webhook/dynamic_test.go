package webhook_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

func TestV1aRejectsUnsigned(t *testing.T) {
	wantEachForged(t, sides(t)[1], map[string]func(h http.Header, body *[]byte){
		"other key": func(h http.Header, body *[]byte) {
			h.Set("Webhook-Signature", webhook.SignV1a(newEdKey('x'), someID, h.Get("Webhook-Timestamp"), *body))
		},
		"prehashed": func(h http.Header, body *[]byte) {
			digest := bytes.Repeat([]byte{1}, 64)
			signature := must(edKey.Sign(nil, digest, crypto.SHA512))
			h.Set("Webhook-Signature", "v1a,"+b64(signature))
		},
		"HMAC with the public key": func(h http.Header, body *[]byte) {
			key := signingKey(t, b64(edKey.Public().(ed25519.PublicKey)))
			h.Set("Webhook-Signature", webhook.SignV1(key, someID, h.Get("Webhook-Timestamp"), *body))
		},
		"no signature at all": func(h http.Header, _ *[]byte) { h.Set("Webhook-Signature", "x") },
		"a token as an entry": func(h http.Header, body *[]byte) {
			h.Set("Webhook-Signature", "v1a,"+sides(t)[2].sign("", "", *body))
		},
		"a token in a list": func(h http.Header, body *[]byte) {
			h.Set("Webhook-Signature", "v1a,AAAA "+sides(t)[2].sign("", "", *body))
		},
		"a token and a space": func(h http.Header, body *[]byte) {
			h.Set("Webhook-Signature", sides(t)[2].sign("", "", *body)+" ")
		},
	})
}

// A v1a signature does not name its key: Verify tries all keys, and keys of other
// types cause no error.
func TestV1aTriesEveryKey(t *testing.T) {
	set := webhooktest.NewKeySet()
	x25519 := must(ecdh.X25519().GenerateKey(rand.Reader)).PublicKey()
	keys := ring[webhook.PublicKey]{
		{ID: "none"}, {Key: x25519}, {Key: "a text"}, publicKey("rsa", rsaKey()), publicKey("ec", ecKey()),
	}
	for i := range 3 {
		keys = append(keys, publicKey("", set.Ed25519(i)))
	}
	dynamic := &webhook.Dynamic{Keys: keys}
	now := time.Now()
	for i := range 3 {
		h := webhooktest.Header(someID, now, webhook.SignV1a(set.Ed25519(i), someID, webhooktest.Timestamp(now), someBody))
		d, err := dynamic.Verify(t.Context(), h, someBody)
		wantRefusal(t, d, err, nil)
	}
	set.Rotate()
	h := webhooktest.Header(someID, now, webhook.SignV1a(set.Ed25519(0), someID, webhooktest.Timestamp(now), someBody))
	d, err := dynamic.Verify(t.Context(), h, someBody)
	wantRefusal(t, d, err, webhook.ErrForged)
}

// cutKeys is a Keyring that had to leave out keys.
type cutKeys struct {
	ring[webhook.PublicKey]
	algorithms []string
}

func (c cutKeys) Find(ctx context.Context, match func(webhook.PublicKey) bool) (bool, error) {
	if ok, err := c.ring.Find(ctx, match); ok {
		return true, err
	}
	return false, fmt.Errorf("signing keys: %w", &webhook.CutError{Algorithms: c.algorithms, Reason: "at most 16"})
}

// If a key was left out, it may have made the signature, so no match is a failure of
// ours. A key of another algorithm cannot have made it.
func TestKeysLeftOut(t *testing.T) {
	now := time.Now()
	v1a := func(key ed25519.PrivateKey) string {
		return webhook.SignV1a(key, someID, webhooktest.Timestamp(now), someBody)
	}
	jwt := func(key crypto.Signer) string {
		return must(webhook.SignJWT(key, "", webhooktest.Claims(audience, now, someBody)))
	}
	otherEC := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	for _, test := range []struct {
		name      string
		algorithm string
		known     string
		unknown   string
	}{
		{"v1a", "EdDSA", v1a(edKey), v1a(otherEd)},
		{"EdDSA", "EdDSA", jwt(edKey), jwt(otherEd)},
		{"RS256", "RS256", jwt(rsaKey()), jwt(otherRSA())},
		{"ES256", "ES256", jwt(ecKey()), jwt(otherEC)},
	} {
		for _, cut := range [][]string{{"EdDSA"}, {"RS256"}, {"ES256"}, {"RS256", "ES256", "EdDSA"}} {
			t.Run(test.name+" "+strings.Join(cut, " "), func(t *testing.T) {
				dynamic := &webhook.Dynamic{
					Keys: cutKeys{ring[webhook.PublicKey]{
						publicKey("", edKey), publicKey("", rsaKey()), publicKey("", ecKey()),
					}, cut},
					Audiences: []string{audience},
				}
				d, err := dynamic.Verify(t.Context(), webhooktest.Header(someID, now, test.known), someBody)
				wantRefusal(t, d, err, nil)
				d, err = dynamic.Verify(t.Context(), webhooktest.Header(someID, now, test.unknown), someBody)
				if !slices.Contains(cut, test.algorithm) {
					wantRefusal(t, d, err, webhook.ErrForged)
				} else if d != nil || err == nil || isRefusal(err) || !strings.Contains(err.Error(), "at most 16") {
					t.Errorf("%v, %v; want the keyring's error", d, err)
				}
			})
		}
	}
}

func isRefusal(err error) bool {
	return slices.ContainsFunc(refusals, func(kind error) bool { return errors.Is(err, kind) })
}

// A request that no key can match must not cause a fetch of the keys: anyone can send
// such requests.
func TestMalformedSignaturesFetchNoKeys(t *testing.T) {
	dynamic := &webhook.Dynamic{Keys: outage[webhook.PublicKey]{http.ErrServerClosed}, Audiences: []string{audience}}
	const header = "eyJhbGciOiJFZERTQSJ9" // a valid header
	signatures := []string{header, header + ".e30", header + ".e30.AAAA.AAAA", "x", "v1,AAAA", "v1a,AAAA", "v1a,", "a.b.c", "..", "e30.e30.", "a.b.c.d", "a.b"}
	for _, bad := range []string{
		`{"alg":"none"}`, `{"alg":"HS256"}`, `{"alg":"RS512"}`, `{"alg":"PS256"}`, `{"alg":"ES384"}`, `{"alg":""}`,
		`{"alg":"EdDSA","crit":["b64"]}`, `{"alg":"EdDSA","kid":1}`, `{"alg":"EdDSA"`,
	} {
		signatures = append(signatures, signJWT(edKey, bad, "{}"))
	}
	for _, signature := range signatures {
		d, err := dynamic.Verify(t.Context(), webhooktest.Header(someID, time.Now(), signature), someBody)
		wantRefusal(t, d, err, webhook.ErrForged)
	}
	static := &webhook.Static{Keys: outage[webhook.SigningKey]{http.ErrServerClosed}}
	for _, signature := range []string{"x", "v1a,AAAA", "v1", ",", "v1 ,A", "xv1,A"} {
		d, err := static.Verify(t.Context(), webhooktest.Header(someID, time.Now(), signature), someBody)
		wantRefusal(t, d, err, webhook.ErrForged)
	}
}
