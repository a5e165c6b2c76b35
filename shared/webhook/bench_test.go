package webhook_test

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	svix "github.com/svix/svix-webhooks/go"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Each benchmark is paired with the minimum cost of its work, or with a library that
// does the same. Compare results of one run only.

// benchBody is an event of 512 bytes.
var benchBody = func() []byte {
	body := bytes.TrimSuffix(someBody, []byte("}"))
	body = append(bytes.Clone(body), `,"user_metadata":{"x":"`...)
	body = append(body, bytes.Repeat([]byte("x"), 512-len(body)-3)...)
	return append(body, `"}}`...)
}()

// benchmarkVerify measures verifying one delivery, including parsing its event.
func benchmarkVerify(b *testing.B, v verifier, h http.Header) {
	b.ReportAllocs()
	b.SetBytes(int64(len(benchBody)))
	for b.Loop() {
		if _, err := v.Verify(b.Context(), h, benchBody); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkV1(b *testing.B) {
	key := signingKey(b, secretA)
	now := time.Now()
	h := webhooktest.Header(someID, now, webhook.SignV1(key, someID, webhooktest.Timestamp(now), benchBody))
	b.Run("Static", func(b *testing.B) {
		benchmarkVerify(b, &webhook.Static{Keys: ring[webhook.SigningKey]{key}}, h)
	})
	b.Run("standard-webhooks", func(b *testing.B) { benchmarkLibrary(b, must(standardwebhooks.NewWebhook(secretA)), h) })
	b.Run("svix", func(b *testing.B) { benchmarkLibrary(b, must(svix.NewWebhook(secretA)), h) })
}

// benchmarkLibrary measures the same with a library. The library does not parse the
// event, so encoding/json does.
func benchmarkLibrary(b *testing.B, library interface {
	Verify([]byte, http.Header) error
}, h http.Header) {
	b.ReportAllocs()
	b.SetBytes(int64(len(benchBody)))
	for b.Loop() {
		if err := library.Verify(benchBody, h); err != nil {
			b.Fatal(err)
		}
		readEnvelope(b)
	}
}

// readEnvelope parses the event with encoding/json alone, whose names are not
// case-sensitive.
func readEnvelope(b *testing.B) {
	var envelope struct {
		Type      string    `json:"type"`
		Timestamp time.Time `json:"timestamp"`
		Data      struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	if err := json.Unmarshal(benchBody, &envelope); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkHostile measures the most expensive forged request: the maximum number of
// signatures, a body of 1 MiB, and the maximum number of keys.
func BenchmarkHostile(b *testing.B) {
	body, now := make([]byte, 1<<20), time.Now()
	benchmark := func(v verifier, list string) func(*testing.B) {
		h := webhooktest.Header(someID, now, list)
		return func(b *testing.B) {
			for b.Loop() {
				if _, err := v.Verify(b.Context(), h, body); !errors.Is(err, webhook.ErrForged) {
					b.Fatal(err)
				}
			}
		}
	}
	static := &webhook.Static{Keys: ring[webhook.SigningKey](slices.Repeat([]webhook.SigningKey{signingKey(b, secretA)}, 64))}
	dynamic := &webhook.Dynamic{Keys: ring[webhook.PublicKey](slices.Repeat([]webhook.PublicKey{publicKey("", edKey)}, 16))}
	v1 := strings.Repeat(webhook.SignV1(signingKey(b, secretB), someID, "1", nil)+" ", 16)
	v1a := strings.Repeat(webhook.SignV1a(otherEd, someID, "1", nil)+" ", 4)
	b.Run("Static", benchmark(static, v1))
	b.Run("Dynamic", benchmark(dynamic, v1a))
	b.Run("Header", benchmark(static, strings.Repeat("v1", 1<<19)))
}

// BenchmarkEvent compares ParseEvent with encoding/json alone.
func BenchmarkEvent(b *testing.B) {
	b.Run("Event", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if webhook.ParseEvent(benchBody).JobID == "" {
				b.Fatal("no event")
			}
		}
	})
	b.Run("encoding-json", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			readEnvelope(b)
		}
	})
}

func BenchmarkV1a(b *testing.B) {
	keys := ring[webhook.PublicKey]{publicKey("", edKey), publicKey("", otherEd), publicKey("", newEdKey('c'))}
	now := time.Now()
	timestamp := webhooktest.Timestamp(now)
	h := webhooktest.Header(someID, now, webhook.SignV1a(edKey, someID, timestamp, benchBody))
	b.Run("Dynamic", func(b *testing.B) { benchmarkVerify(b, &webhook.Dynamic{Keys: keys}, h) })
	b.Run("bare", func(b *testing.B) {
		content := append([]byte(someID+"."+timestamp+"."), benchBody...)
		signature := ed25519.Sign(edKey, content)
		public := edKey.Public().(ed25519.PublicKey)
		b.ReportAllocs()
		b.SetBytes(int64(len(benchBody)))
		for b.Loop() {
			if !ed25519.Verify(public, content, signature) {
				b.Fatal("does not verify")
			}
		}
	})
}

func BenchmarkJWT(b *testing.B) {
	dynamic := &webhook.Dynamic{
		Keys:      ring[webhook.PublicKey]{publicKey("", edKey), publicKey("", otherEd), publicKey("rsa", rsaKey())},
		Audiences: []string{audience},
	}
	now := time.Now()
	token := must(webhook.SignJWT(rsaKey(), "rsa", webhooktest.Claims(audience, now, benchBody)))
	b.Run("Dynamic", func(b *testing.B) { benchmarkVerify(b, dynamic, webhooktest.Header(someID, now, token)) })
	b.Run("bare", func(b *testing.B) {
		digest := sha256.Sum256(benchBody)
		signature := must(rsa.SignPKCS1v15(nil, rsaKey(), crypto.SHA256, digest[:]))
		b.ReportAllocs()
		b.SetBytes(int64(len(benchBody)))
		for b.Loop() {
			digest := sha256.Sum256(benchBody)
			if err := rsa.VerifyPKCS1v15(&rsaKey().PublicKey, crypto.SHA256, digest[:], signature); err != nil {
				b.Fatal(err)
			}
		}
	})
}
