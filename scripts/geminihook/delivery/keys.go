package delivery

import (
	"bytes"
	"crypto"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Keys are the keys that a sender signs with. Every field is set. A key that the user
// did not give is random, so a receiver must reject its signatures.
type Keys struct {
	Secret   string             // signs v1; whsec_…
	Ed25519  ed25519.PrivateKey // signs v1a
	JWT      crypto.Signer      // signs JWTs
	JWTKeyID string             // the kid in a JWT's header; empty: no kid
	Audience string             // a JWT's aud

	given map[webhook.Scheme]bool // the schemes with a key that is not random
}

// Strangers returns random keys, which no receiver knows.
func Strangers(audience string) *Keys {
	_, private, _ := ed25519.GenerateKey(rand.Reader) // crypto/rand does not fail
	token, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return &Keys{
		Secret:   webhooktest.NewSecret(),
		Ed25519:  private,
		JWT:      token,
		JWTKeyID: webhooktest.RSAKeyID,
		Audience: audience,
		given:    make(map[webhook.Scheme]bool),
	}
}

// Signer returns a signer for a scheme. The changes are applied to a JWT's claims
// before it is signed; other schemes ignore them.
func (k *Keys) Signer(scheme webhook.Scheme, changes ...func(claims map[string]any)) webhooktest.Signer {
	switch scheme {
	case webhook.V1a:
		return webhooktest.SignV1a(k.Ed25519)
	case webhook.JWT:
		return webhooktest.SignJWT(k.JWT, k.JWTKeyID, k.Audience, changes...)
	}
	return webhooktest.SignV1(k.Secret)
}

// useServe sets the keys that a serve accepts. A serve with --jwks-url has no private
// keys, so only the secret is set.
func (k *Keys) useServe(s *running.Serve) error {
	if err := k.useSecret(s.Secrets[0]); err != nil || s.RSA == "" {
		return err
	}
	err := errors.Join(k.useKey([]byte(s.RSA)), k.useKey([]byte(s.Ed25519)))
	k.JWTKeyID = webhooktest.RSAKeyID
	return err
}

func (k *Keys) useSecret(text string) error {
	if _, err := webhook.ParseSigningKey([]byte(text)); err != nil {
		return fmt.Errorf("signing secret: %w", err)
	}
	k.Secret, k.given[webhook.V1] = text, true
	return nil
}

// useKey sets a private key, given in PEM. An Ed25519 key signs v1a. Any key also signs
// JWTs, unless a JWT key is already set.
func (k *Keys) useKey(text []byte) error {
	block, _ := pem.Decode(bytes.TrimSpace(text))
	if block == nil {
		return errors.New("private key: not in PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return errors.New("private key: not PKCS #8; make one with `openssl genpkey -algorithm ed25519`")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return fmt.Errorf("private key: a %T cannot sign", private)
	}
	if e, ok := private.(ed25519.PrivateKey); ok {
		k.Ed25519, k.given[webhook.V1a] = e, true
	}
	if !k.given[webhook.JWT] {
		k.JWT, k.JWTKeyID, k.given[webhook.JWT] = signer, "", true
	}
	return nil
}
