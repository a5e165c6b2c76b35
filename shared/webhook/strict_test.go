package webhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// namesTwice is repeats in the decoder's words: it goes from token to token.
func namesTwice(dec *json.Decoder) bool {
	token, _ := dec.Token()
	open, _ := token.(json.Delim)
	names := make(map[string]bool)
	for open != 0 && dec.More() {
		if open == '{' {
			name, _ := dec.Token()
			folded := strings.ToLower(strings.ToUpper(name.(string)))
			if names[folded] {
				return true
			}
			names[folded] = true
		}
		if namesTwice(dec) {
			return true
		}
	}
	if open != 0 {
		_, _ = dec.Token() // the closing one
	}
	return false
}

// FuzzMembers checks that the names of a body are found wherever they stand, and what
// two texts are that mean the same.
func FuzzMembers(f *testing.F) {
	f.Add([]byte(`{"a":{"b":[{"c":1,"C":2}]},"\\u0061":":\"{"}`))
	f.Add([]byte(`{"\\\\":1,"\\\"":[{},{"x":{"x":{}}}],"K":0,"\u212a":1}`))
	f.Add([]byte(` { "s" : "\\ud800" , "\u017f" : null } `))
	f.Add([]byte(`{}`))
	f.Add([]byte(`{"a":[1,2,{"b":[]}],"b":{}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := members(body)
		var object map[string]json.RawMessage
		if json.Unmarshal(body, &object) != nil || object == nil {
			if err == nil {
				t.Fatalf("%q is taken for an object", body)
			}
			return
		}
		if twice := namesTwice(json.NewDecoder(bytes.NewReader(body))); err == nil && (twice || len(got) != len(object)) {
			t.Fatalf("%q: a name stands twice", body)
		} else if err != nil && !twice && !bytes.Contains([]byte(strings.ToValidUTF8(string(body), "\ufffd")), []byte("\ufffd")) {
			t.Fatalf("%q: %v", body, err)
		}
		for _, m := range got {
			if !same(m.value, object[m.name]) {
				t.Fatalf("%q: %q is not itself", body, m.value)
			}
			var spaced bytes.Buffer
			_ = json.Indent(&spaced, m.value, " ", "\t")
			if whole := !bytes.ContainsRune(canonical(m.value), '\ufffd'); same(m.value, spaced.Bytes()) != (whole || bytes.Equal(m.value, spaced.Bytes())) {
				t.Fatalf("%q is not what it is with spaces", m.value)
			}
			if same(m.value, json.RawMessage(`{"another":1}`)) && !bytes.Contains(m.value, []byte("another")) {
				t.Fatalf("%q is another", m.value)
			}
		}
	})
}
