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

// members returns, by folded name, what is in a body that is one JSON object in which
// no name stands twice, in upper or lower case, at any depth. Readers differ in which
// of two they take, and in whether "Type" is "type" (to encoding/json it is); and the
// body must mean to every consumer what it meant here.
func members(body []byte) (map[string]member, error) {
	var object map[string]json.RawMessage // encoding/json bounds the depth
	if err := json.Unmarshal(body, &object); err != nil || object == nil || !utf8.Valid(body) {
		return nil, errors.New("not a JSON object")
	}
	if repeats(body) { // of two values the map has kept one
		return nil, errors.New("a name stands twice")
	}
	folded := make(map[string]member, len(object))
	for name, value := range object {
		folded[fold(name)] = member{name, value}
	}
	return folded, nil
}

// repeats reports whether an object in a text that is valid JSON has two names that
// differ by case alone, if at all.
func repeats(text []byte) bool {
	var objects []map[string]struct{} // that are open: their names so far
	var quoted []byte                 // the last string: a name, where a colon comes next
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '{':
			objects = append(objects, make(map[string]struct{}))
		case '}':
			objects = objects[:len(objects)-1]
		case '"':
			start := i
			for i++; text[i] != '"'; i++ {
				if text[i] == '\\' {
					i++
				}
			}
			quoted = text[start : i+1]
		case ':':
			names, name := objects[len(objects)-1], fold(unquote(quoted))
			if _, ok := names[name]; ok {
				return true
			}
			names[name] = struct{}{}
		}
	}
	return false
}

func unquote(quoted []byte) string {
	name := string(quoted[1 : len(quoted)-1])
	if strings.Contains(name, `\`) {
		_ = json.Unmarshal(quoted, &name) // it is valid
	}
	return name
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
