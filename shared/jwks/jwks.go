// Package jwks provides the sender's public keys: a JSON Web Key Set (RFC 7517) at a
// configured URL.
package jwks

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jwk"

	"github.com/geminihook/geminihook/shared/loopback"
	"github.com/geminihook/geminihook/shared/refresh"
	"github.com/geminihook/geminihook/shared/webhook"
)

// GoogleURL is the key set of live Gemini deliveries. It has three Ed25519 keys
// without kid, as observed in August and September 2026. The documentation's text
// links another set, of Google's sign-in certificates, which sign no deliveries.
const GoogleURL = "https://generativelanguage.googleapis.com/.well-known/jwks.json"

const (
	// maxBytes is the maximum size of a response, in bytes. Three Ed25519 keys take
	// 400 bytes.
	maxBytes = 256 << 10

	// maxKeys is the maximum number of keys for one algorithm; later keys are left
	// out. It limits the work of verifying one signature.
	maxKeys = 16

	// staleIfError is the time for which keys are used while their URL is
	// unavailable. Public keys are not secret, so a day is safe. It is also the time
	// for which the sender retries.
	staleIfError = 24 * time.Hour

	// RSA keys of less than 2048 bits are too weak (NIST SP 800-131A). With more than
	// 8192 bits one verification costs so much that forged requests could exhaust the
	// CPU.
	minRSABits = 2048
	maxRSABits = 8192
)

// ParseURL parses the URL of a key set. It fails unless the scheme is https, or http
// with a loopback host.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return nil, errors.New("key set URL: not a URL")
	}
	if u.Scheme != "https" && !(u.Scheme == "http" && loopback.Is(u.Hostname())) {
		return nil, errors.New("key set URL: not https")
	}
	return u, nil
}

// Open returns a cache of the keys at url, which must come from ParseURL. The URL
// must respond without a redirect. Open makes no request; the cache fetches the keys
// on first use.
//
// If the URL is unavailable, the keys are used for 24 hours. A response of more than 256
// KiB is a failure.
//
// A key is skipped if it is malformed, of an unsupported type, an RSA key of less than
// 2048 bits, or not meant for verifying signatures of its type. Keys are left out
// because of a limit if there are more than 16 for one algorithm, or if an RSA key has
// more than 8192 bits. If keys were left out because of a limit, and no other key
// matches, Find fails with a *webhook.CutError, which lists the algorithms of these
// keys.
func Open(url *url.URL, log *slog.Logger) *refresh.Cache[webhook.PublicKey] {
	s := source{
		url: url.String(),
		client: &http.Client{
			Transport: transport(),
			CheckRedirect: func(*http.Request, []*http.Request) error {
				return http.ErrUseLastResponse
			},
		},
	}
	return &refresh.Cache[webhook.PublicKey]{Name: "signing keys", Fetch: s.fetch, StaleIfError: staleIfError, Log: log}
}

// transport returns a transport that opens a new connection for each fetch. Fetches
// are minutes apart, so a NAT or a firewall may have dropped an idle connection
// without notice, and a fetch on it would time out.
func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return t
}

// source fetches a key set.
type source struct {
	url    string
	client *http.Client
}

// fetch returns the usable keys of the set, in the order of the set. It fails unless
// the status is 200 and the body is at most maxBytes.
func (s *source) fetch(ctx context.Context) ([]webhook.PublicKey, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url, nil)
	if err != nil {
		return nil, err
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s responded with status %s", s.url, resp.Status)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, resp.Body, maxBytes))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", s.url, err)
	}
	keys, err := Parse(body)
	if err != nil {
		err = fmt.Errorf("%s: %w", s.url, err)
	}
	return keys, err
}

// Parse returns the usable keys of a set. If a limit made it leave out some, it also
// returns an error that wraps refresh.ErrPartial and a *webhook.CutError. It fails if a
// set has no usable key. The cache then keeps the keys in memory: a set without keys is
// more likely a mistake than the withdrawal of all keys.
func Parse(body []byte) ([]webhook.PublicKey, error) {
	set, err := jwk.Parse(body, jwk.WithIgnoreParseError(true))
	if err != nil {
		return nil, errors.New("not a JSON Web Key Set")
	}
	var (
		keys []webhook.PublicKey
		kept = make(map[string]int) // number of keys by algorithm
		cut  webhook.CutError
	)
	for i := range set.Len() {
		key, ok := publicKey(set.Key(i))
		if !ok {
			continue
		}
		algorithm := key.Algorithm()
		switch {
		case kept[algorithm] < maxKeys && !tooLong(key.Key):
			kept[algorithm]++
			keys = append(keys, key)
		case !slices.Contains(cut.Algorithms, algorithm):
			cut.Algorithms = append(cut.Algorithms, algorithm)
		}
	}
	switch {
	case len(keys) == 0:
		return nil, fmt.Errorf("no usable key in a set of %d", set.Len())
	case len(cut.Algorithms) > 0:
		cut.Reason = fmt.Sprintf("some %s keys are left out: the maximum is %d keys per algorithm, and %d bits for an RSA key",
			strings.Join(cut.Algorithms, ", "), maxKeys, maxRSABits)
		return keys, fmt.Errorf("%w: %w", refresh.ErrPartial, &cut)
	}
	return keys, nil
}

// publicKey converts a key of a set, and reports whether it may be used for verifying
// signatures. ok is the second result of jwk.Set.Key.
func publicKey(published jwk.Key, ok bool) (key webhook.PublicKey, usable bool) {
	if !ok {
		return key, false
	}
	key.ID = published.KeyID()
	err := published.Raw(&key.Key)
	return key, err == nil && sound(key.Key) && meant(published, key.Algorithm())
}

// meant reports whether the key's use, key_ops and alg allow verifying signatures by
// algorithm (RFC 7517, sections 4.2 to 4.4). A missing parameter allows it.
func meant(key jwk.Key, algorithm string) bool {
	if use := key.KeyUsage(); use != "" && use != string(jwk.ForSignature) {
		return false
	}
	if _, ok := key.Get(jwk.KeyOpsKey); ok && !slices.Contains(key.KeyOps(), jwk.KeyOpVerify) {
		return false
	}
	alg := key.Algorithm().String()
	return alg == "" || alg == algorithm || alg == "Ed25519" && algorithm == jwa.EdDSA.String() // the name of RFC 9864
}

// tooLong reports whether key is an RSA key of more than maxRSABits.
func tooLong(key any) bool {
	long, ok := key.(*rsa.PublicKey)
	return ok && long.N.BitLen() > maxRSABits
}

// sound reports whether a key is safe to verify with. jwx accepts Ed25519 keys of any
// length, but crypto/ed25519 panics unless the length is right.
func sound(key any) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return len(key) == ed25519.PublicKeySize && !smallOrder(key)
	case *rsa.PublicKey:
		return key.N.BitLen() >= minRSABits && key.E >= 3 && key.E&1 == 1
	case *ecdsa.PublicKey:
		if key.Curve != elliptic.P256() {
			return false
		}
		_, err := key.ECDH() // fails for a point that is not on the curve
		return err == nil
	}
	return false
}
