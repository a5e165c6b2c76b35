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

// Static verifies deliveries of project-level webhooks: scheme v1, HMAC-SHA256 with a
// signing secret that only Gemini and this project know. It is safe for concurrent
// use.
type Static struct {
	// Keys holds all current signing secrets. It is required. Verify tries each of
	// them: during a rotation two are valid for 24 hours, and several webhooks may
	// share a URL.
	Keys Keyring[SigningKey]

	// Tolerance is the maximum difference between the timestamp and the current time,
	// in either direction. Zero means DefaultTolerance.
	Tolerance time.Duration
}

// Verify returns the delivery in header and body. It fails with a *Refusal of kind
// ErrMalformed (which includes more than 16 v1 signatures), ErrForged or ErrStale.
// Any other error is a failure of ours. The delivery keeps body without copying it,
// so do not modify body afterwards.
//
// Verify checks the signature before the timestamp, so that a late genuine delivery
// (ErrStale) can be distinguished from a forged one (ErrForged).
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
		return nil, Refuse(NoKeyMatches, "no v1 signature matches an enabled version of the signing secret")
	}
	return h.delivery(StaticEndpoint, V1, header, body, s.Tolerance)
}

const (
	secretPrefix = "whsec_"

	// minKeyBytes is the minimum size of a key, in bytes. Standard Webhooks requires 24
	// to 64 random bytes, but its own test vectors have 23. A key of less than 16 bytes
	// could be found by brute force.
	minKeyBytes = 16

	signatureText = 44 // length of an HMAC-SHA256, 32 bytes, in base64
)

// A SigningKey is a key of scheme v1, made by [ParseSigningKey]. Its zero value is
// not usable. It never prints its key. It is safe for concurrent use.
type SigningKey struct {
	macs *sync.Pool // of *mac
}

// mac is an HMAC with its buffers, so that a verification does not allocate.
type mac struct {
	hash.Hash
	buf  []byte
	text [signatureText]byte
}

// ParseSigningKey parses a signing secret as the Gemini API returns it: base64,
// padded or not, with or without the prefix "whsec_". It ignores a leading byte order
// mark and surrounding white space. It fails if the key has less than 16 bytes. The
// error does not contain the secret.
func ParseSigningKey(secret []byte) (SigningKey, error) {
	text := strings.TrimPrefix(string(bytes.TrimSpace(withoutMark(secret))), secretPrefix)
	key, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(text, "="))
	if err != nil {
		return SigningKey{}, fmt.Errorf("not a signing secret: not base64 after the prefix %q", secretPrefix)
	}
	if len(key) < minKeyBytes {
		return SigningKey{}, fmt.Errorf("not a signing secret: the key has %d bytes, less than the minimum of %d", len(key), minKeyBytes)
	}
	return SigningKey{&sync.Pool{New: func() any {
		return &mac{Hash: hmac.New(sha256.New, key)}
	}}}, nil
}

// String returns a text without the key, in case a key is printed by mistake.
func (SigningKey) String() string { return "SigningKey(hidden)" }

// GoString is String for the format %#v.
func (k SigningKey) GoString() string { return k.String() }

// signed reports whether one of signatures was made with k. It compares base64 texts,
// so only the canonical encoding is accepted.
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

// sign returns the signature in base64. The result is valid until m is used again.
func (m *mac) sign(id, timestamp string, body []byte) []byte {
	m.Reset()
	m.buf = appendContent(m.buf[:0], id, timestamp)
	m.Write(m.buf)
	m.Write(body)
	m.buf = m.Sum(m.buf[:0])
	base64.StdEncoding.Encode(m.text[:], m.buf)
	return m.text[:]
}
