package webhook

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// maxJWTBytes is the maximum size of a JWT, in bytes. A longer one is rejected as
// malformed before it is verified. The documented JWTs are smaller than 1 KiB, event
// included.
const maxJWTBytes = 16 << 10

// verifyJWT fails with a *Refusal unless one of the sender's keys signed the JWT, and
// its claims are valid for our audience, the current time and body. It checks the
// claims after the signature, because only signed claims can be trusted.
func (d *Dynamic) verifyJWT(ctx context.Context, h *headers, body []byte) error {
	if len(h.signature) > maxJWTBytes {
		return Refuse(JWTTooLarge, "the token has %d bytes, more than the maximum of %d", len(h.signature), maxJWTBytes)
	}
	j, err := parseJWT(h.signature)
	if err != nil {
		return err
	}
	ok, err := d.find(ctx, j.algorithm.String(), j.signedBy)
	if err != nil {
		return err
	}
	if !ok {
		return Refuse(NoKeyMatches, "the token is signed by none of the sender's keys")
	}
	claims, err := parseClaims(j.payload)
	if err != nil {
		return err
	}
	if err := claims.checkAudience(d.Audiences); err != nil {
		return err
	}
	if err := claims.checkTime(time.Now(), d.Tolerance); err != nil {
		return err
	}
	return claims.checkEvent(body, d.JWTWithoutEvent)
}

// jwtEncoding is strict: it rejects a JWT in any but its canonical encoding.
var jwtEncoding = base64.RawURLEncoding.Strict()

// jwt is a compact JWS (RFC 7515, section 7.1), decoded but not verified.
type jwt struct {
	algorithm jwa.SignatureAlgorithm
	keyID     string
	signed    []byte // header and payload as received, with the dot between them
	payload   []byte
	signature []byte
}

// parseJWT decodes a JWT and rejects algorithms that the sender does not use ("none",
// and HMAC keyed with a public key, are well-known forgeries) and critical
// extensions. It ignores keys that the JWT itself carries (jwk, jku, x5c): an
// attacker can choose them.
func parseJWT(text string) (*jwt, error) {
	var parts [3][]byte
	for i, part := range strings.Split(text, ".") {
		var err error
		if parts[i], err = jwtEncoding.DecodeString(part); err != nil {
			return nil, Refuse(JWTMalformed, "the token is not base64url")
		}
	}
	var header struct {
		Algorithm jwa.SignatureAlgorithm `json:"alg"`
		KeyID     string                 `json:"kid"`
		Critical  json.RawMessage        `json:"crit"`
	}
	if err := json.Unmarshal(parts[0], &header); err != nil {
		return nil, Refuse(JWTMalformed, "the token's header does not conform to RFC 7515")
	}
	if header.Algorithm == "Ed25519" { // the name that RFC 9864 gives to EdDSA with this curve
		header.Algorithm = jwa.EdDSA
	}
	switch header.Algorithm {
	case jwa.RS256, jwa.ES256, jwa.EdDSA:
	default:
		return nil, Refuse(JWTAlgorithm, "the token's algorithm is none of RS256, ES256, EdDSA")
	}
	if header.Critical != nil {
		return nil, Refuse(JWTCritical, "the token has critical extensions")
	}
	return &jwt{
		algorithm: header.Algorithm,
		keyID:     header.KeyID,
		signed:    []byte(text[:strings.LastIndexByte(text, '.')]),
		payload:   parts[1],
		signature: parts[2],
	}, nil
}

// signedBy reports whether k signed the JWT. The algorithm must fit the type of k.
// The key ids must be equal, if both k and the JWT have one.
func (j *jwt) signedBy(k PublicKey) bool {
	if k.ID != "" && j.keyID != "" && k.ID != j.keyID {
		return false
	}
	if k.Algorithm() != j.algorithm.String() {
		return false
	}
	verifier, err := jws.NewVerifier(j.algorithm)
	return err == nil && verifier.Verify(j.signed, j.signature, k.Key) == nil
}
