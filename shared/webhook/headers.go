package webhook

import (
	"fmt"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTolerance is how far a timestamp may be from now, either way: "we
	// recommend rejecting payloads older than 5 minutes" (Gemini's webhook guide;
	// the Standard Webhooks libraries use the same, in both directions).
	DefaultTolerance = 5 * time.Minute

	// RetriedFor is how long the sender repeats a delivery that gets no 2xx, as its
	// guide documents.
	RetriedFor = 24 * time.Hour

	maxIDLength = 256

	// maxEntries bounds the work that one signature header can cause. A sender
	// that rotates its key sends two.
	maxEntries = 16

	// Eleven digits reach the year 5138.
	maxTimestampDigits = 11
)

// headers are the three headers of Standard Webhooks, as received: the texts
// themselves are what is signed.
type headers struct {
	id        string
	timestamp string
	signature string
	sent      time.Time // timestamp, understood
}

func parseHeaders(h http.Header) (headers, error) {
	var (
		p   headers
		err error
	)
	if p.id, err = ID(h); err != nil {
		return headers{}, err
	}
	if p.timestamp, err = single(h, "Webhook-Timestamp"); err != nil {
		return headers{}, err
	}
	if p.sent, err = parseTimestamp(p.timestamp); err != nil {
		return headers{}, err
	}
	if p.signature, err = single(h, "Webhook-Signature"); err != nil {
		return headers{}, err
	}
	return p, nil
}

// ID returns the webhook-id of a request, genuine or not. It fails with
// ErrMalformed unless there is exactly one, of 1 to 256 printable ASCII
// characters, none of them a dot: a dot would make "id.timestamp.body"
// ambiguous, and the rest of the project counts on the bound.
func ID(h http.Header) (string, error) {
	id, err := single(h, "Webhook-Id")
	if err != nil {
		return "", err
	}
	if len(id) > maxIDLength {
		return "", fmt.Errorf("%w: webhook-id has %d characters, of at most %d", ErrMalformed, len(id), maxIDLength)
	}
	for _, c := range []byte(id) {
		if c < ' ' || c > '~' || c == '.' {
			return "", fmt.Errorf("%w: webhook-id has a character that is a dot or not printable ASCII", ErrMalformed)
		}
	}
	return id, nil
}

// single returns the one value of a header. Two values are refused: which of
// them was signed would be a guess.
func single(h http.Header, name string) (string, error) {
	values := h[name]
	switch {
	case len(values) == 0 || values[0] == "":
		return "", fmt.Errorf("%w: no %s header", ErrMalformed, strings.ToLower(name))
	case len(values) > 1:
		return "", fmt.Errorf("%w: %d %s headers", ErrMalformed, len(values), strings.ToLower(name))
	}
	return values[0], nil
}

// parseTimestamp understands Unix seconds in their one canonical form: what
// several libraries read differently must not pass.
func parseTimestamp(text string) (time.Time, error) {
	if len(text) > maxTimestampDigits || text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return time.Time{}, fmt.Errorf("%w: webhook-timestamp is not in Unix seconds", ErrMalformed)
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, fmt.Errorf("%w: webhook-timestamp is not in Unix seconds", ErrMalformed)
	}
	return time.Unix(seconds, 0), nil
}

// entries yields the signatures of one version out of a signature header: a
// list of "version,signature", separated by spaces. Other versions, and what
// has no comma, are passed over, as Standard Webhooks asks.
func (p *headers) entries(version Scheme) iter.Seq[string] {
	return func(yield func(string) bool) {
		rest := p.signature
		for range maxEntries {
			var entry string
			entry, rest, _ = strings.Cut(rest, " ")
			if v, signature, ok := strings.Cut(entry, ","); ok && v == string(version) && !yield(signature) {
				return
			}
			if rest == "" {
				return
			}
		}
	}
}

// content appends what v1 and v1a sign in front of the body.
func (p *headers) content(to []byte) []byte {
	return appendContent(to, p.id, p.timestamp)
}

func appendContent(to []byte, id, timestamp string) []byte {
	to = append(to, id...)
	to = append(to, '.')
	to = append(to, timestamp...)
	return append(to, '.')
}

// checkAge fails with ErrStale where sent is further than the tolerance from
// now. Exactly at the tolerance passes, as in the Standard Webhooks libraries.
func checkAge(what string, sent, now time.Time, tolerance time.Duration) error {
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	switch age := now.Sub(sent); {
	case age > tolerance:
		return fmt.Errorf("%w: %s is %v old", ErrStale, what, age.Truncate(time.Second))
	case age < -tolerance:
		return fmt.Errorf("%w: %s is %v ahead", ErrStale, what, sent.Sub(now).Truncate(time.Second))
	}
	return nil
}
