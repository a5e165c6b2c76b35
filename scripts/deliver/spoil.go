package main

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/url"
	"strings"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// What is changed before a delivery is signed, so that the signature is genuine.

func again(a *attempt) { a.timestamp = webhooktest.Timestamp(time.Now()) }

func otherBody(a *attempt) { a.body = webhooktest.NewEvent("batch.failed") }

// sent says that the attempt was made some time from now.
func sent(from time.Duration) func(*attempt) {
	return func(a *attempt) { a.timestamp = webhooktest.Timestamp(time.Now().Add(from)) }
}

func timestamp(text string) func(*attempt) {
	return func(a *attempt) { a.timestamp = text }
}

func timestampPrefix(text string) func(*attempt) {
	return func(a *attempt) { a.timestamp = text + a.timestamp }
}

func timestampSuffix(text string) func(*attempt) {
	return func(a *attempt) { a.timestamp += text }
}

func id(text string) func(*attempt) {
	return func(a *attempt) { a.id = text }
}

// idOf makes the id n characters long.
func idOf(n int) func(*attempt) {
	return func(a *attempt) { a.id += strings.Repeat("x", n-len(a.id)) }
}

func idWith(text string) func(*attempt) {
	return func(a *attempt) { a.id += text + "x" }
}

func body(content []byte) func(*attempt) {
	return func(a *attempt) { a.body = content }
}

// bodyOf makes the body n bytes long, and leaves the event in it what it is.
func bodyOf(n int) func(*attempt) {
	return func(a *attempt) { a.body = append(a.body, bytes.Repeat([]byte(" "), n-len(a.body))...) }
}

func deep(levels int) []byte {
	return []byte(strings.Repeat("[", levels) + strings.Repeat("]", levels))
}

// strangers has it signed, in the right scheme, with keys that nobody knows.
func strangers(a *attempt) { a.keys = strangerKeys(a.keys.audience) }

// signV1WithPublicKey is what a receiver takes that lets the sender choose how a
// key is used.
func signV1WithPublicKey(a *attempt) (string, error) {
	public := a.keys.ed25519.Public().(ed25519.PublicKey)
	secret, err := webhook.ParseSigningKey([]byte("whsec_" + base64.StdEncoding.EncodeToString(public)))
	if err != nil {
		return "", err
	}
	return webhook.SignV1(secret, a.id, a.timestamp, a.body), nil
}

// claims has the token's claims changed.
func claims(change func(map[string]any)) func(*attempt) {
	return func(a *attempt) { a.claims = change }
}

// claim sets a claim, or leaves it out where value is nil.
func claim(name string, value any) func(*attempt) {
	return claims(func(c map[string]any) {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	})
}

func claimIn(name string, from time.Duration) func(*attempt) {
	return claims(func(c map[string]any) { c[name] = time.Now().Add(from).Unix() })
}

// tokenBy has the token signed in another way than by a key of its kind.
func tokenBy(algorithm string, sign func(content []byte, k *keys) []byte) func(*attempt) {
	return func(a *attempt) {
		a.sign = func(a *attempt) (string, error) {
			header := map[string]any{"alg": algorithm, "kid": a.keys.tokenID}
			return handmade(header, a.tokenClaims(), func(content []byte) []byte { return sign(content, a.keys) })
		}
	}
}

// handmade is a token that SignJWT would not make.
func handmade(header, claims any, sign func([]byte) []byte) (string, error) {
	var parts []string
	for _, part := range []any{header, claims} {
		text, err := json.Marshal(part)
		if err != nil {
			return "", err
		}
		parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
	}
	content := strings.Join(parts, ".")
	return content + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(content))), nil
}

func hmacWithPublicKey(content []byte, k *keys) []byte {
	der, err := x509.MarshalPKIXPublicKey(k.token.Public())
	if err != nil {
		panic(err) // every kind of key that -key takes is known to it
	}
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write(content)
	return mac.Sum(nil)
}

// broughtKey has the token signed by a stranger, whose public key stands in its
// header as RFC 7515 allows.
func broughtKey(a *attempt) {
	stranger := strangerKeys("").token.(*rsa.PrivateKey)
	encode := base64.RawURLEncoding.EncodeToString
	a.sign = func(a *attempt) (string, error) {
		header := map[string]any{"alg": "RS256", "kid": a.keys.tokenID, "jwk": map[string]string{
			"kty": "RSA", "n": encode(stranger.N.Bytes()), "e": encode(big.NewInt(int64(stranger.E)).Bytes()),
		}}
		return handmade(header, a.tokenClaims(), func(content []byte) []byte {
			digest := sha256.Sum256(content)
			signature, err := rsa.SignPKCS1v15(rand.Reader, stranger, crypto.SHA256, digest[:])
			if err != nil {
				panic(err) // the key is long enough
			}
			return signature
		})
	}
}

// What is changed after a delivery was signed.

func set(header, value string) func(*request) {
	return func(r *request) { r.header.Set(header, value) }
}

func without(header string) func(*request) {
	return func(r *request) { r.header.Del(header) }
}

func twice(header string) func(*request) {
	return func(r *request) { r.header.Add(header, r.header.Get(header)) }
}

func aSecondLater(r *request) {
	r.header.Set("Webhook-Timestamp", webhooktest.Timestamp(time.Now().Add(time.Second)))
}

func method(name string) func(*request) {
	return func(r *request) { r.method = name }
}

func chunked(r *request) { r.chunked = true }

// rewritten parses the body and writes it anew, as a receiver does whose framework
// parses JSON for it.
func rewritten(r *request) {
	var value any
	if err := json.Unmarshal(r.body, &value); err != nil {
		panic(err) // it is our own event
	}
	r.body, _ = json.MarshalIndent(value, "", " ")
}

// signature changes the signature's text.
func signature(change func(string) string) func(*request) {
	return func(r *request) { r.header.Set("Webhook-Signature", change(r.header.Get("Webhook-Signature"))) }
}

// flipped changes a character in the middle of a signature.
func flipped(signature string) string {
	other := "A"
	i := len(signature) / 2
	if signature[i] == 'A' {
		other = "B"
	}
	return signature[:i] + other + signature[i+1:]
}

// urlToken changes the token in the URL.
func urlToken(change func(string) string) func(*request) {
	return func(r *request) {
		u, err := url.Parse(r.url)
		if err != nil {
			panic(err) // it was parsed before
		}
		query := u.Query()
		query.Set("token", change(query.Get("token")))
		u.RawQuery = query.Encode()
		r.url = u.String()
	}
}
