package webhook

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
)

// Dynamic verifies deliveries of per-request webhooks, which Google signs with its
// own keys. It accepts two schemes: v1a, Ed25519 over "id.timestamp.body", which live
// deliveries use, and a JSON Web Token, which the documentation describes. It is safe
// for concurrent use.
//
// Google signs the deliveries of all Gemini API customers with the same keys, so a
// genuine delivery may be about another customer's job. [URLTokenGate] rejects those.
type Dynamic struct {
	// Keys holds Google's public keys. It is required. A v1a signature does not name
	// its key, so Verify tries all of them.
	Keys Keyring[PublicKey]

	// Audiences are the accepted audiences. A JWT's aud must contain one of them;
	// query strings are ignored. If empty, all JWTs are rejected.
	Audiences []string

	// JWTWithoutEvent accepts JWTs whose claims lack type, data or both, the members of
	// an event. If the claims have one of the two, the body must have it too, and each
	// claim that is also a member of the body must be equal to it. If they have
	// neither, the body is not compared: the JWT is valid for any body. So set this
	// only if a URL token is required. If false, such JWTs are rejected.
	JWTWithoutEvent bool

	// Tolerance is the maximum difference between webhook-timestamp or a JWT's iat and
	// the current time, in either direction. A JWT is accepted until its exp plus
	// Tolerance, and from its nbf minus Tolerance. Zero means DefaultTolerance.
	Tolerance time.Duration
}

// A PublicKey is one of Google's public keys, with its parameters already validated.
type PublicKey struct {
	ID  string           // kid; may be empty
	Key crypto.PublicKey // ed25519.PublicKey, *rsa.PublicKey, or *ecdsa.PublicKey on P-256
}

// Algorithm returns the only algorithm that k may be used with: "EdDSA" (for v1a
// too), "RS256" or "ES256". It returns an empty string if Key is of any other type.
func (k PublicKey) Algorithm() string {
	switch k.Key.(type) {
	case ed25519.PublicKey:
		return jwa.EdDSA.String()
	case *rsa.PublicKey:
		return jwa.RS256.String()
	case *ecdsa.PublicKey:
		return jwa.ES256.String()
	}
	return ""
}

// Verify returns the delivery in header and body. It fails with a *Refusal of kind
// ErrMalformed (which includes more than 4 v1a signatures), ErrForged, ErrAudience or
// ErrStale. Any other error is a failure of ours. The delivery keeps body without
// copying it, so do not modify body afterwards. For v1a, Verify needs memory for one
// copy of body, because crypto/ed25519 takes the signed content in one slice.
func (d *Dynamic) Verify(ctx context.Context, header http.Header, body []byte) (*Delivery, error) {
	h, err := parseHeaders(header)
	if err != nil {
		return nil, err
	}
	scheme, verify := V1a, d.verifyV1a
	if IsJWT(h.signature) {
		scheme, verify = JWT, d.verifyJWT
	}
	if err := verify(ctx, &h, body); err != nil {
		return nil, err
	}
	return h.delivery(DynamicEndpoint, scheme, header, body, d.Tolerance)
}

// find is Keyring.Find for a signature by one algorithm. It ignores a CutError that
// concerns only other algorithms.
func (d *Dynamic) find(ctx context.Context, algorithm string, match func(PublicKey) bool) (bool, error) {
	ok, err := d.Keys.Find(ctx, match)
	if cut, is := errors.AsType[*CutError](err); is && !slices.Contains(cut.Algorithms, algorithm) {
		return ok, nil
	}
	return ok, err
}

// IsJWT reports whether a webhook-signature header has the form of a compact JWT,
// three parts separated by dots, rather than a list of "version,signature" entries,
// which contains no dot. The JWT may be invalid.
func IsJWT(signature string) bool {
	return strings.Count(signature, ".") == 2 && !strings.ContainsAny(signature, ", ")
}

// verifyV1a fails with a *Refusal unless one of Google's keys made one of the v1a
// signatures.
func (d *Dynamic) verifyV1a(ctx context.Context, h *headers, body []byte) error {
	signatures, err := h.v1aSignatures()
	if err != nil {
		return err
	}
	if len(signatures) == 0 {
		return Refuse(NoSignature, "no v1a signature and no token")
	}
	content := h.content(make([]byte, 0, len(h.id)+len(h.timestamp)+len(body)+2))
	content = append(content, body...)
	ok, err := d.find(ctx, jwa.EdDSA.String(), func(k PublicKey) bool {
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
		err = Refuse(NoKeyMatches, "no v1a signature matches one of the sender's keys")
	}
	return err
}

// signatureEncoding is strict: it rejects a signature in any but its canonical
// encoding.
var signatureEncoding = base64.StdEncoding.Strict()

type ed25519Signature [ed25519.SignatureSize]byte

// v1aSignatures returns the decoded v1a entries. It skips an entry that is not 64
// bytes in canonical base64, because no key can match it.
func (h *headers) v1aSignatures() ([]ed25519Signature, error) {
	texts, err := signatures(h.signature, V1a, maxV1a)
	if err != nil {
		return nil, err
	}
	var decoded []ed25519Signature
	for _, text := range texts {
		if len(text) != signatureEncoding.EncodedLen(ed25519.SignatureSize) {
			continue
		}
		var raw [ed25519.SignatureSize + 2]byte // Decode needs up to 2 bytes more if the padding is missing
		if n, err := signatureEncoding.Decode(raw[:], []byte(text)); err == nil && n == ed25519.SignatureSize {
			decoded = append(decoded, ed25519Signature(raw[:n]))
		}
	}
	return decoded, nil
}
