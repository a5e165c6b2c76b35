package explain

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/geminihook/geminihook/scripts/internal/messages"
	"github.com/geminihook/geminihook/shared/webhook"
)

// headers are the three of a delivery, with what can be put right about them put
// right.
type headers struct {
	id        string
	timestamp string // as received: it is what is signed
	signature string

	rawID, rawTimestamp string // with the white space that was taken off

	sent    time.Time // zero if the timestamp cannot be read
	seconds string    // timestamp, if that is in milliseconds
}

// http is the headers as a verifier wants them.
func (h *headers) http() http.Header {
	return http.Header{"Webhook-Id": {h.id}, "Webhook-Timestamp": {h.timestamp}, "Webhook-Signature": {h.signature}}
}

// entries are the signatures. A comma after one is of a proxy that joined two lines.
func (h *headers) entries() []string {
	entries := strings.FieldsFunc(h.signature, func(r rune) bool { return r == ' ' || r == '\t' })
	for i := range entries {
		entries[i] = strings.TrimRight(entries[i], ",")
	}
	return entries
}

// isJWT reports whether the signature is a JSON Web Token.
func (h *headers) isJWT() bool { return webhook.IsJWT(h.signature) }

// headers looks at each header by itself.
func (x *examination) headers() {
	if x.header.id, x.header.rawID = x.trimmed("webhook-id"); x.header.id != "" {
		x.id()
	}
	if x.header.timestamp, x.header.rawTimestamp = x.trimmed("webhook-timestamp"); x.header.timestamp != "" {
		x.timestamp()
	}
	if x.header.signature, _ = x.trimmed("webhook-signature"); x.header.signature != "" {
		x.say(Pass, "webhook-signature", "%s", x.header.shape())
	}
}

// trimmed returns a header's value without the white space around it that HTTP does not
// take off, and with it.
func (x *examination) trimmed(name string) (value, raw string) {
	raw = x.single(name)
	value = strings.TrimFunc(raw, invisible)
	if value != strings.Trim(raw, " \t") {
		x.find(finding{HeaderSpace, name + " has white space around it that is not ASCII's, for example a no-break space",
			"find where it was pasted or padded: HTTP takes off spaces and tabs only, and the rest is part of the value"},
			name, "there, with white space around it that is not ASCII's")
	}
	return value, raw
}

// invisible reports whether a character is white space or has no width. A byte that is
// no UTF-8 is one of Latin-1, whose no-break space is meant.
func invisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError
}

// single returns a header's value, empty where there is none.
func (x *examination) single(name string) string {
	values, called := x.capture.Header[http.CanonicalHeaderKey(name)], name
	if len(values) == 0 {
		called, values = x.renamed(name)
	}
	switch {
	case len(values) == 0 || values[0] == "":
		x.find(finding{HeaderMissing, "there is no " + name, "have every proxy on the way pass the three webhook-* headers on"}, name, "not there")
		return ""
	case called != name:
		x.find(finding{HeaderRenamed, fmt.Sprintf("%s comes as %s", name, printable(called)),
			"send or pass it on as " + name + ": neither other senders' names nor a CGI's are read"}, name, "not there, but %s is", printable(called))
	case len(values) > 1 && name == "webhook-signature": // a list, which may come in several lines
		return strings.Join(values, " ")
	case len(values) > 1:
		x.find(finding{HeaderDuplicated, fmt.Sprintf("there are %d %s headers", len(values), name), "find what adds one: a proxy that copies headers, or a second signer"},
			name, "%d of them, %s", len(values), alike(values))
	}
	return values[0]
}

func alike(values []string) string {
	if len(slices.Compact(slices.Clone(values))) == 1 {
		return "all the same"
	}
	return "with different values; the first is looked at"
}

// renamed returns a header that means the same under another name.
func (x *examination) renamed(name string) (called string, values []string) {
	wanted := letters(strings.TrimPrefix(name, "webhook-"))
	for other, values := range x.capture.Header {
		have := letters(other)
		if strings.HasSuffix(have, "webhook"+wanted) || strings.HasSuffix(have, "svix"+wanted) {
			return strings.ToLower(other), values
		}
	}
	return "", nil
}

// letters are those of a name, in lower case.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// shape says what the signature header holds, and nothing of the signatures.
func (h *headers) shape() string {
	if h.isJWT() {
		return "a JSON Web Token"
	}
	var versions []string
	for _, entry := range h.entries() {
		version, _, ok := strings.Cut(entry, ",")
		if !ok || len(version) > 4 {
			version = "no version"
		}
		versions = append(versions, printable(version))
	}
	return strings.Join(versions, ", ")
}

func (x *examination) id() {
	if _, err := webhook.ID(x.header.http()); err != nil {
		x.find(finding{HeaderMalformed, webhook.AsRefusal(err).Detail, "send an id of 1 to 256 printable ASCII characters, none of them a dot"}, "webhook-id", "%s", err)
		return
	}
	x.say(Pass, "webhook-id", "%s", x.header.id)
}

const (
	minMilliseconds = 1_000_000_000_000  // 2001
	maxMilliseconds = 10_000_000_000_000 // 2286
)

func (x *examination) timestamp() {
	text := x.header.timestamp
	n, err := strconv.ParseInt(text, 10, 64)
	alone := headers{id: "x", timestamp: text, signature: "x"}
	verified := x.verify(alone.http(), nil, anyAge)
	switch {
	case err == nil && n >= minMilliseconds && n < maxMilliseconds:
		x.header.sent, x.header.seconds = time.UnixMilli(n), strconv.FormatInt(n/1000, 10)
		x.find(finding{Milliseconds, "webhook-timestamp is in milliseconds", "send, and sign, whole seconds: Math.floor(Date.now() / 1000) in JavaScript"},
			"webhook-timestamp", "%s is in milliseconds, not in seconds", text)
	case verified.Reason() == webhook.TimestampMalformed:
		x.find(finding{HeaderMalformed, "webhook-timestamp is not in Unix seconds", "send whole seconds since 1970, digits only"},
			"webhook-timestamp", "%s is not in Unix seconds", printable(text))
	default:
		x.header.sent = time.Unix(n, 0)
		x.say(Pass, "webhook-timestamp", "%s", text)
	}
}

// printable shortens text that a request brings, and makes it safe for a terminal.
func printable(text string) string {
	const most = 200
	if len(text) > most {
		text = text[:most] + "…"
	}
	return messages.Printable(text)
}
