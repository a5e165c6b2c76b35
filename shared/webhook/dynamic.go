package webhook

import (
	"context"
	"crypto"
	"crypto/ed25519"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Dynamic verifies deliveries of per-request webhooks, which Google signs with
// keys of its own. Two schemes are taken: v1a, Ed25519 over "id.timestamp.body",
// which is what live deliveries carry, and a JSON Web Token, which is what the
// documentation describes. It is safe for concurrent use.
//
// Google's keys sign for every customer of the Gemini API, so a genuine delivery
// is not yet one about our own jobs. That is what [Token] is for.
type Dynamic struct {
	// Keys holds Google's public keys. A v1a signature names none: all are tried.
	Keys Keyring[PublicKey]

	// Audiences are the values of which a token's aud must hold one, compared
	// without their queries. While there are none every token is refused.
	Audiences []string

	// UnboundJWT takes tokens whose claims carry no event. Nothing in such a token
	// binds the body, so set it only where a URL token is required.
	UnboundJWT bool

	// Tolerance is how far a timestamp may be from now; zero means
	// DefaultTolerance.
	Tolerance time.Duration
}

// A PublicKey is one of the sender's keys, checked to be usable.
type PublicKey struct {
	ID  string           // kid; may be empty
	Key crypto.PublicKey // ed25519.PublicKey, *rsa.PublicKey, or *ecdsa.PublicKey on P-256
}

// Verify returns the delivery that header and body make, or ErrMalformed,
// ErrForged, ErrAudience or ErrStale. Any other error is a fault of ours. It
// keeps body, and copies it once for v1a, which signs it in one piece.
func (d *Dynamic) Verify(ctx context.Context, header http.Header, body []byte) (*Delivery, error) {
	h, err := parseHeaders(header)
	if err != nil {
		return nil, err
	}
	scheme, verify := V1a, d.verifyV1a
	if looksLikeJWT(h.signature) {
		scheme, verify = JWT, d.verifyJWT
	}
	if err := verify(ctx, &h, body); err != nil {
		return nil, err
	}
	now := time.Now()
	if err := checkAge("webhook-timestamp", h.sent, now, d.Tolerance); err != nil {
		return nil, err
	}
	return &Delivery{
		Endpoint:    DynamicEndpoint,
		Scheme:      scheme,
		ID:          h.id,
		Received:    now,
		ContentType: header.Get("Content-Type"),
		Body:        body,
	}, nil
}

// looksLikeJWT tells a compact token, three parts between dots, from a list of
// "version,signature", which has no dot in it.
func looksLikeJWT(signature string) bool {
	return strings.Count(signature, ".") == 2 && !strings.ContainsAny(signature, ", ")
}

func (d *Dynamic) verifyV1a(ctx context.Context, h *headers, body []byte) error {
	signatures := h.v1aSignatures()
	if len(signatures) == 0 {
		return fmt.Errorf("%w: no v1a signature and no token", ErrForged)
	}
	content := h.content(make([]byte, 0, len(h.id)+len(h.timestamp)+len(body)+2))
	content = append(content, body...)
	ok, err := d.Keys.Find(ctx, func(k PublicKey) bool {
		key, ok := k.Key.(ed25519.PublicKey)
		if !ok {
			return false
		}
		for i := range signatures {
			if ed25519.Verify(key, content, signatures[i][:]) {
				return true
			}
		}
		return false
	})
	if err == nil && !ok {
		err = fmt.Errorf("%w: no v1a signature by one of the sender's keys", ErrForged)
	}
	return err
}

// signatureEncoding takes only the one form that a signer writes.
var signatureEncoding = base64.StdEncoding.Strict()

type ed25519Signature [ed25519.SignatureSize]byte

// v1aSignatures decodes the v1a entries. What is not 64 bytes of base64 in its
// one form is passed over: it can match no key.
func (h *headers) v1aSignatures() []ed25519Signature {
	var signatures []ed25519Signature
	for entry := range h.entries(V1a) {
		if len(entry) != signatureEncoding.EncodedLen(ed25519.SignatureSize) {
			continue
		}
		if raw, err := signatureEncoding.DecodeString(entry); err == nil && len(raw) == ed25519.SignatureSize {
			signatures = append(signatures, ed25519Signature(raw))
		}
	}
	return signatures
}
