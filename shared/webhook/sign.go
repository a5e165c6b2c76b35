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

// SignV1 returns the webhook-signature of scheme v1. The texts are signed as they
// stand, whether or not Verify would take them.
func SignV1(key SigningKey, id, timestamp string, body []byte) string {
	m := key.macs.Get().(*mac)
	defer key.macs.Put(m)
	return string(V1) + "," + string(m.sign(id, timestamp, body))
}

// SignV1a returns the webhook-signature of scheme v1a.
func SignV1a(key ed25519.PrivateKey, id, timestamp string, body []byte) string {
	content := append(appendContent(nil, id, timestamp), body...)
	return string(V1a) + "," + base64.StdEncoding.EncodeToString(ed25519.Sign(key, content))
}

// SignJWT returns a compact JWT over claims, which must marshal to a JSON
// object. key is an ed25519.PrivateKey, an *rsa.PrivateKey, or an
// *ecdsa.PrivateKey on P-256, and chooses the algorithm. An empty kid is left out.
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
		return "", fmt.Errorf("no algorithm for a key of type %T", key)
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
