package inspector

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"

	"github.com/geminihook/geminihook/scripts/internal/reverify"
	"github.com/geminihook/geminihook/shared/webhook"
)

// Keys are the keys of an endpoint. Each has a name to show, which does not reveal the
// key.
type Keys[K any] struct {
	reverify.Keys[K]
	values []string // the secret's texts, newest first; nil for public keys
}

// keyNames returns the names of the keys that were tried, as text.
func keyNames(tried []string) string {
	if len(tried) == 0 {
		return "no key at all"
	}
	return strings.Join(tried, ", ")
}

// Versions parses the values of a secret, newest first, and returns them as keys named
// "version N of the …". The numbers are those of the versions that serve adds to Secret
// Manager. It fails if a value does not parse.
func Versions[K comparable](of string, values []string, parse func([]byte) (K, error)) (*Keys[K], error) {
	names := make(map[K]string)
	var ring reverify.Fixed[K]
	for i, value := range values {
		key, err := parse([]byte(value))
		if err != nil {
			return nil, err
		}
		name := fmt.Sprintf("version %d of the %s", len(values)-i, of)
		if _, twice := names[key]; !twice {
			names[key] = name
		}
		ring = append(ring, key)
	}
	return &Keys[K]{reverify.Keys[K]{Ring: ring, Name: func(k K) string { return names[k] }}, values}, nil
}

// A Stored ring reads the enabled versions of a signing secret each time that a
// delivery is checked. It is safe for concurrent use.
type Stored struct {
	// List returns the numbers and the texts of the enabled versions, newest first.
	List func(context.Context) (numbers, texts []string, err error)

	mu    sync.Mutex
	keys  map[string]webhook.SigningKey // by text
	names map[webhook.SigningKey]string
}

// Find implements [webhook.Keyring].
func (s *Stored) Find(ctx context.Context, match func(webhook.SigningKey) bool) (bool, error) {
	numbers, texts, err := s.List(ctx)
	if err != nil {
		return false, err
	}
	var ring reverify.Fixed[webhook.SigningKey]
	for i, text := range texts {
		if key, err := s.key(numbers[i], text); err == nil { // the function skips invalid versions, too
			ring = append(ring, key)
		}
	}
	return ring.Find(ctx, match)
}

// key returns the key of a version. It parses each text only once.
func (s *Stored) key(number, text string) (webhook.SigningKey, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key, ok := s.keys[text]
	if ok {
		return key, nil
	}
	key, err := webhook.ParseSigningKey([]byte(text))
	if err != nil {
		return key, err
	}
	if s.keys == nil {
		s.keys, s.names = make(map[string]webhook.SigningKey), make(map[webhook.SigningKey]string)
	}
	s.keys[text], s.names[key] = key, "version "+number+" of the signing secret"
	return key, nil
}

// Name returns the name of a key that Find has passed to match.
func (s *Stored) Name(key webhook.SigningKey) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names[key]
}

// PublicKeys returns the keys of a key set. A key is named by its kid. A key without a
// kid is named by the first 4 bytes of its SHA-256.
func PublicKeys(ring webhook.Keyring[webhook.PublicKey]) *Keys[webhook.PublicKey] {
	return &Keys[webhook.PublicKey]{Keys: reverify.Keys[webhook.PublicKey]{Ring: ring, Name: publicName}}
}

func publicName(k webhook.PublicKey) string {
	kind := "EC key"
	switch k.Key.(type) {
	case ed25519.PublicKey:
		kind = "Ed25519 key"
	case *rsa.PublicKey:
		kind = "RSA key"
	}
	if k.ID != "" {
		return kind + " " + shorten(k.ID, 40)
	}
	der, _ := x509.MarshalPKIXPublicKey(k.Key) // supports every kind of key in a key set
	sum := sha256.Sum256(der)
	return kind + " " + hex.EncodeToString(sum[:4])
}
