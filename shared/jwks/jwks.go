// Package jwks gives the sender's public keys: a JSON Web Key Set (RFC 7517),
// fetched from a pinned URL.
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

// GoogleURL is where the keys of live Gemini deliveries are (three Ed25519 keys
// without kid, as observed in August and September 2026). The documentation's prose
// links another set, of Google's sign-in certificates, which signs no delivery.
const GoogleURL = "https://generativelanguage.googleapis.com/.well-known/jwks.json"

const (
	// maxBytes bounds an answer. Three Ed25519 keys take 400 bytes.
	maxBytes = 256 << 10

	// maxKeys bounds how many keys of one algorithm are kept, the first ones, and so how
	// many one signature is verified with.
	maxKeys = 16

	// staleIfError is how long keys are used while their URL does not answer. Public keys
	// leak nothing, so a day bridges an outage as long as the sender's retries.
	staleIfError = 24 * time.Hour

	// RSA keys below 2048 bits are too weak (NIST SP 800-131A), above 8192 bits one
	// verification takes longer than it should cost an attacker to ask for.
	minRSABits = 2048
	maxRSABits = 8192
)

// ParseURL returns the URL of a key set. It fails unless that is https, or http on a
// loopback address.
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

// Open returns the keys at a URL, kept in memory under the rule of package refresh.
// The URL must come from ParseURL, and answer without a redirect. A key that
// is malformed, of an unknown kind, or meant for something else than to verify
// signatures of its kind is passed over. Nothing is fetched yet.
//
// If keys are left out because of a bound of ours, a signature by their algorithm that
// matches none of the others makes Find fail with a *webhook.CutError.
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

// transport connects anew for each fetch. Between two fetches, minutes apart, a NAT or a
// firewall may have forgotten the connection, and a fetch over it would wait in vain.
func transport() http.RoundTripper {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.DisableKeepAlives = true
	return t
}

type source struct {
	url    string
	client *http.Client
}

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
		return nil, fmt.Errorf("%s answered %s", s.url, resp.Status)
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

// Parse returns the usable keys of a set, and beside them [refresh.ErrPartial] with a
// *webhook.CutError if it left some out because of a bound of ours. A set without any is
// an error, so that the keys in memory are used on: a sender that signs has a key.
func Parse(body []byte) ([]webhook.PublicKey, error) {
	set, err := jwk.Parse(body, jwk.WithIgnoreParseError(true))
	if err != nil {
		return nil, errors.New("not a JSON Web Key Set")
	}
	var (
		keys []webhook.PublicKey
		kept = make(map[string]int) // by algorithm
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
		return nil, fmt.Errorf("no usable key among %d", set.Len())
	case len(cut.Algorithms) > 0:
		cut.Reason = fmt.Sprintf("some %s keys are left out: at most %d of one algorithm are kept, and no RSA key of more than %d bits",
			strings.Join(cut.Algorithms, ", "), maxKeys, maxRSABits)
		return keys, fmt.Errorf("%w: %w", refresh.ErrPartial, &cut)
	}
	return keys, nil
}

// publicKey returns a key of a set, and whether it can and may verify signatures.
func publicKey(published jwk.Key, ok bool) (key webhook.PublicKey, usable bool) {
	if !ok {
		return key, false
	}
	key.ID = published.KeyID()
	err := published.Raw(&key.Key)
	return key, err == nil && sound(key.Key) && meant(published, key.Algorithm())
}

// meant reports whether a key is meant to verify signatures by an algorithm, as far as it
// says so (RFC 7517, sections 4.2 to 4.4).
func meant(key jwk.Key, algorithm string) bool {
	if use := key.KeyUsage(); use != "" && use != string(jwk.ForSignature) {
		return false
	}
	if _, ok := key.Get(jwk.KeyOpsKey); ok && !slices.Contains(key.KeyOps(), jwk.KeyOpVerify) {
		return false
	}
	alg := key.Algorithm().String()
	return alg == "" || alg == algorithm || alg == "Ed25519" && algorithm == jwa.EdDSA.String() // by the name of RFC 9864
}

// tooLong reports whether a sound key is longer than we want it to be.
func tooLong(key any) bool {
	long, ok := key.(*rsa.PublicKey)
	return ok && long.N.BitLen() > maxRSABits
}

// sound reports whether a key can be verified with. jwx accepts an Ed25519 key of
// any length, with which crypto/ed25519 panics.
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
