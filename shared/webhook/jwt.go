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

// maxJWTBytes bounds a JWT before it is verified: a longer one is malformed, not
// forged. Those of the documentation stay under 1 KiB, events included.
const maxJWTBytes = 16 << 10

// verifyJWT accepts a JWT that one of the sender's keys signed, for our
// audience, now, and about this body. Only what the signature covers counts, so
// the audience is looked at after it.
func (d *Dynamic) verifyJWT(ctx context.Context, h *headers, body []byte) error {
	if len(h.signature) > maxJWTBytes {
		return Refuse(JWTTooLarge, "the token has %d bytes, of at most %d", len(h.signature), maxJWTBytes)
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

// jwtEncoding takes only the one form that a signer writes.
var jwtEncoding = base64.RawURLEncoding.Strict()

// jwt is a compact JWS (RFC 7515, section 7.1), decoded but not verified.
type jwt struct {
	algorithm jwa.SignatureAlgorithm
	keyID     string
	signed    []byte // header and payload as received, with the dot between them
	payload   []byte
	signature []byte
}

// parseJWT decodes a JWT and refuses what no JWT of the sender has: other
// algorithms ("none", and HMAC keyed with a public key, are the classic
// forgeries) and extensions that would have to be understood. Keys that a JWT
// brings along (jwk, jku, x5c) are never looked at.
func parseJWT(text string) (*jwt, error) {
	var parts [3][]byte
	for i, part := range strings.Split(text, ".") {
		var err error
		if parts[i], err = jwtEncoding.DecodeString(part); err != nil {
			return nil, Refuse(JWTMalformed, "the token is not in base64url")
		}
	}
	var header struct {
		Algorithm jwa.SignatureAlgorithm `json:"alg"`
		KeyID     string                 `json:"kid"`
		Critical  json.RawMessage        `json:"crit"`
	}
	if err := json.Unmarshal(parts[0], &header); err != nil {
		return nil, Refuse(JWTMalformed, "the token's header is not what RFC 7515 says")
	}
	if header.Algorithm == "Ed25519" { // the same algorithm by the name of RFC 9864
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

// signedBy reports whether k signed the JWT. The kinds of key and algorithm
// must agree; a kid chooses only between keys that have one.
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
