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

// Keys are what a sender signs with. All are set: those that were not given are
// random, so that a receiver must refuse what they sign.
type Keys struct {
	Secret   string // whsec_…
	Ed25519  ed25519.PrivateKey
	JWT      crypto.Signer // signs JWTs
	JWTKeyID string        // its kid
	Audience string

	given map[webhook.Scheme]bool
}

// Strangers returns keys that no receiver knows.
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

// Signer returns a signer of a scheme, with changes to the claims of a JWT.
func (k *Keys) Signer(scheme webhook.Scheme, changes ...func(claims map[string]any)) webhooktest.Signer {
	switch scheme {
	case webhook.V1a:
		return webhooktest.SignV1a(k.Ed25519)
	case webhook.JWT:
		return webhooktest.SignJWT(k.JWT, k.JWTKeyID, k.Audience, changes...)
	}
	return webhooktest.SignV1(k.Secret)
}

// useServe sets the keys of a serve.
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

// useKey sets a private key, which is in PEM. An Ed25519 key signs v1a, and JWTs if no
// other key does.
func (k *Keys) useKey(text []byte) error {
	block, _ := pem.Decode(bytes.TrimSpace(text))
	if block == nil {
		return errors.New("private key: not in PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return errors.New("private key: not a private key in PKCS #8, as `openssl genpkey -algorithm ed25519` writes it")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return fmt.Errorf("private key: a %T signs nothing", private)
	}
	if e, ok := private.(ed25519.PrivateKey); ok {
		k.Ed25519, k.given[webhook.V1a] = e, true
	}
	if !k.given[webhook.JWT] {
		k.JWT, k.JWTKeyID, k.given[webhook.JWT] = signer, "", true
	}
	return nil
}
