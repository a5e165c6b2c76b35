package webhook

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"
)

// SignV1 returns a webhook-signature of scheme v1. It signs id and timestamp as
// given, even if Verify would reject them.
func SignV1(key SigningKey, id, timestamp string, body []byte) string {
	m := key.macs.Get().(*mac)
	defer key.macs.Put(m)
	return string(V1) + "," + string(m.sign(id, timestamp, body))
}

// SignV1a returns a webhook-signature of scheme v1a. It signs id and timestamp as
// given, even if Verify would reject them.
func SignV1a(key ed25519.PrivateKey, id, timestamp string, body []byte) string {
	content := append(appendContent(nil, id, timestamp), body...)
	return string(V1a) + "," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, content))
}

// SignJWT returns a compact JWT with the given claims, which must marshal to a JSON
// object. The type of key determines the algorithm: ed25519.PrivateKey (EdDSA),
// *rsa.PrivateKey (RS256) or *ecdsa.PrivateKey on P-256 (ES256). If kid is empty, the
// JWT has none. SignJWT fails for a key of another type, and if claims cannot be
// marshaled.
func SignJWT(key crypto.Signer, kid string, claims any) (string, error) {
	payload, err := json.Marshal(claims)
	if err != nil {
		return "", fmt.Errorf("claims: %w", err)
	}
	var algorithm jwa.SignatureAlgorithm
	switch key.(type) {
	case ed25519.PrivateKey:
		algorithm = jwa.EdDSA
	case *rsa.PrivateKey:
		algorithm = jwa.RS256
	case *ecdsa.PrivateKey:
		algorithm = jwa.ES256
	default:
		return "", fmt.Errorf("key of type %T: not supported for a JWT", key)
	}
	header := jws.NewHeaders()
	if kid != "" {
		if err := header.Set(jws.KeyIDKey, kid); err != nil {
			return "", fmt.Errorf("kid: %w", err)
		}
	}
	signed, err := jws.Sign(payload, jws.WithKey(algorithm, key, jws.WithProtectedHeaders(header)))
	return string(signed), err
}
