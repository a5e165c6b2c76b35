package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"iter"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

const (
	// maxRewritten bounds the length, in bytes, of a body that is encoded again: search
	// tries hundreds of encodings. Gemini's bodies are shorter than 1 KiB.
	maxRewritten = 128 << 10

	// maxDepth bounds the nesting of such a body. Gemini's bodies have two levels.
	maxDepth = 32
)

// A rewriting is a guess at the body that was signed.
type rewriting struct {
	how  string // how it differs from the captured body; empty if it does not
	body []byte

	finding finding // reported if this body was signed; zero means a Rewritten finding
}

// rewritings yields guesses at the body that was signed, the simplest first. parsed is
// the body's value if the capture has only that, else nil.
func rewritings(body []byte, parsed any) iter.Seq[rewriting] {
	return func(yield func(rewriting) bool) {
		for _, r := range slices.Concat(textual(body), packed(body)) {
			if !yield(r) {
				return
			}
		}
		value, ok := parsed, len(body) <= maxRewritten
		if parsed == nil {
			value, ok = parse(body)
		}
		if !ok {
			return
		}
		for _, order := range orders {
			for _, layout := range layouts {
				for _, escape := range escapes {
					text := spell(value, writer{layout: layout, escaping: escape, compare: order.compare})
					if !yieldEnds(yield, join(layout.how, order.how, escape.how), string(text)) {
						return
					}
				}
			}
		}
	}
}

// yieldEnds yields a text with LF and CRLF line ends, with and without a last one.
func yieldEnds(yield func(rewriting) bool, how, text string) bool {
	windows := strings.ReplaceAll(text, "\n", "\r\n")
	return yield(rewriting{how: how, body: []byte(text)}) &&
		yield(rewriting{how: how + ", with a newline at its end", body: []byte(text + "\n")}) &&
		yield(rewriting{how: how + `, with \r\n line ends`, body: []byte(windows)}) &&
		yield(rewriting{how: how + `, with \r\n line ends and one at its end`, body: []byte(windows + "\r\n")})
}

// textual returns the guesses that do not encode the JSON again.
func textual(body []byte) []rewriting {
	unix := bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
	all := []rewriting{
		{how: "", body: body},
		{how: "without the newline at its end", body: bytes.TrimRight(body, "\r\n")},
		{how: "with a newline at its end", body: append(bytes.Clone(body), '\n')},
		{how: `with \r\n at its end`, body: append(bytes.Clone(body), "\r\n"...)},
		{how: `with \n instead of \r\n`, body: unix},
		{how: `with \n instead of \r\n, and none at its end`, body: bytes.TrimRight(unix, "\n")},
		{how: `with \r\n instead of \n`, body: bytes.ReplaceAll(unix, []byte("\n"), []byte("\r\n"))},
		{how: "without the byte order mark", body: bytes.TrimPrefix(body, []byte("\ufeff"))},
		{how: "without the white space around it", body: bytes.TrimSpace(body)},
	}
	if raw, err := base64.StdEncoding.DecodeString(string(body)); err == nil {
		all = append(all, rewriting{how: "decoded from base64", body: raw})
	}
	var text string
	if json.Unmarshal(body, &text) == nil {
		all = append(all, rewriting{how: "decoded from a JSON string", body: []byte(text)})
	}
	return all
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ", ")
}

// A member is a member of a JSON object. A slice of members keeps their order.
type member struct {
	name  string
	value any
}

// parse parses a body that is one JSON value, and keeps the numbers' text. ok is false
// if the body is not JSON, or exceeds maxRewritten or maxDepth.
func parse(body []byte) (value any, ok bool) {
	if len(body) > maxRewritten || !json.Valid(body) {
		return nil, false
	}
	l := &literal{text: body, most: maxDepth, plain: true}
	value, err := l.value(0)
	return value, err == nil
}

// orders are the orders of an object's members that are tried.
var orders = []struct {
	how     string
	compare func(a, b member) int // nil: the captured order
}{
	{"", nil},
	{"with sorted keys", func(a, b member) int { return strings.Compare(a.name, b.name) }},
	{"with keys in the documentation's order", func(a, b member) int { return documented(a.name) - documented(b.name) }},
}

