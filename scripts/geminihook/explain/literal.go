package explain

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// maxLiteralDepth bounds the nesting of a dump, and so the stack.
const maxLiteralDepth = 200

// A buffer is bytes in a dump.
type buffer struct {
	data []byte
	more int // bytes that are not in the dump
}

// A literal parses a printed value: JSON, Python's repr, or JavaScript's console.log.
// Objects become []member, lists []any, bytes a buffer, numbers a json.Number.
type literal struct {
	text  []byte
	at    int      // position in text
	names []string // members of the first level that were read, for errors
	most  int      // the maximum number of levels
	plain bool     // parse lists of numbers as lists, not as bytes
}

// A syntaxError is an error at a position of a dump.
type syntaxError struct {
	at   int
	what string
}

func (e *syntaxError) Error() string { return e.what }

func (l *literal) fail(format string, args ...any) error {
	return &syntaxError{min(l.at, len(l.text)), fmt.Sprintf(format, args...)}
}

func (l *literal) space() {
	for l.at < len(l.text) && strings.IndexByte(" \t\r\n", l.text[l.at]) >= 0 {
		l.at++
	}
}

// has skips a text if it is next, and reports whether it was.
func (l *literal) has(text string) bool {
	if !bytes.HasPrefix(l.text[l.at:], []byte(text)) {
		return false
	}
	l.at += len(text)
	return true
}

// match skips a match of an expression, which must begin with ^, and returns it. It
// returns nil if there is no match.
func (l *literal) match(e *regexp.Regexp) []byte {
	found := e.Find(l.text[l.at:])
	l.at += len(found)
	return found
}

