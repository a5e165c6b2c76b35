package webhook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"fmt"
	"hash"
	"net/http"
	"strings"
	"sync"
	"time"
)

// Static verifies deliveries of project-level webhooks: scheme v1, HMAC-SHA256
// with a secret that only the sender and we know. It is safe for concurrent use.
type Static struct {
	// Keys holds every secret in force. All are tried: rotation overlaps for 24
	// hours, and several webhooks may share a URL.
	Keys Keyring[SigningKey]

	// Tolerance is how far the timestamp may be from now; zero means
	// DefaultTolerance.
	Tolerance time.Duration
}

// Verify returns the delivery that header and body make, or a *Refusal of kind
// ErrMalformed (which includes more than 16 v1 signatures), ErrForged or ErrStale. Any
// other error is a fault of ours. It keeps body and does not copy it.
//
// The signature is checked before the timestamp, so that a genuine delivery that
// comes late can be told from a forged one.
func (s *Static) Verify(ctx context.Context, header http.Header, body []byte) (*Delivery, error) {
	h, err := parseHeaders(header)
	if err != nil {
		return nil, err
	}
	found, err := signatures(h.signature, V1, maxV1)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, Refuse(NoSignature, "no v1 signature")
	}
	ok, err := s.Keys.Find(ctx, func(k SigningKey) bool { return k.signed(h.id, h.timestamp, body, found) })
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, Refuse(NoKeyMatches, "no v1 signature by an enabled version of the signing secret")
	}
	return h.delivery(StaticEndpoint, V1, header, body, s.Tolerance)
}

const (
	secretPrefix = "whsec_"

	// Standard Webhooks asks for 24 to 64 random bytes, its own test vectors have
	// 23. Below 16 bytes a key could be searched for.
	minKeyBytes = 16

	signatureText = 44 // base64 of 32 bytes
)

// A SigningKey is the key of scheme v1. Its zero value is not usable. It is safe
// for concurrent use, and prints as nothing of the key.
type SigningKey struct {
	macs *sync.Pool // of *mac
}

// mac is an HMAC with room for what goes in and out, so that one verification
// allocates nothing.
type mac struct {
	hash.Hash
	buf  []byte
	text [signatureText]byte
}

// ParseSigningKey reads a signing secret as the Gemini API gives it out: base64,
// padded or not, behind "whsec_" or bare. A leading byte order mark, and white space
// around the secret, are dropped. It fails for less than 16 bytes of key; the error
// holds nothing of the secret.
func ParseSigningKey(secret []byte) (SigningKey, error) {
	text := strings.TrimPrefix(string(bytes.TrimSpace(withoutMark(secret))), secretPrefix)
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return SigningKey{}, fmt.Errorf("not a signing secret: what follows %q must be base64", secretPrefix)
	}
	if len(key) < minKeyBytes {
		return SigningKey{}, fmt.Errorf("not a signing secret: %d bytes of key, of at least %d", len(key), minKeyBytes)
	}
	return SigningKey{&sync.Pool{New: func() any {
		return &mac{Hash: hmac.New(sha256.New, key)}
	}}}, nil
}

// String keeps a key that is printed by mistake out of the output.
func (SigningKey) String() string { return "SigningKey(hidden)" }

// GoString does the same for %#v.
func (k SigningKey) GoString() string { return k.String() }

// signed reports whether one of the signatures is this key's. It compares texts: only
// the one base64 form that a signer writes is accepted.
func (k SigningKey) signed(id, timestamp string, body []byte, signatures []string) bool {
	m := k.macs.Get().(*mac)
	defer k.macs.Put(m)
	want := m.sign(id, timestamp, body)
	for _, signature := range signatures {
		var got [signatureText]byte
		copy(got[:], signature)
		if len(signature) == len(want) && subtle.ConstantTimeCompare(got[:], want) == 1 {
			return true
		}
	}
	return false
}

// sign returns the signature's text, valid until m is used again.
func (m *mac) sign(id, timestamp string, body []byte) []byte {
	m.Reset()
	m.buf = appendContent(m.buf[:0], id, timestamp)
	m.Write(m.buf)
	m.Write(body)
	m.buf = m.Sum(m.buf[:0])
	base64.StdEncoding.Encode(m.text[:], m.buf)
	return m.text[:]
}