// documented returns a key's position in the sample events of Gemini's documentation.
// Other keys are last.
func documented(name string) int {
	return slices.Index([]string{"type", "version", "timestamp", "data", "id"}, name) & 0xff // -1 becomes 255
}

// A layout is the white space in an encoding of JSON.
type layout struct {
	how         string
	comma       string
	colon       string
	indentation string // per level; empty: everything on one line
}

var layouts = []layout{
	{"compact, as by JavaScript's JSON.stringify", ",", ":", ""},
	{`with ", " and ": ", as by Python's json.dumps`, ", ", ": ", ""},
	{"indented by 2 spaces", ",", ": ", "  "},
	{"indented by 4 spaces", ",", ": ", "    "},
	{"indented by tabs", ",", ": ", "\t"},
	{"indented by 1 space", ",", ": ", " "},
}

// An escaping is an encoder's choice of the characters that it escapes in strings.
type escaping struct {
	how    string
	escape func(r rune) bool // reports whether a character is written as \u and four digits
	slash  bool              // a slash is written as \/
}

var escapes = []escaping{
	{"", never, false},
	{`with <, > and & escaped, as by Go's encoding/json`, html, false},
	{"with non-ASCII characters escaped, as by Python's json.dumps", notASCII, false},
	{"with non-ASCII characters and / escaped, as by PHP's json_encode", notASCII, true},
}

func never(rune) bool { return false }

func html(r rune) bool { return strings.ContainsRune("<>&\u2028\u2029", r) }

func notASCII(r rune) bool { return r >= utf8.RuneSelf }

// spell encodes a parsed value as JSON.
func spell(value any, w writer) []byte {
	w.write(value)
	if w.indentation == "" {
		return w.text.Bytes()
	}
	var indented bytes.Buffer
	_ = json.Indent(&indented, w.text.Bytes(), "", w.indentation) // cannot fail: the text is valid JSON
	return indented.Bytes()
}

// A writer encodes a value as JSON on one line. Its zero value must not be used: layout
// and escaping are required.
type writer struct {
	layout
	escaping
	compare func(a, b member) int // the order of an object's members; nil: unchanged
	text    bytes.Buffer
}

func (w *writer) write(value any) {
	switch value := value.(type) {
	case []member:
		if w.compare != nil {
			value = slices.SortedStableFunc(slices.Values(value), w.compare)
		}
		w.list("{}", len(value), func(i int) {
			w.quote(value[i].name)
			w.text.WriteString(w.colon)
			w.write(value[i].value)
		})
	case []any:
		w.list("[]", len(value), func(i int) { w.write(value[i]) })
	case string:
		w.quote(value)
	case buffer: // was read from a list of numbers
		w.list("[]", len(value.data), func(i int) { fmt.Fprint(&w.text, value.data[i]) })
	case nil:
		w.text.WriteString("null")
	default: // a bool or a json.Number
		fmt.Fprint(&w.text, value)
	}
}

// list writes n items between two brackets.
func (w *writer) list(brackets string, n int, item func(i int)) {
	w.text.WriteByte(brackets[0])
	for i := range n {
		if i > 0 {
			w.text.WriteString(w.comma)
		}
		item(i)
	}
	w.text.WriteByte(brackets[1])
}

// shortEscapes are the two-character escapes of RFC 8259, section 7, that all encoders
// use.
var shortEscapes = map[rune]string{'"': `\"`, '\\': `\\`, '\b': `\b`, '\f': `\f`, '\n': `\n`, '\r': `\r`, '\t': `\t`}

func (w *writer) quote(text string) {
	w.text.WriteByte('"')
	for _, r := range text {
		short, ok := shortEscapes[r]
		switch {
		case ok:
			w.text.WriteString(short)
		case r == '/' && w.slash:
			w.text.WriteString(`\/`)
		case r > 0xffff && w.escape(r):
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&w.text, `\u%04x\u%04x`, high, low)
		case r < ' ' || w.escape(r):
			fmt.Fprintf(&w.text, `\u%04x`, r)
		default:
			w.text.WriteRune(r)
		}
	}
	w.text.WriteByte('"')
}
