package main

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

// keys are what a sender signs with. All of them are there: those that nobody gave
// are random, and what is signed with them must be refused.
type keys struct {
	secret   webhook.SigningKey
	ed25519  ed25519.PrivateKey
	token    crypto.Signer // of tokens
	tokenID  string        // its kid
	audience string

	given map[webhook.Scheme]bool
}

// strangerKeys returns keys that no receiver knows.
func strangerKeys(audience string) *keys {
	secret, err := webhook.ParseSigningKey([]byte(webhooktest.NewSecret()))
	if err != nil {
		panic(err) // NewSecret's are sound
	}
	_, private, _ := ed25519.GenerateKey(rand.Reader) // crypto/rand does not fail
	token, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return &keys{
		secret:   secret,
		ed25519:  private,
		token:    token,
		tokenID:  webhooktest.RSAKeyID,
		audience: audience,
		given:    make(map[webhook.Scheme]bool),
	}
}

// takeServe takes the keys of a serve.
func (k *keys) takeServe(s *running.Serve) error {
	if err := k.takeSecret(s.Secrets[0]); err != nil || s.RSA == "" {
		return err
	}
	err := errors.Join(k.takeKey([]byte(s.RSA)), k.takeKey([]byte(s.Ed25519)))
	k.tokenID = webhooktest.RSAKeyID
	return err
}

func (k *keys) takeSecret(text string) error {
	secret, err := webhook.ParseSigningKey([]byte(text))
	if err != nil {
		return fmt.Errorf("-secret: %w", err)
	}
	k.secret, k.given[webhook.V1] = secret, true
	return nil
}

// takeKey takes a private key in PEM. An Ed25519 key signs v1a, and tokens where no
// other key does.
func (k *keys) takeKey(text []byte) error {
	block, _ := pem.Decode(bytes.TrimSpace(text))
	if block == nil {
		return errors.New("-key: not in PEM")
	}
	private, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return errors.New("-key: not a private key in PKCS #8, as `openssl genpkey -algorithm ed25519` writes it")
	}
	signer, ok := private.(crypto.Signer)
	if !ok {
		return fmt.Errorf("-key: a %T signs nothing", private)
	}
	if e, ok := private.(ed25519.PrivateKey); ok {
		k.ed25519, k.given[webhook.V1a] = e, true
	}
	if !k.given[webhook.JWT] {
		k.token, k.tokenID, k.given[webhook.JWT] = signer, "", true
	}
	return nil
}
