package inspector

import (
	"context"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/geminihook/geminihook/shared/webhook"
)

// Keys are those of an endpoint, with names that tell nothing of them.
type Keys[K any] struct {
	Ring webhook.Keyring[K]
	Name func(K) string
}

// asked returns the keys for one verification, which it takes note of.
func (k *Keys[K]) asked() *askedKeys[K] { return &askedKeys[K]{keys: k} }

type askedKeys[K any] struct {
	attempt
	keys *Keys[K]
}

// An attempt is what a verification did with keys.
type attempt struct {
	wasAsked bool
	names    []string // of those that were tried
	matched  string   // the name of the one that matched; empty for none
}

// Find is that of the keys.
func (a *askedKeys[K]) Find(ctx context.Context, match func(K) bool) (bool, error) {
	a.wasAsked = true
	return a.keys.Ring.Find(ctx, func(key K) bool {
		name := a.keys.Name(key)
		if !slices.Contains(a.names, name) { // it is tried again after a refresh
			a.names = append(a.names, name)
		}
		ok := match(key)
		if ok {
			a.matched = name
		}
		return ok
	})
}

// tried lists the keys that did not match.
func (a *attempt) tried() string {
	if len(a.names) == 0 {
		return "no key at all"
	}
	return strings.Join(a.names, ", ")
}

// Versions are the values of a secret, the newest first, numbered as Secret Manager
// numbers the versions that serve adds.
func Versions[K comparable](of string, values []string, parse func([]byte) (K, error)) (*Keys[K], error) {
	names := make(map[K]string)
	var ring fixed[K]
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
	return &Keys[K]{ring, func(k K) string { return names[k] }}, nil
}

// fixed are keys that do not change.
type fixed[K any] []K

// Find implements [webhook.Keyring].
func (f fixed[K]) Find(_ context.Context, match func(K) bool) (bool, error) {
	return slices.ContainsFunc(f, match), nil
}

// PublicKeys are the keys of a key set, named by their kid, or else by the
// beginning of their SHA-256.
func PublicKeys(ring webhook.Keyring[webhook.PublicKey]) *Keys[webhook.PublicKey] {
	return &Keys[webhook.PublicKey]{ring, publicName}
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
