package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A member is a name and its value, as they stand in a JSON object.
type member struct {
	name  string
	value json.RawMessage
}

const space = " \t\r\n" // RFC 8259, section 2

// members returns, by folded name, what is in a text that is one JSON object in which
// no name stands twice, in upper or lower case, at any depth. Readers differ in which
// of two they take, and in whether "Type" is "type" (to encoding/json it is); and a
// body must mean to every consumer what it meant here.
func members(text []byte) (map[string]member, error) {
	text = bytes.Trim(text, space)
	if !json.Valid(text) || text[0] != '{' || !utf8.Valid(text) { // encoding/json bounds the depth
		return nil, errors.New("not a JSON object")
	}
	var (
		found  = make(map[string]member)
		open   []map[string]struct{} // objects: their names so far; and lists: nil
		quoted []byte                // the last string: a name, where a colon comes next
		name   string                // the last of the outermost object
		value  int                   // where its value begins
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
				return nil, errors.New("a name stands twice")
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

// endOfString returns where a string has ended that begins at i.
func endOfString(text []byte, i int) int {
	for i++; text[i] != '"'; i++ {
		if text[i] == '\\' {
			i++
		}
	}
	return i + 1
}

// unquote returns what a string of a valid text says, like encoding/json.
func unquote(quoted []byte) string {
	plain := quoted[1 : len(quoted)-1]
	if bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
		return string(plain)
	}
	var text string
	_ = json.Unmarshal(quoted, &text) // it is valid
	return text
}

// fold returns what is the same for names that differ by case alone: by way of upper
// case, since "ſ" is an "s".
func fold(name string) string {
	if strings.ContainsFunc(name, func(r rune) bool { return 'A' <= r && r <= 'Z' || r > unicode.MaxASCII }) {
		return strings.ToLower(strings.ToUpper(name))
	}
	return name
}

// same reports whether two texts that are valid JSON mean the same to every reader.
// Numbers count as they are written.
func same(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	x, y := canonical(a), canonical(b)
	// Half of a surrogate pair may mean anything.
	return bytes.Equal(x, y) && !bytes.ContainsRune(x, utf8.RuneError)
}

// canonical returns a text with sorted names, and one spelling of everything but
// numbers.
func canonical(text json.RawMessage) []byte {
	var value any
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	_ = d.Decode(&value) // it is valid
	canonical, _ := json.Marshal(value)
	return canonical
}
