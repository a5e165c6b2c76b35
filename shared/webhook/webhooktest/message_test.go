package webhooktest_test

import (
	"context"
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// keyring is a Keyring with fixed keys.
type keyring[K any] []K

func (r keyring[K]) Find(_ context.Context, match func(K) bool) (bool, error) {
	for _, k := range r {
		if match(k) {
			return true, nil
		}
	}
	return false, nil
}

// The verifier of its scheme accepts a Message, and rejects it after one byte of its
// body has changed.
func TestMessage(t *testing.T) {
	old, secret, keys := webhooktest.NewSecret(), webhooktest.NewSecret(), webhooktest.NewKeySet()
	signing, err := webhook.ParseSigningKey([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	const audience = "https://example.com/hook"
	static := &webhook.Static{Keys: keyring[webhook.SigningKey]{signing}}
	dynamic := &webhook.Dynamic{Audiences: []string{audience}, Keys: keyring[webhook.PublicKey]{
		{Key: keys.Ed25519(0).Public()}, {ID: webhooktest.RSAKeyID, Key: keys.RSA().Public()},
	}}
	for name, test := range map[string]struct {
		sign     webhooktest.Signer
		verifier interface {
			Verify(context.Context, http.Header, []byte) (*webhook.Delivery, error)
		}
	}{
		"v1":  {webhooktest.SignV1(old, secret), static},
		"v1a": {webhooktest.SignV1a(keys.Ed25519(0)), dynamic},
		"jwt": {webhooktest.SignJWT(keys.RSA(), webhooktest.RSAKeyID, audience), dynamic},
	} {
		var verify error
		server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			_, verify = test.verifier.Verify(r.Context(), r.Header, body)
		}))
		m := webhooktest.NewMessage("batch.succeeded", test.sign)
		if _, err := m.Post(t.Context(), server.Client(), server.URL); err != nil || verify != nil {
			t.Errorf("%s: %v, %v", name, err, verify)
		}
		m.Sign = func(id, timestamp string, body []byte) (string, error) {
			return test.sign(id, timestamp, []byte(strings.Replace(string(body), "succeeded", "failed", 1)))
		}
		if _, err := m.Post(t.Context(), server.Client(), server.URL); err != nil || verify == nil {
			t.Errorf("%s, with another body: %v, %v", name, err, verify)
		}
		server.Close()
	}
}

// No error contains the URL, which may contain a URL token.
func TestErrorsWithoutURL(t *testing.T) {
	m := webhooktest.NewMessage("batch.succeeded", webhooktest.SignV1(webhooktest.NewSecret()))
	for _, url := range []string{"http://127.0.0.1:1/?token=hidden", "http://127.0.0.1:x/?token=hidden", "%?token=hidden"} {
		if _, err := m.Post(t.Context(), http.DefaultClient, url); err == nil || strings.Contains(err.Error(), "hidden") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// SignJWT signs a message with any timestamp and body, so that tests can check that
// the receiver rejects it. It signs changed claims as they are.
func TestSignJWTOfAnything(t *testing.T) {
	keys := webhooktest.NewKeySet()
	for _, m := range []webhooktest.Message{{Timestamp: "soon", Body: []byte("{}")}, {Timestamp: "1614265330", Body: []byte("null")}, {}} {
		m.Sign = webhooktest.SignJWT(keys.RSA(), "", "a", func(claims map[string]any) { claims["aud"] = "b" })
		header, err := m.Header()
		if err != nil {
			t.Errorf("%+v: %v", m, err)
			continue
		}
		payload, err := base64.RawURLEncoding.DecodeString(strings.Split(header.Get("Webhook-Signature"), ".")[1])
		if err != nil || !strings.Contains(string(payload), `"aud":"b"`) || strings.Contains(string(payload), "data") {
			t.Errorf("%+v: %s, %v", m, payload, err)
		}
	}
}
