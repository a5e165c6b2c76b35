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

// Changes made before a delivery is signed. The signature stays genuine unless the
// change is to the signing itself.

// again sets the time of a retry, which keeps its id.
func again(a *delivery.Attempt) { a.Timestamp = webhooktest.Timestamp(time.Now()) }

func otherBody(a *delivery.Attempt) { a.Body = webhooktest.NewEvent("batch.failed") }

// sent sets the timestamp to the current time plus from.
func sent(from time.Duration) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Timestamp = webhooktest.Timestamp(time.Now().Add(from)) }
}

// timestamp sets the timestamp. {} is replaced by the genuine one.
func timestamp(text string) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Timestamp = strings.ReplaceAll(text, "{}", a.Timestamp) }
}

// id sets the id. {} is replaced by the genuine one.
func id(text string) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.ID = strings.ReplaceAll(text, "{}", a.ID) }
}

// idOf pads the id to n characters.
func idOf(n int) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.ID += strings.Repeat("x", n-len(a.ID)) }
}

func body(content []byte) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Body = content }
}

// bodyOf pads the body with spaces to n bytes, which does not change the event.
func bodyOf(n int) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Body = append(a.Body, bytes.Repeat([]byte(" "), n-len(a.Body))...) }
}

// deep returns nested JSON arrays.
func deep(levels int) []byte {
	return []byte(strings.Repeat("[", levels) + strings.Repeat("]", levels))
}

// signed signs with another scheme.
func signed(scheme webhook.Scheme) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Sign = a.Keys.Signer(scheme) }
}

// keys signs with a changed copy of the keys.
func keys(change func(k *delivery.Keys)) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) {
		changed := *a.Keys
		change(&changed)
		a.Sign = changed.Signer(a.Scheme)
	}
}

// strangers signs with keys that no receiver knows. The scheme stays the same.
func strangers(a *delivery.Attempt) {
	a.Sign = delivery.Strangers(a.Keys.Audience).Signer(a.Scheme)
}

// signV1WithPublicKey signs with the receiver's public key as the HMAC secret. A
// receiver that lets the sender choose the scheme would accept it.
func signV1WithPublicKey(a *delivery.Attempt) {
	public := a.Keys.Ed25519.Public().(ed25519.PublicKey)
	a.Sign = webhooktest.SignV1("whsec_" + base64.StdEncoding.EncodeToString(public))
}

// claims changes the JWT's claims.
func claims(change func(map[string]any)) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) { a.Sign = a.Keys.Signer(webhook.JWT, change) }
}

// claim sets a claim, or removes it if value is nil.
func claim(name string, value any) func(*delivery.Attempt) {
	return claims(func(c map[string]any) {
		if c[name] = value; value == nil {
			delete(c, name)
		}
	})
}

// claimIn sets a claim to the current time plus from.
func claimIn(name string, from time.Duration) func(*delivery.Attempt) {
	return claims(func(c map[string]any) { c[name] = time.Now().Add(from).Unix() })
}

// jwtBy sends a JWT that names an algorithm and is signed with sign.
func jwtBy(algorithm string, sign func(content []byte, k *delivery.Keys) []byte) func(*delivery.Attempt) {
	return func(a *delivery.Attempt) {
		header := map[string]any{"alg": algorithm, "kid": a.Keys.JWTKeyID}
		a.Sign = handmade(header, a.Keys.Audience, func(content []byte) []byte { return sign(content, a.Keys) })
	}
}

// handmade returns a signer that makes a JWT with any header and any signature.
// webhooktest.SignJWT makes valid ones only.
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

// hmacWithPublicKey returns the HMAC-SHA256 of content. The HMAC's key is the JWT's
// public key in PEM.
func hmacWithPublicKey(content []byte, k *delivery.Keys) []byte {
	der, err := x509.MarshalPKIXPublicKey(k.JWT.Public())
	if err != nil {
		panic(err) // x509 supports every kind of key that --key-file accepts
	}
	mac := hmac.New(sha256.New, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	mac.Write(content)
	return mac.Sum(nil)
}

// broughtKey signs the JWT with an unknown key, and puts the public key into the JWT's
// header (jwk, RFC 7515 section 4.1.3).
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

// Changes made after a delivery is signed.

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

// rewritten parses the body and encodes it again. A receiver that verifies after its
// framework parsed the JSON makes the same change.
func rewritten(r *delivery.Request) {
	var value any
	if err := json.Unmarshal(r.Body, &value); err != nil {
		panic(err) // the body is a valid event
	}
	r.Body, _ = json.MarshalIndent(value, "", " ")
}

// signature changes the Webhook-Signature header.
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
			panic(err) // delivery.Find has parsed it
		}
		query := u.Query()
		query.Set("token", change(query.Get("token")))
		u.RawQuery = query.Encode()
		r.URL = u.String()
	}
}
