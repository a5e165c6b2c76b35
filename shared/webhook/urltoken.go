package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
)

// URLTokenGate guards the URL of the dynamic endpoint. Whoever has a Gemini key can
// make Google sign a delivery to any URL, and the signature does not cover the URL: so
// the URL itself carries a secret that only those who start our jobs know. It is
// safe for concurrent use.
type URLTokenGate struct {
	Tokens Keyring[URLToken]
}

// Check returns nil if text is one of the tokens in force, and a *Refusal of kind
// ErrUnauthorized if it is not. Any other error is a fault of ours: the tokens in force
// are not known.
func (g *URLTokenGate) Check(ctx context.Context, text string) error {
	if text == "" {
		return Refuse(URLTokenMissing, "")
	}
	given := sha256.Sum256([]byte(text))
	ok, err := g.Tokens.Find(ctx, func(k URLToken) bool {
		return subtle.ConstantTimeCompare(given[:], k.digest[:]) == 1
	})
	if err == nil && !ok {
		err = Refuse(URLTokenWrong, "")
	}
	return err
}

const (
	minURLTokenLength = 16
	maxURLTokenLength = 256
)

// A URLToken is the secret part of the dynamic endpoint's URL. Only its digest is
// kept, so that all comparisons are of one length.
type URLToken struct {
	digest [sha256.Size]byte
}

// ParseURLToken reads a URL token: 16 to 256 characters out of A-Z, a-z, 0-9, "-",
// "_", "." and "~", which no part of a URL's way changes. A leading byte order mark,
// and white space around the token, are dropped. The error holds nothing of the token.
func ParseURLToken(secret []byte) (URLToken, error) {
	text := bytes.TrimSpace(withoutMark(secret))
	if len(text) < minURLTokenLength || len(text) > maxURLTokenLength {
		return URLToken{}, fmt.Errorf("not a URL token: %d characters, of %d to %d", len(text), minURLTokenLength, maxURLTokenLength)
	}
	for _, c := range text {
		if !unreserved(c) {
			return URLToken{}, errors.New(`not a URL token: a character other than A-Z a-z 0-9 "-" "_" "." "~"`)
		}
	}
	return URLToken{sha256.Sum256(text)}, nil
}

// unreserved is the set of RFC 3986, section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}
