package webhook

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
)

// URLTokenGate checks the token in the URL of the dynamic endpoint. Anyone with a
// Gemini API key can make Google sign a delivery to any URL, and the signature does
// not cover the URL. The URL therefore contains a secret that only those who start
// our jobs know. It is safe for concurrent use.
type URLTokenGate struct {
	Tokens Keyring[URLToken] // the current tokens; required
}

// Check returns nil if text is one of the current tokens, and a *Refusal of kind
// ErrUnauthorized if it is empty or another text. text is the value of the URL's query
// parameter token; it is empty if the parameter is absent. Any other error is a failure
// of ours: the current tokens are not known.
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

// The bounds of a token's length, in characters: 16 random characters of this alphabet
// have 96 bits, too many to guess, and 256 keep the URL short.
const (
	minURLTokenLength = 16
	maxURLTokenLength = 256
)

// A URLToken is a token of the dynamic endpoint's URL, made by [ParseURLToken]. It
// holds only the token's SHA-256 digest, so that all comparisons have the same
// length.
type URLToken struct {
	digest [sha256.Size]byte
}

// ParseURLToken parses a URL token: 16 to 256 of the characters A-Z, a-z, 0-9, "-",
// "_", "." and "~", which never need escaping in a URL. It ignores a leading byte
// order mark and surrounding white space. The error does not contain the token.
func ParseURLToken(secret []byte) (URLToken, error) {
	text := bytes.TrimSpace(withoutMark(secret))
	if len(text) < minURLTokenLength || len(text) > maxURLTokenLength {
		return URLToken{}, fmt.Errorf("not a URL token: %d characters, want %d to %d", len(text), minURLTokenLength, maxURLTokenLength)
	}
	for _, c := range text {
		if !unreserved(c) {
			return URLToken{}, errors.New(`not a URL token: a character other than A-Z a-z 0-9 "-" "_" "." "~"`)
		}
	}
	return URLToken{sha256.Sum256(text)}, nil
}

// unreserved reports whether c is an unreserved character of RFC 3986, section 2.3.
func unreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		c == '-' || c == '_' || c == '.' || c == '~'
}
