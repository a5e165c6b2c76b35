package webhook_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Other implementations must verify our signatures, and we must verify theirs. For
// each scheme there is a signer here that is not ours.

func TestLibrarySignsWeVerify(t *testing.T) {
	library := must(standardwebhooks.NewWebhook(secretA))
	static := sides(t)[0].verifier
	now := time.Now()
	for _, body := range [][]byte{someBody, nil, []byte("\x00\xff"), []byte(strings.Repeat("x", 1<<20))} {
		for _, id := range []string{someID, "1", "with space", strings.Repeat("i", 256)} {
			h := webhooktest.Header(id, now, must(library.Sign(id, now, body)))
			d, err := static.Verify(t.Context(), h, body)
			wantRefusal(t, d, err, nil)
			_, err = static.Verify(t.Context(), h, append(body, '.'))
			wantRefusal(t, nil, err, webhook.ErrForged)
		}
	}
}

func TestWeSignLibraryVerifies(t *testing.T) {
	for _, secret := range []string{secretA, secretB, webhooktest.NewSecret()} {
		library := must(standardwebhooks.NewWebhook(secret))
		for _, eventType := range webhooktest.Types {
			now := time.Now()
			id, body := webhooktest.NewID(), webhooktest.NewEvent(eventType)
			h := webhooktest.Header(id, now, webhook.SignV1(signingKey(t, secret), id, webhooktest.Timestamp(now), body))
			if err := library.Verify(body, h); err != nil {
				t.Errorf("%s: %v", eventType, err)
			}
		}
	}
}

func TestV1aByCryptoAlone(t *testing.T) {
	id, timestamp := someID, strconv.FormatInt(time.Now().Unix(), 10)
	content := []byte(id + "." + timestamp + "." + string(someBody))
	h := http.Header{
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {timestamp},
		"Webhook-Signature": {"v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(edKey, content))},
	}
	d, err := sides(t)[1].verifier.Verify(t.Context(), h, someBody)
	wantRefusal(t, d, err, nil)

	text, ok := strings.CutPrefix(webhook.SignV1a(edKey, id, timestamp, someBody), "v1a,")
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil || !ed25519.Verify(edKey.Public().(ed25519.PublicKey), content, raw) {
		t.Errorf("SignV1a: %q, %v", text, err)
	}
}

// signJWT makes a compact JWT by RFC 7515 with crypto alone. The type of key
// determines the signature, independent of the header's alg; a []byte signs with
// HMAC, nil leaves the signature empty.
func signJWT(key any, header, payload string) string {
	b64 := base64.RawURLEncoding.EncodeToString
	signed := b64([]byte(header)) + "." + b64([]byte(payload))
	digest := sha256.Sum256([]byte(signed))
	switch key := key.(type) {
	case *rsa.PrivateKey:
		return signed + "." + b64(must(rsa.SignPKCS1v15(nil, key, crypto.SHA256, digest[:])))
	case *ecdsa.PrivateKey:
		r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
		raw := r.FillBytes(make([]byte, 64)[:32])
		return signed + "." + b64(must(append(raw, s.FillBytes(make([]byte, 32))...), err))
	case ed25519.PrivateKey:
		return signed + "." + b64(ed25519.Sign(key, []byte(signed)))
	case []byte:
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		return signed + "." + b64(mac.Sum(nil))
	case nil:
		return signed + "."
	}
	panic(fmt.Sprintf("key of type %T", key))
}

func TestJWTsByCryptoAlone(t *testing.T) {
	dynamic := sides(t)[2].verifier
	now := time.Now()
	payload := string(must(json.Marshal(webhooktest.Claims(audience, now, someBody))))
	for header, key := range map[string]crypto.Signer{
		`{"alg":"RS256","kid":"rsa","typ":"JWT"}`: rsaKey(),
		`{"alg":"RS256"}`:                         rsaKey(),
		`{"alg":"ES256","kid":"ec"}`:              ecKey(),
		`{"alg":"EdDSA"}`:                         edKey,
		` { "typ" : "JWT", "alg" : "EdDSA" } `:    edKey,
	} {
		t.Run(header, func(t *testing.T) {
			h := webhooktest.Header(someID, now, signJWT(key, header, payload))
			d, err := dynamic.Verify(t.Context(), h, someBody)
			wantRefusal(t, d, err, nil)
		})
	}
}

// The JWTs of SignJWT conform to RFC 7515, as verified with crypto alone.
func TestSignJWT(t *testing.T) {
	claims := map[string]any{"aud": audience, "exp": 1_800_000_000}
	for _, test := range []struct {
		key         crypto.Signer
		kid, header string
		verify      func(signed, signature []byte) bool
	}{
		{rsaKey(), "k", `{"alg":"RS256","kid":"k"}`, func(signed, signature []byte) bool {
			digest := sha256.Sum256(signed)
			return rsa.VerifyPKCS1v15(&rsaKey().PublicKey, crypto.SHA256, digest[:], signature) == nil
		}},
		{ecKey(), "", `{"alg":"ES256"}`, func(signed, signature []byte) bool {
			digest := sha256.Sum256(signed)
			return len(signature) == 64 && ecdsaVerify(&ecKey().PublicKey, digest[:], signature)
		}},
		{edKey, "", `{"alg":"EdDSA"}`, func(signed, signature []byte) bool {
			return ed25519.Verify(edKey.Public().(ed25519.PublicKey), signed, signature)
		}},
	} {
		t.Run(test.header, func(t *testing.T) {
			text, err := webhook.SignJWT(test.key, test.kid, claims)
			if err != nil {
				t.Fatal(err)
			}
			parts := strings.Split(text, ".")
			if len(parts) != 3 {
				t.Fatalf("%d parts", len(parts))
			}
			unb64 := func(part string) []byte { return must(base64.RawURLEncoding.DecodeString(part)) }
			if got := string(unb64(parts[0])); got != test.header {
				t.Errorf("header %s, want %s", got, test.header)
			}
			if got, want := string(unb64(parts[1])), string(must(json.Marshal(claims))); got != want {
				t.Errorf("claims %s, want %s", got, want)
			}
			if !test.verify([]byte(parts[0]+"."+parts[1]), unb64(parts[2])) {
				t.Error("the signature does not verify")
			}
		})
	}
}

func TestSignJWTRejects(t *testing.T) {
	if text, err := webhook.SignJWT(edKey, "", map[string]any{"aud": func() {}}); err == nil {
		t.Errorf("claims that do not marshal: %q", text)
	}
	if text, err := webhook.SignJWT(signer{}, "", map[string]any{}); err == nil {
		t.Errorf("a key of an unsupported type: %q", text)
	}
}

type signer struct{ crypto.Signer }

// ecdsaVerify verifies a signature in the format of RFC 7518, section 3.4.
func ecdsaVerify(key *ecdsa.PublicKey, digest, signature []byte) bool {
	r, s := new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])
	return ecdsa.Verify(key, digest, r, s)
}