var (
	shortBuffer = regexp.MustCompile(`^<Buffer((?: [0-9a-f]{2})*)(?: \.\.\. ([0-9]+) more bytes?)?>`)
	reference   = regexp.MustCompile(`^<ref \*[0-9]+>`)
	opaque      = regexp.MustCompile(`^(<(?:[^<>\n]|<[^<>\n]*>)*>|\[(?:[A-Z][A-Za-z/]*(?: [^\]\n]*|: [^\]\n]*)?|class [^\]\n]*)\])`)
	bytesOf     = regexp.MustCompile(`^[bB]["']`)
	textOf      = regexp.MustCompile(`^[uU]["']`)
	className   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*(\([0-9]+\))?[ \t]*([{(\[])`)
	bareWord    = regexp.MustCompile(`^[-+A-Za-z0-9_.:$]+`)
	leftOut     = regexp.MustCompile(`^\.\.\. ([0-9]+) more items?`)
	nextPiece   = regexp.MustCompile("^[ \t]*\\+[ \t]*\r?\n[ \t]*[\"'`]")
	memberName  = regexp.MustCompile(`^(\[[^\]\n]*\]|[A-Za-z0-9_$-]+)`)
)

func (l *literal) value(depth int) (any, error) {
	l.space()
	rest := l.text[l.at:]
	switch {
	case len(rest) == 0:
		return nil, l.fail("the dump ends in the middle of a value")
	case depth > l.most:
		return nil, l.fail("the dump has more than %d levels", l.most)
	case rest[0] == '{':
		return l.object(depth + 1)
	case shortBuffer.Match(rest):
		return l.shortBuffer(), nil
	case l.match(reference) != nil:
		return l.value(depth + 1)
	case l.match(opaque) != nil:
		if l.space(); l.at < len(l.text) && l.text[l.at] == '{' { // [Object: null prototype] {…}
			return l.value(depth + 1)
		}
		return nil, nil
	case rest[0] == '[', rest[0] == '(':
		return l.list(depth + 1)
	case strings.IndexByte("\"'`", rest[0]) >= 0:
		return l.string(false)
	case bytesOf.Match(rest):
		l.at++
		text, err := l.string(true)
		return buffer{data: []byte(text)}, err
	case textOf.Match(rest):
		l.at++
		return l.string(false)
	}
	return l.word(depth)
}

// word reads a value that begins with a letter or a digit: a class name with arguments,
// a keyword, a number, or any other word.
func (l *literal) word(depth int) (any, error) {
	if class := className.FindSubmatchIndex(l.text[l.at:]); class != nil {
		l.at += class[4]
		value, err := l.value(depth + 1)
		if args, ok := value.([]any); ok && len(args) == 1 && l.text[l.at-1] == ')' { // Headers({…})
			value = args[0]
		}
		return value, err
	}
	word := l.match(bareWord)
	switch string(word) {
	case "":
		return nil, l.fail("expected a value")
	case "true", "True":
		return true, nil
	case "false", "False":
		return false, nil
	case "null", "None", "undefined":
		return nil, nil
	}
	if json.Valid(word) {
		return json.Number(word), nil
	}
	return string(word), nil
}

func (l *literal) shortBuffer() buffer {
	found := shortBuffer.FindSubmatch(l.text[l.at:])
	l.at += len(found[0])
	data, _ := hex.DecodeString(strings.ReplaceAll(string(found[1]), " ", ""))
	more, _ := strconv.Atoi(string(found[2]))
	return buffer{data, more}
}

func (l *literal) object(depth int) (any, error) {
	members := []member{}
	l.at++
	for {
		if l.space(); l.has("}") {
			return l.orBuffer(members), nil
		}
		if l.match(leftOut) == nil {
			name, err := l.name()
			if err != nil {
				return nil, err
			}
			if depth == 1 {
				l.names = append(l.names, name)
			}
			if l.space(); !l.has(":") && !l.has("=>") {
				return nil, l.fail("expected a colon after a member's name")
			}
			value, err := l.value(depth)
			if err != nil {
				return nil, err
			}
			members = append(members, member{name, value})
		}
		if l.space(); !l.has(",") && (l.at >= len(l.text) || l.text[l.at] != '}') {
			return nil, l.fail("expected a comma or a closing brace after a member")
		}
	}
}

func (l *literal) name() (string, error) {
	rest := l.text[l.at:]
	if len(rest) > 0 && strings.IndexByte("\"'`", rest[0]) >= 0 || bytesOf.Match(rest) || textOf.Match(rest) {
		value, err := l.value(0)
		return textIn(value), err
	}
	name := l.match(memberName)
	if name == nil {
		return "", l.fail("expected a member's name")
	}
	return string(name), nil
}

// list reads a list or a tuple. A list of at least minBuffer bytes becomes a buffer,
// unless plain is set.
func (l *literal) list(depth int) (any, error) {
	end := map[byte]string{'[': "]", '(': ")"}[l.text[l.at]]
	list, more := []any{}, 0
	l.at++
	for {
		if l.space(); l.has(end) {
			if b, ok := bytesIn(list); ok && len(b) >= minBuffer && !l.plain {
				return buffer{b, more}, nil
			}
			return list, nil
		}
		if left := leftOut.FindSubmatch(l.text[l.at:]); left != nil {
			l.at += len(left[0])
			more, _ = strconv.Atoi(string(left[1]))
		} else {
			value, err := l.value(depth)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		if l.space(); !l.has(",") && !bytes.HasPrefix(l.text[l.at:], []byte(end)) && !l.nextNumber(list) {
			return nil, l.fail("expected a comma or %s after an item", end)
		}
	}
}

// nextNumber reports whether a number follows a number. Go's fmt prints no commas
// between them.
func (l *literal) nextNumber(list []any) bool {
	if len(list) == 0 || l.at >= len(l.text) {
		return false
	}
	_, number := list[len(list)-1].(json.Number)
	return number && '0' <= l.text[l.at] && l.text[l.at] <= '9'
}

// minBuffer is the shortest list of numbers from 0 to 255 that is taken for bytes.
// Shorter lists occur in parsed bodies.
const minBuffer = 8

// bytesIn converts a list of numbers to bytes. It reports whether all are from 0 to
// 255.
func bytesIn(list []any) ([]byte, bool) {
	all := make([]byte, len(list))
	for i, item := range list {
		number, _ := item.(json.Number)
		n, err := strconv.ParseUint(string(number), 10, 8)
		if err != nil {
			return nil, false
		}
		all[i] = byte(n)
	}
	return all, true
}

// orBuffer returns an object's members, or a buffer if the object is JavaScript's JSON
// for bytes: a Buffer, {"type":"Buffer","data":[…]}, or a Uint8Array,
// {"0":123,"1":34,…}.
func (l *literal) orBuffer(members []member) any {
	if l.plain {
		return members
	}
	if kind, _ := lookup(members, "type").(string); kind == "Buffer" && len(members) == 2 {
		switch data := lookup(members, "data").(type) {
		case buffer:
			return data
		case []any:
			if b, ok := bytesIn(data); ok {
				return buffer{data: b}
			}
		}
	}
	values := make([]any, len(members))
	for i, m := range members {
		if m.name != strconv.Itoa(i) {
			return members
		}
		values[i] = m.value
	}
	if b, ok := bytesIn(values); ok && len(b) >= minBuffer {
		return buffer{data: b}
	}
	return members
}

// lookup returns the value of a member, or nil if it is missing.
func lookup(members []member, name string) any {
	if i := slices.IndexFunc(members, func(m member) bool { return m.name == name }); i >= 0 {
		return members[i].value
	}
	return nil
}

// string reads a quoted string, which console.log may split into pieces with + between
// them. If raw, \x is a byte, else a character.
func (l *literal) string(raw bool) (string, error) {
	var text []byte
	for {
		quote := l.text[l.at]
		for l.at++; ; {
			if l.at >= len(l.text) {
				return "", l.fail("the dump ends in the middle of a string")
			}
			c := l.text[l.at]
			if l.at++; c == quote {
				break
			}
			if c != '\\' {
				text = append(text, c)
				continue
			}
			var err error
			if text, err = l.escaped(text, raw || quote == '"'); err != nil {
				return "", err
			}
		}
		if next := nextPiece.Find(l.text[l.at:]); next != nil {
			l.at += len(next) - 1
			continue
		}
		return string(text), nil
	}
}

var plainEscapes = map[byte]byte{'n': '\n', 'r': '\r', 't': '\t', 'b': '\b', 'f': '\f', 'v': '\v', 'a': '\a', '0': 0}

// escaped reads an escape sequence after its backslash, and appends it to text.
func (l *literal) escaped(text []byte, raw bool) ([]byte, error) {
	if l.at >= len(l.text) {
		return nil, l.fail("the dump ends in the middle of a string")
	}
	c := l.text[l.at]
	l.at++
	digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[c]
	if digits == 0 {
		if plain, ok := plainEscapes[c]; ok {
			c = plain
		}
		return append(text, c), nil
	}
	n, err := l.hex(digits)
	switch {
	case err != nil:
		return nil, err
	case c == 'x' && raw:
		return append(text, byte(n)), nil
	case utf16.IsSurrogate(n) && l.has(`\u`):
		low, err := l.hex(4)
		return utf8.AppendRune(text, utf16.DecodeRune(n, low)), err
	}
	return utf8.AppendRune(text, n), nil
}

func (l *literal) hex(digits int) (rune, error) {
	if l.at+digits > len(l.text) {
		return 0, l.fail("the dump ends in the middle of a string")
	}
	n, err := strconv.ParseUint(string(l.text[l.at:l.at+digits]), 16, 32)
	if err != nil {
		return 0, l.fail("expected %d hexadecimal digits after a backslash", digits)
	}
	l.at += digits
	return rune(n), nil
}
