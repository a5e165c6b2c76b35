package webhook

import (
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

	// maxV1 and maxV1a bound the signatures of one request, and so the work that one
	// forged request can cause. A sender that rotates its key sends two. A v1a
	// signature costs more: it is verified with up to 16 keys.
	maxV1  = 16
	maxV1a = 4

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
	if p.timestamp, err = single(h, "Webhook-Timestamp", TimestampMissing, TimestampRepeated); err != nil {
		return headers{}, err
	}
	if p.sent, err = parseTimestamp(p.timestamp); err != nil {
		return headers{}, err
	}
	if p.signature, err = signatureList(h); err != nil {
		return headers{}, err
	}
	return p, nil
}

// ID returns the webhook-id of a request, genuine or not. It fails with a *Refusal of
// kind ErrMalformed unless there is exactly one, of 1 to 256 printable ASCII
// characters, none of them a dot: a dot would make "id.timestamp.body"
// ambiguous, and the rest of the project counts on the bound.
func ID(h http.Header) (string, error) {
	id, err := single(h, "Webhook-Id", IDMissing, IDRepeated)
	if err != nil {
		return "", err
	}
	if len(id) > maxIDLength {
		return "", Refuse(IDMalformed, "webhook-id has %d characters, of at most %d", len(id), maxIDLength)
	}
	for _, c := range []byte(id) {
		if c < ' ' || c > '~' || c == '.' {
			return "", Refuse(IDMalformed, "webhook-id has a character that is a dot or not printable ASCII")
		}
	}
	return id, nil
}

// signatureList returns the webhook-signature header, which is a list: if it came in
// several lines, they are one list (RFC 9110, section 5.3). Nothing is guessed by
// that, because an entry counts only if it signs the one id and timestamp.
func signatureList(h http.Header) (string, error) {
	const name = "Webhook-Signature"
	list := strings.TrimSpace(strings.Join(h[name], " "))
	if len(h[name]) == 1 {
		list = h[name][0]
	}
	if list == "" {
		return "", Refuse(SignatureMissing, "no webhook-signature header")
	}
	return list, nil
}

// single returns the one value of a header. It fails for the reason missing if there is
// none or an empty one, and for the reason repeated if there are two: which of them was
// signed would be a guess.
func single(h http.Header, name string, missing, repeated Reason) (string, error) {
	values := h[name]
	switch {
	case len(values) == 0 || values[0] == "":
		return "", Refuse(missing, "no %s header", strings.ToLower(name))
	case len(values) > 1:
		return "", Refuse(repeated, "%d %s headers", len(values), strings.ToLower(name))
	}
	return values[0], nil
}

// contentEncoding returns the content-encoding header, a list like webhook-signature.
func contentEncoding(h http.Header) string {
	return strings.Join(h["Content-Encoding"], ", ")
}

// parseTimestamp understands Unix seconds in their one canonical form: what
// several libraries read differently must not pass.
func parseTimestamp(text string) (time.Time, error) {
	if len(text) > maxTimestampDigits || text[0] == '0' || strings.Trim(text, "0123456789") != "" {
		return time.Time{}, Refuse(TimestampMalformed, "webhook-timestamp is not in Unix seconds")
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return time.Time{}, Refuse(TimestampMalformed, "webhook-timestamp is not in Unix seconds")
	}
	return time.Unix(seconds, 0), nil
}

// separators stand between the entries of a signature header: spaces (Standard
// Webhooks), or a comma and optional white space if a proxy has joined two header
// lines (RFC 9110, section 5.6.1).
const separators = " ,\t"

// signatures returns those of one version out of a signature header: a list of
// "version,signature". Other versions, and an entry without a comma, are passed over,
// as Standard Webhooks asks. It fails with ErrMalformed if there are more than most. It
// reads the header once, however many entries there are.
func signatures(list string, version Scheme, most int) ([]string, error) {
	found := make([]string, 0, 2) // two during a rotation
	for next := 0; ; {
		i := strings.Index(list[next:], string(version))
		if i < 0 {
			return found, nil
		}
		start := next + i
		next = start + len(version)
		if next == len(list) || list[next] != ',' || start > 0 && !strings.Contains(separators, list[start-1:start]) {
			continue // part of another version, or of a signature
		}
		signature := list[next+1:]
		if end := strings.IndexAny(signature, separators); end >= 0 {
			signature = signature[:end]
		}
		next += 1 + len(signature)
		if len(found) == most {
			return nil, Refuse(TooManySignatures, "too many signatures: more than %d of version %s", most, version)
		}
		found = append(found, signature)
	}
}

// content appends what v1 and v1a sign in front of the body.
func (h *headers) content(to []byte) []byte {
	return appendContent(to, h.id, h.timestamp)
}

func appendContent(to []byte, id, timestamp string) []byte {
	to = append(to, id...)
	to = append(to, '.')
	to = append(to, timestamp...)
	return append(to, '.')
}

// delivery returns the delivery whose signature matched, unless its timestamp is out of
// tolerance.
func (h *headers) delivery(endpoint string, scheme Scheme, header http.Header, body []byte, tolerance time.Duration) (*Delivery, error) {
	now := time.Now()
	if err := checkAge(h.sent, now, tolerance); err != nil {
		return nil, err
	}
	return &Delivery{
		Endpoint:        endpoint,
		Scheme:          scheme,
		ID:              h.id,
		Received:        now,
		ContentType:     header.Get("Content-Type"),
		ContentEncoding: contentEncoding(header),
		Traceparent:     traceparent(header),
		Body:            body,
		Event:           ParseEvent(body),
	}, nil
}

// checkAge fails with ErrStale if sent is further than the tolerance from
// now. Exactly at the tolerance passes, as in the Standard Webhooks libraries.
func checkAge(sent, now time.Time, tolerance time.Duration) error {
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	switch age := now.Sub(sent); {
	case age > tolerance:
		return Refuse(TimestampOld, "webhook-timestamp is %v old by our clock", age.Truncate(time.Second))
	case age < -tolerance:
		return Refuse(TimestampAhead, "webhook-timestamp is %v ahead of our clock", sent.Sub(now).Truncate(time.Second))
	}
	return nil
}
