package hostile

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

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Changes before a delivery is signed, so that the signature is genuine.

func again(a *delivery.Attempt) { a.Timestamp = webhooktest.Timestamp(time.Now()) }

func otherBody(a *delivery.Attempt) { a.Body = webhooktest.NewEvent("batch.failed") }

// sent says that the attempt was made some time from now.
func sent(from time.Duration) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Timestamp = webhooktest.Timestamp(time.Now().Add(from)) }
}

// timestamp sets the timestamp. {} stands for the right one.
func timestamp(text string) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Timestamp = strings.ReplaceAll(text, "{}", a.Timestamp) }
}

// id sets the id. {} stands for the one that it would be.
func id(text string) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.ID = strings.ReplaceAll(text, "{}", a.ID) }
}

// idOf makes the id n characters long.
func idOf(n int) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.ID += strings.Repeat("x", n-len(a.ID)) }
}

func body(content []byte) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Body = content }
}

// bodyOf makes the body n bytes long, and leaves the event in it what it is.
func bodyOf(n int) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Body = append(a.Body, bytes.Repeat([]byte(" "), n-len(a.Body))...) }
}

func deep(levels int) []byte {
	return []byte(strings.Repeat("[", levels) + strings.Repeat("]", levels))
}

// signed signs in another scheme.
func signed(scheme webhook.Scheme) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Sign = a.Keys.Signer(scheme) }
}

// keys signs with keys of which some are changed.
func keys(change func(k *delivery.Keys)) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) {
		changed := *a.Keys
		change(&changed)
		a.Sign = changed.Signer(a.Scheme)
	}
}

// strangers signs, in the right scheme, with keys that no receiver knows.
func strangers(a *delivery.Attempt) {
	a.Sign = delivery.Strangers(a.Keys.Audience).Signer(a.Scheme)
}

// signV1WithPublicKey makes a signature that a receiver accepts if it lets the sender
// choose how a key is used.
func signV1WithPublicKey(a *delivery.Attempt) {
	public := a.Keys.Ed25519.Public().(ed25519.PublicKey)
	a.Sign = webhooktest.SignV1("whsec_" + base64.StdEncoding.EncodeToString(public))
}

// claims changes the JWT's claims.
func claims(change func(map[string]any)) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Sign = a.Keys.Signer(webhook.JWT, change) }
}

// claim sets a claim, or leaves it out if value is nil.
func claim(name string, value any) func(*delivery.Attempt) {
	return claims(func(c map[string]any) {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	})
}

func claimIn(name string, from time.Duration) func(*delivery.Attempt) {
	return claims(func(c map[string]any) { c[name] = time.Now().Add(from).Unix() })
}

// jwtBy has the JWT signed in another way than by a key of its kind.
func jwtBy(algorithm string, sign func(content []byte, k *delivery.Keys) []byte) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) {
		header := map[string]any{"alg": algorithm, "kid": a.Keys.JWTKeyID}
		a.Sign = handmade(header, a.Keys.Audience, func(content []byte) []byte { return sign(content, a.Keys) })
	}
}

// handmade signs with a JWT that SignJWT would not make.
func handmade(header any, audience string, sign func(content []byte) []byte) webhooktest.Signer {
	return func(_, timestamp string, body []byte) (string, error) {
		var parts []string
		for _, part := range []any{header, webhooktest.JWTClaims(audience, timestamp, body)} {
			text, err := json.Marshal(part)
			if err != nil {
				return "", err
			}
			parts = append(parts, base64.RawURLEncoding.EncodeToString(text))
		}
		content := strings.Join(parts, ".")
		return content + "." + base64.RawURLEncoding.EncodeToString(sign([]byte(content))), nil
	}
}

func hmacWithPublicKey(content []byte, k *delivery.Keys) []byte {
	der, err := x509.MarshalPKIXPublicKey(k.JWT.Public())
	if err != nil {
		panic(err) // x509 knows every kind of key that --key-file accepts
	}
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write(content)
	return mac.Sum(nil)
}

// broughtKey has the JWT signed by a stranger, whose public key stands in its
// header as RFC 7515 allows.
func broughtKey(a *delivery.Attempt) {
	stranger := delivery.Strangers("").JWT.(*rsa.PrivateKey)
	encode := base64.RawURLEncoding.EncodeToString
	header := map[string]any{"alg": "RS256", "kid": a.Keys.JWTKeyID, "jwk": map[string]string{
		"kty": "RSA", "n": encode(stranger.N.Bytes()), "e": encode(big.NewInt(int64(stranger.E)).Bytes()),
	}}
	a.Sign = handmade(header, a.Keys.Audience, func(content []byte) []byte {
		digest := sha256.Sum256(content)
		signature, err := rsa.SignPKCS1v15(rand.Reader, stranger, crypto.SHA256, digest[:])
		if err != nil {
			panic(err) // the key is long enough
		}
		return signature
	})
}

// Changes after a delivery was signed.

func set(header, value string) func(*delivery.Request) {
	return func(r *delivery.Request) { r.Header.Set(header, value) }
}

func without(header string) func(*delivery.Request) {
	return func(r *delivery.Request) { r.Header.Del(header) }
}

func twice(header string) func(*delivery.Request) {
	return func(r *delivery.Request) { r.Header.Add(header, r.Header.Get(header)) }
}

func aSecondLater(r *delivery.Request) {
	r.Header.Set("Webhook-Timestamp", webhooktest.Timestamp(time.Now().Add(time.Second)))
}

func method(name string) func(*delivery.Request) {
	return func(r *delivery.Request) { r.Method = name }
}

func chunked(r *delivery.Request) { r.Chunked = true }

// rewritten parses the body and writes it anew, as a receiver does whose framework
// parses JSON for it.
func rewritten(r *delivery.Request) {
	var value any
	if err := json.Unmarshal(r.Body, &value); err != nil {
		panic(err) // it is our own event
	}
	r.Body, _ = json.MarshalIndent(value, "", " ")
}

// signature changes the signature's text.
func signature(change func(string) string) func(*delivery.Request) {
	return func(r *delivery.Request) {
		r.Header.Set("Webhook-Signature", change(r.Header.Get("Webhook-Signature")))
	}
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
func urlToken(change func(string) string) func(*delivery.Request) {
	return func(r *delivery.Request) {
		u, err := url.Parse(r.URL)
		if err != nil {
			panic(err) // it was parsed before
		}
		query := u.Query()
		query.Set("token", change(query.Get("token")))
		u.RawQuery = query.Encode()
		r.URL = u.String()
	}
}
