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

// headers are the three webhook headers of a delivery, found under any of their names
// and without white space around them.
type headers struct {
	id        string
	timestamp string // as received, because it is signed
	signature string

	rawID, rawTimestamp string // with the white space around them

	sent    time.Time // zero if the timestamp is malformed
	seconds string    // a timestamp in milliseconds, in seconds; else empty
}

// http returns the headers under their standard names.
func (h *headers) http() http.Header {
	return http.Header{"Webhook-Id": {h.id}, "Webhook-Timestamp": {h.timestamp}, "Webhook-Signature": {h.signature}}
}

// entries returns the signatures. It removes a comma after one, which a proxy adds if
// it joins two header lines.
func (h *headers) entries() []string {
	entries := strings.FieldsFunc(h.signature, func(r rune) bool { return r == ' ' || r == '\t' })
	for i := range entries {
		entries[i] = strings.TrimRight(entries[i], ",")
	}
	return entries
}

// isJWT reports whether the signature is a JSON Web Token.
func (h *headers) isJWT() bool { return webhook.IsJWT(h.signature) }

// headers checks each header by itself.
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

// trimmed returns a header's value without white space around it, and with it. HTTP
// removes only ASCII spaces and tabs; other white space is reported.
func (x *examination) trimmed(name string) (value, raw string) {
	raw = x.single(name)
	value = strings.TrimFunc(raw, invisible)
	if value != strings.Trim(raw, " \t") {
		x.find(finding{HeaderSpace, name + " has non-ASCII white space around its value, for example a no-break space",
			"find where it is added, for example by pasting: HTTP removes only spaces and tabs, so other white space is part of the value"},
			name, "present, with non-ASCII white space around its value")
	}
	return value, raw
}

// invisible reports whether a character is white space or has no width. A byte that is
// not UTF-8 counts too, because it may be the no-break space of Latin-1.
func invisible(r rune) bool {
	return unicode.IsSpace(r) || unicode.Is(unicode.Cf, r) || r == utf8.RuneError
}

// single returns a header's value, or "" if it is missing. It reports a header that is
// missing, has another name, or is duplicate.
func (x *examination) single(name string) string {
	values, called := x.capture.Header[http.CanonicalHeaderKey(name)], name
	if len(values) == 0 {
		called, values = x.renamed(name)
	}
	switch {
	case len(values) == 0 || values[0] == "":
		x.find(finding{HeaderMissing, "there is no " + name + " header", "configure every proxy in between to forward the three webhook-* headers"}, name, "missing")
		return ""
	case called != name:
		x.find(finding{HeaderRenamed, fmt.Sprintf("the %s header is named %s", name, printable(called)),
			"send or forward it as " + name + ": the functions read no other name, neither those of other senders nor of CGI"}, name, "missing, but %s is present", printable(called))
	case len(values) > 1 && name == "webhook-signature": // a list, which several header lines may hold
		return strings.Join(values, " ")
	case len(values) > 1:
		x.find(finding{HeaderDuplicated, fmt.Sprintf("there are %d %s headers", len(values), name), "remove the duplicate: a proxy that copies headers, or a second signer, may add it"},
			name, "%d headers, %s", len(values), alike(values))
	}
	return values[0]
}

func alike(values []string) string {
	if len(slices.Compact(slices.Clone(values))) == 1 {
		return "all with the same value"
	}
	return "with different values; explain uses the first"
}

// renamed returns a header's other name and its values, for example svix-id for
// webhook-id. It returns "" if there is no such header.
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

// letters returns the letters of a name, in lower case.
func letters(name string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, name)
}

// shape describes the signature header without its signatures: the schemes in it.
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

// The bounds of a timestamp that is taken for milliseconds since 1970.
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
		x.find(finding{Milliseconds, "webhook-timestamp is in milliseconds", "send and sign whole seconds: Math.floor(Date.now() / 1000) in JavaScript"},
			"webhook-timestamp", "%s is in milliseconds, want seconds", text)
	case verified.Reason() == webhook.TimestampMalformed:
		x.find(finding{HeaderMalformed, "webhook-timestamp is not in Unix seconds", "send whole seconds since 1970, in digits only"},
			"webhook-timestamp", "%s is not in Unix seconds", printable(text))
	default:
		x.header.sent = time.Unix(n, 0)
		x.say(Pass, "webhook-timestamp", "%s", text)
	}
}

// printable returns text from a request, shortened and without control characters,
// which a terminal would obey.
func printable(text string) string {
	const most = 200
	if len(text) > most {
		text = text[:most] + "…"
	}
	return messages.Printable(text)
}
