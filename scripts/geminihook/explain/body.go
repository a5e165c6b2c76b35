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
	// maxRewritten bounds, in bytes, the bodies of which hundreds of rewritings are
	// tried. Gemini's stay under 1 KiB.
	maxRewritten = 128 << 10

	// maxDepth bounds their levels. Gemini's have two.
	maxDepth = 32
)

// A rewriting is a guess at the body that was signed.
type rewriting struct {
	how  string // empty for the body as it is
	body []byte

	finding finding // what it means if it was signed; its cause is empty for a rewriting like others
}

// rewritings yields what the body may have been before something changed it, the
// simplest guesses first. parsed is the body if it is there as a value only.
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

// yieldEnds yields a text with each of the line ends that it may have.
func yieldEnds(yield func(rewriting) bool, how, text string) bool {
	windows := strings.ReplaceAll(text, "\n", "\r\n")
	return yield(rewriting{how: how, body: []byte(text)}) &&
		yield(rewriting{how: how + ", a newline at its end", body: []byte(text + "\n")}) &&
		yield(rewriting{how: how + `, lines ended by \r\n`, body: []byte(windows)}) &&
		yield(rewriting{how: how + `, lines ended by \r\n, the last one too`, body: []byte(windows + "\r\n")})
}

// textual are the guesses that leave the JSON alone.
func textual(body []byte) []rewriting {
	unix := bytes.ReplaceAll(body, []byte("\r\n"), []byte("\n"))
	all := []rewriting{
		{how: "", body: body},
		{how: "without the newline at its end", body: bytes.TrimRight(body, "\r\n")},
		{how: "with a newline at its end", body: append(bytes.Clone(body), '\n')},
		{how: `with \r\n at its end`, body: append(bytes.Clone(body), "\r\n"...)},
		{how: `with \n where it has \r\n`, body: unix},
		{how: `with \n where it has \r\n, and none at its end`, body: bytes.TrimRight(unix, "\n")},
		{how: `with \r\n where it has \n`, body: bytes.ReplaceAll(unix, []byte("\n"), []byte("\r\n"))},
		{how: "without the byte order mark", body: bytes.TrimPrefix(body, []byte("\ufeff"))},
		{how: "without the white space around it", body: bytes.TrimSpace(body)},
	}
	if raw, err := base64.StdEncoding.DecodeString(string(body)); err == nil {
		all = append(all, rewriting{how: "decoded from base64", body: raw})
	}
	var text string
	if json.Unmarshal(body, &text) == nil {
		all = append(all, rewriting{how: "taken out of the JSON string that it stands in", body: []byte(text)})
	}
	return all
}

func join(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ", ")
}

// A member is one of an object's, whose order a map would lose.
type member struct {
	name  string
	value any
}

// parse reads a body that is one JSON value. Its numbers stay as they are written. It
// reports whether there is a value to write again.
func parse(body []byte) (value any, ok bool) {
	if len(body) > maxRewritten || !json.Valid(body) {
		return nil, false
	}
	l := &literal{text: body, most: maxDepth, plain: true}
	value, err := l.value(0)
	return value, err == nil
}

// orders are those that an object's members may have had.
var orders = []struct {
	how     string
	compare func(a, b member) int // nil where it was as it is
}{
	{"", nil},
	{"its keys sorted", func(a, b member) int { return strings.Compare(a.name, b.name) }},
	{"its keys in the order of the documentation", func(a, b member) int { return documented(a.name) - documented(b.name) }},
}

// documented is a key's place in the samples of Gemini's documentation.
func documented(name string) int {
	return slices.Index([]string{"type", "version", "timestamp", "data", "id"}, name) & 0xff // others last
}

// A layout is how a writer of JSON sets it.
type layout struct {
	how         string
	comma       string
	colon       string
	indentation string // of a level; empty where all is on one line
}

var layouts = []layout{
	{"compact, as JavaScript's JSON.stringify writes it", ",", ":", ""},
	{`with ", " and ": ", as Python's json.dumps writes it`, ", ", ": ", ""},
	{"indented by 2 spaces", ",", ": ", "  "},
	{"indented by 4 spaces", ",", ": ", "    "},
	{"indented by tabs", ",", ": ", "\t"},
	{"indented by 1 space", ",", ": ", " "},
}

// An escaping is a way to write what JSON lets one write in several.
type escaping struct {
	how    string
	escape func(r rune) bool // whether it is written as \u and four digits
	slash  bool              // is escaped
}

var escapes = []escaping{
	{"", never, false},
	{`with <, > and & escaped, as Go's encoding/json does`, html, false},
	{"with all but ASCII escaped, as Python's json.dumps does", notASCII, false},
	{"with all but ASCII and / escaped, as PHP's json_encode does", notASCII, true},
}

func never(rune) bool { return false }

func html(r rune) bool { return strings.ContainsRune("<>&\u2028\u2029", r) }

func notASCII(r rune) bool { return r >= utf8.RuneSelf }

// spell writes a parsed value.
func spell(value any, w writer) []byte {
	w.write(value)
	if w.indentation == "" {
		return w.text.Bytes()
	}
	var indented bytes.Buffer
	_ = json.Indent(&indented, w.text.Bytes(), "", w.indentation) // it is valid
	return indented.Bytes()
}

// A writer writes JSON on one line.
type writer struct {
	layout
	escaping
	compare func(a, b member) int // the order of an object's members; nil leaves it
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
	case buffer: // a list of numbers that are bytes
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

// shortEscapes are those of RFC 8259, section 7, that everybody writes.
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
