package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// decodeStrict decodes a body that is one JSON object in which no name stands
// twice, in upper or lower case. Readers differ in which of two they take, and in
// whether "Type" is "type" (to encoding/json it is); and the body must mean to
// every consumer what it meant here.
func decodeStrict(body []byte) (map[string]any, error) {
	var object map[string]any
	if err := decode(body, &object); err != nil {
		return nil, err
	}
	if object == nil {
		return nil, errors.New("not a JSON object")
	}
	if names(object) != colons(body) { // of two values the decoder has kept one
		return nil, errors.New("a name stands twice")
	}
	return object, nil
}

// decode decodes a text that is one JSON value. Numbers stay as they are written.
// encoding/json bounds the depth.
func decode(text []byte, value any) error {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	if err := dec.Decode(value); err != nil {
		return errors.New("not the JSON it should be")
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("more than one JSON value")
	}
	return nil
}

// names counts the names in a value. Those that differ only by case count once.
func names(value any) int {
	n := 0
	switch value := value.(type) {
	case map[string]any:
		folded := make(map[string]struct{}, len(value))
		for name, inner := range value {
			folded[strings.ToLower(strings.ToUpper(name))] = struct{}{} // by way of upper case "ſ" is "s"
			n += names(inner)
		}
		n += len(folded)
	case []any:
		for _, inner := range value {
			n += names(inner)
		}
	}
	return n
}

// colons counts the names in a text that is valid JSON, by the colons that stand
// outside of strings.
func colons(text []byte) int {
	n, quoted := 0, false
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			quoted = !quoted
		case '\\': // stands only in strings
			i++
		case ':':
			if !quoted {
				n++
			}
		}
	}
	return n
}
