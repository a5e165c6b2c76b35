package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"unicode/utf8"
)

// members returns what is in a body that is one JSON object in which no name stands
// twice, in upper or lower case, at any depth. Readers differ in which of two they
// take, and in whether "Type" is "type" (to encoding/json it is); and the body must
// mean to every consumer what it meant here.
func members(body []byte) (map[string]json.RawMessage, error) {
	var object map[string]json.RawMessage // encoding/json bounds the depth
	if err := json.Unmarshal(body, &object); err != nil || object == nil || !utf8.Valid(body) {
		return nil, errors.New("not a JSON object")
	}
	if repeats(body) { // of two values the map has kept one
		return nil, errors.New("a name stands twice")
	}
	return object, nil
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
			names, name := objects[len(objects)-1], fold(quoted)
			if _, ok := names[name]; ok {
				return true
			}
			names[name] = struct{}{}
		}
	}
	return false
}

// fold returns what is the same for names that differ by case alone.
func fold(quoted []byte) string {
	name := string(quoted[1 : len(quoted)-1])
	if strings.Contains(name, `\`) {
		_ = json.Unmarshal(quoted, &name) // it is valid
	}
	return strings.ToLower(strings.ToUpper(name)) // by way of upper case "ſ" is "s"
}

// same reports whether two texts that are valid JSON mean the same. Numbers count as
// they are written.
func same(a, b json.RawMessage) bool {
	return bytes.Equal(a, b) || reflect.DeepEqual(decoded(a), decoded(b))
}

func decoded(text json.RawMessage) (value any) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	_ = d.Decode(&value) // it is valid
	return value
}
