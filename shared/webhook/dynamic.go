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

// Dynamic verifies deliveries of per-request webhooks, which Google signs with
// keys of its own. Two schemes are taken: v1a, Ed25519 over "id.timestamp.body",
// which is what live deliveries carry, and a JSON Web Token, which is what the
// documentation describes. It is safe for concurrent use.
//
// Google's keys sign for every customer of the Gemini API, so a genuine delivery
// is not yet one about our own jobs. That is what [URLTokenGate] is for.
type Dynamic struct {
	// Keys holds Google's public keys. A v1a signature names none: all are tried.
	Keys Keyring[PublicKey]

	// Audiences are the values of which a JWT's aud must hold one, compared
	// without their queries. While there are none every JWT is refused.
	Audiences []string

	// JWTWithoutEvent takes JWTs whose claims carry no event. Nothing in such a JWT
	// binds the body, so set it only where a URL token is required.
	JWTWithoutEvent bool

	// Tolerance is how far a timestamp may be from now; zero means
	// DefaultTolerance.
	Tolerance time.Duration
}

// A PublicKey is one of the sender's keys, checked to be usable.
type PublicKey struct {
	ID  string           // kid; may be empty
	Key crypto.PublicKey // ed25519.PublicKey, *rsa.PublicKey, or *ecdsa.PublicKey on P-256
}

// Algorithm returns the one algorithm that a key may be used with: EdDSA, which v1a
// uses too, RS256 or ES256; empty for a key of any other kind.
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

// Verify returns the delivery that header and body make, or a *Refusal of kind
// ErrMalformed (which includes more than 4 v1a signatures), ErrForged, ErrAudience or
// ErrStale. Any other error is a fault of ours. It keeps body, and copies it once for
// v1a, which signs it in one piece.
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

// find reports whether match holds for one of the keys, like Keyring.Find, for a
// signature by one algorithm: it does not fail because keys of another were left out.
func (d *Dynamic) find(ctx context.Context, algorithm string, match func(PublicKey) bool) (bool, error) {
	ok, err := d.Keys.Find(ctx, match)
	if cut, is := errors.AsType[*CutError](err); is && !slices.Contains(cut.Algorithms, algorithm) {
		return ok, nil
	}
	return ok, err
}

// IsJWT reports whether a webhook-signature header is a compact JWT, three parts between
// dots, rather than a list of "version,signature", which has no dot in it. It may be one
// that no verifier accepts.
func IsJWT(signature string) bool {
	return strings.Count(signature, ".") == 2 && !strings.ContainsAny(signature, ", ")
}

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
		err = Refuse(NoKeyMatches, "no v1a signature by one of the sender's keys")
	}
	return err
}

// signatureEncoding takes only the one form that a signer writes.
var signatureEncoding = base64.StdEncoding.Strict()

type ed25519Signature [ed25519.SignatureSize]byte

// v1aSignatures decodes the v1a entries. One that is not 64 bytes of base64 in its one
// form is passed over, because it can match no key.
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
		var raw [ed25519.SignatureSize + 2]byte // room for what a form without padding holds
		if n, err := signatureEncoding.Decode(raw[:], []byte(text)); err == nil && n == ed25519.SignatureSize {
			decoded = append(decoded, ed25519Signature(raw[:n]))
		}
	}
	return decoded, nil
}
