package inspector

import (
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/geminihook/geminihook/scripts/internal/reverify"
	"github.com/geminihook/geminihook/shared/webhook"
)

// Keys are those of an endpoint, with names that tell nothing of them.
type Keys[K any] struct {
	reverify.Keys[K]
	values []string // that they were made of, the newest first; nil for public keys
}

// keyNames lists the keys that did not match.
func keyNames(tried []string) string {
	if len(tried) == 0 {
		return "no key at all"
	}
	return strings.Join(tried, ", ")
}

// Versions are the values of a secret, the newest first, numbered as Secret Manager
// numbers the versions that serve adds.
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

// PublicKeys are the keys of a key set, named by their kid, or else by the
// beginning of their SHA-256.
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
	der, _ := x509.MarshalPKIXPublicKey(k.Key) // every kind that a set may hold is known to it
	sum := sha256.Sum256(der)
	return kind + " " + hex.EncodeToString(sum[:4])
}
