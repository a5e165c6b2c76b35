package webhook

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// DefaultTolerance is the maximum difference between a timestamp and the current
	// time, in either direction. Gemini's webhook guide: "we recommend rejecting
	// payloads older than 5 minutes". The Standard Webhooks libraries use the same
	// value in both directions.
	DefaultTolerance = 5 * time.Minute

	// RetriedFor is the time for which Gemini retries a delivery that gets no 2xx
	// answer, according to its webhook guide.
	RetriedFor = 24 * time.Hour

	// maxIDLength is the maximum length of a webhook-id, in characters. Gemini's ids
	// have 40.
	maxIDLength = 256

	// maxV1 and maxV1a are the maximum numbers of signatures in one request. They
	// limit the work for a forged request. During a rotation the sender sends two. A
	// v1a signature costs more than a v1 signature, because Ed25519 verifies it with
	// up to 16 keys.
	maxV1  = 16
	maxV1a = 4

	// maxTimestampDigits allows timestamps up to the year 5138.
	maxTimestampDigits = 11
)

// headers are the three headers of Standard Webhooks, unmodified: the signature
// covers the texts as received.
type headers struct {
	id        string
	timestamp string
	signature string
	sent      time.Time // timestamp, parsed
}

// parseHeaders returns the three headers. It fails with a *Refusal of kind
// ErrMalformed.
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

// ID returns the webhook-id header of a request, which may be forged. It fails with a
// *Refusal of kind ErrMalformed unless there is exactly one, of 1 to 256 printable
// ASCII characters without a dot. A dot would make "id.timestamp.body" ambiguous, and
// the rest of the project relies on the maximum length.
func ID(h http.Header) (string, error) {
	id, err := single(h, "Webhook-Id", IDMissing, IDRepeated)
	if err != nil {
		return "", err
	}
	if len(id) > maxIDLength {
		return "", Refuse(IDMalformed, "webhook-id has %d characters, more than the maximum of %d", len(id), maxIDLength)
	}
	for _, c := range []byte(id) {
		if c < ' ' || c > '~' || c == '.' {
			return "", Refuse(IDMalformed, "webhook-id has a character that is a dot or not printable ASCII")
		}
	}
	return id, nil
}

// signatureList returns the webhook-signature header, a list. If the header is
// repeated, the lines are joined to one list (RFC 9110, section 5.3). This is safe
// because an entry is accepted only if it signs the one id and timestamp.
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

// single returns the value of a header that must not be repeated. It fails with
// reason missing if the header is missing or empty, and with reason repeated if there
// are several: it is not known which of them was signed.
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

// contentEncoding returns the content-encoding header. If the header is repeated, the
// lines are joined to one list.
func contentEncoding(h http.Header) string {
	return strings.Join(h["Content-Encoding"], ", ")
}

// parseTimestamp parses Unix seconds in their canonical form. It rejects other forms,
// for example a leading zero or sign, because libraries interpret them differently.
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

// separators are the characters between the entries of a signature header: a space
// (Standard Webhooks), or a comma and optional white space, which a proxy inserts
// when it joins two header lines (RFC 9110, section 5.6.1).
const separators = " ,\t"

// signatures returns the signatures of one version from a list of "version,signature"
// entries. It skips other versions, and entries without a comma, as Standard Webhooks
// requires. It fails with ErrMalformed if there are more than most. It scans the list
// once, so its time is linear in the length of the list.
func signatures(list string, version Scheme, most int) ([]string, error) {
	found := make([]string, 0, 2) // there are two during a rotation
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

// content is appendContent for h.
func (h *headers) content(to []byte) []byte {
	return appendContent(to, h.id, h.timestamp)
}

// appendContent appends "id.timestamp.", the signed content that precedes the body.
func appendContent(to []byte, id, timestamp string) []byte {
	to = append(to, id...)
	to = append(to, '.')
	to = append(to, timestamp...)
	return append(to, '.')
}

// delivery returns the Delivery of a request with a valid signature. It fails with
// ErrStale if the timestamp is outside the tolerance.
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

// checkAge fails with ErrStale if sent and now differ by more than the tolerance. A
// difference of exactly the tolerance is accepted, as in the Standard Webhooks
// libraries. Zero means DefaultTolerance.
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
