package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A member is a name in a JSON object and its value as written.
type member struct {
	name  string
	value json.RawMessage
}

const space = " \t\r\n" // JSON white space: RFC 8259, section 2

// members returns the members of a JSON object by folded name. It fails if text is
// not a JSON object, or if an object at any depth has two names that differ at most
// in case.
//
// Consumers of the body may read such an object differently from geminihook. JSON
// parsers do not agree on which of two equal names to use, nor on whether "Type" is
// "type" (for encoding/json it is).
func members(text []byte) (map[string]member, error) {
	text = bytes.Trim(text, space)
	if !json.Valid(text) || text[0] != '{' || !utf8.Valid(text) { // Valid also limits the nesting depth
		return nil, errors.New("not a JSON object")
	}
	var (
		found  = make(map[string]member)
		open   []map[string]struct{} // for each open object, its names so far; for a list, nil
		quoted []byte                // the last string; it is a name if a colon follows
		name   string                // the last name at the top level
		value  int                   // index at which the value of name starts
	)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			end := endOfString(text, i)
			quoted, i = text[i:end], end-1
		case '{':
			open = append(open, make(map[string]struct{}))
		case '[':
			open = append(open, nil)
		case ':':
			names, unquoted := open[len(open)-1], unquote(quoted)
			folded := fold(unquoted)
			if _, ok := names[folded]; ok {
				return nil, errors.New("duplicate JSON key")
			}
			names[folded] = struct{}{}
			if len(open) == 1 {
				name, value = unquoted, i+1
			}
		case ',', '}', ']':
			if len(open) == 1 && value > 0 {
				found[fold(name)] = member{name, bytes.Trim(text[value:i], space)}
			}
			if c != ',' {
				open = open[:len(open)-1]
			}
		}
	}
	return found, nil
}

// endOfString returns the index after the closing quote of the string that starts at
// i.
func endOfString(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquote decodes a string of a valid JSON text like encoding/json.
func unquote(quoted []byte) string {
	plain := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
		return string(plain)
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // it is valid
	return text
}

// fold returns the same text for names that differ only in case. It converts to upper
// case first, because "ſ" and "s" have the same upper case, but not the same lower
// case.
func fold(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return 'A' <= r && r <= 'Z' || r > unicode.MaxASCII }) {
		return strings.ToLower(strings.ToUpper(name))
	}
	return name
}

// same reports whether all JSON parsers read a and b as equal. Both must be valid
// JSON. Numbers are equal only if they are written the same.
func same(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, y := canonical(a), canonical(b)
	// Parsers decode half of a surrogate pair differently.
	return bytes.Equal(x, y) && !bytes.ContainsRune(x, utf8.RuneError)
}

// canonical returns the JSON text with sorted names and uniform escapes and spacing.
// Numbers stay as written.
func canonical(text json.RawMessage) []byte {
	var value any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	_ = d.Decode(&value) // it is valid
	canonical, _ := json.Marshal(value)
	return canonical
}
