package webhook

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
)

// maxEventDepth bounds the recursion over an event. Gemini's have three levels.
const maxEventDepth = 64

// decodeStrict decodes a body that is one JSON object in which no name stands
// twice, in upper or lower case. Readers differ in which of two they take, and in
// whether "Type" is "type" (to encoding/json it is); and the body must mean to
// every consumer what it meant here.
func decodeStrict(body []byte) (map[string]any, error) {
	dec := newDecoder(body)
	value, err := decodeValue(dec, maxEventDepth)
	if err != nil {
		return nil, err
	}
	object, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("not a JSON object")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("more than one JSON value")
	}
	return object, nil
}

func newDecoder(text []byte) *json.Decoder {
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	return dec
}

// decodeValue decodes the next value, at most depth levels deep.
func decodeValue(dec *json.Decoder, depth int) (any, error) {
	tok, err := dec.Token()
	if err != nil {
		return nil, errors.New("not JSON")
	}
	if depth == 0 {
		return nil, errors.New("nested too deeply")
	}
	switch tok {
	case json.Delim('{'):
		return decodeObject(dec, depth)
	case json.Delim('['):
		var list []any
		for dec.More() {
			value, err := decodeValue(dec, depth-1)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		return list, closing(dec)
	}
	return tok, nil
}

func decodeObject(dec *json.Decoder, depth int) (map[string]any, error) {
	object := make(map[string]any)
	seen := make(map[string]bool)
	for dec.More() {
		tok, err := dec.Token()
		if err != nil {
			return nil, errors.New("not JSON")
		}
		name := tok.(string)                             // the decoder takes nothing else here
		folded := strings.ToLower(strings.ToUpper(name)) // by way of upper case "ſ" is "s"
		if seen[folded] {
			return nil, errors.New("a name stands twice")
		}
		seen[folded] = true
		if object[name], err = decodeValue(dec, depth-1); err != nil {
			return nil, err
		}
	}
	return object, closing(dec)
}

// closing takes the delimiter that ends an object or a list.
func closing(dec *json.Decoder) error {
	if _, err := dec.Token(); err != nil {
		return errors.New("not JSON")
	}
	return nil
}
