package webhooktest

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/lestrrat-go/jwx/v2/jwk"
)

// RSAKeyID is the kid of a KeySet's RSA key.
const RSAKeyID = "rsa-1"

// A KeySet imitates the key set that Google publishes: three Ed25519 keys without
// kid, as observed, and an RSA key with a kid, as documented. As an http.Handler it
// serves the public keys. It is safe for concurrent use.
type KeySet struct {
	mu      sync.Mutex
	ed25519 [3]ed25519.PrivateKey
	rsa     *rsa.PrivateKey // nil until first use, because generating one is slow
	fetches atomic.Int64
}

// NewKeySet returns a set of newly generated keys.
func NewKeySet() *KeySet {
	k := new(KeySet)
	k.Rotate()
	return k
}

// Rotate replaces all keys by newly generated ones.
func (k *KeySet) Rotate() {
	var fresh [3]ed25519.PrivateKey
	for i := range fresh {
		_, fresh[i], _ = ed25519.GenerateKey(rand.Reader)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.ed25519, k.rsa = fresh, nil
}

// Ed25519 returns one of the three keys for v1a. i is 0, 1 or 2.
func (k *KeySet) Ed25519(i int) ed25519.PrivateKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.ed25519[i]
}

// RSA returns the key for JWTs. The first call after a rotation generates it.
func (k *KeySet) RSA() *rsa.PrivateKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.rsa == nil {
		key, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err) // crypto/rand does not fail
		}
		k.rsa = key
	}
	return k.rsa
}

// Fetches returns the number of requests that ServeHTTP has served.
func (k *KeySet) Fetches() int { return int(k.fetches.Load()) }

// ServeHTTP serves the public keys as a JSON Web Key Set.
func (k *KeySet) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	k.fetches.Add(1)
	set := jwk.NewSet()
	for i := range k.ed25519 {
		_ = set.AddKey(public(k.Ed25519(i).Public(), ""))
	}
	_ = set.AddKey(public(k.RSA().Public(), RSAKeyID))
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(set)
}

// public returns the public key as a JSON Web Key for signatures. An empty kid is
// omitted.
func public(key any, kid string) jwk.Key {
	k, err := jwk.FromRaw(key)
	if err != nil {
		panic(err) // jwx supports both types
	}
	_ = k.Set(jwk.KeyUsageKey, jwk.ForSignature)
	if kid != "" {
		_ = k.Set(jwk.KeyIDKey, kid)
	}
	return k
}
