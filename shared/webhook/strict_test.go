package webhook

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
)

// namesTwice reports whether an object at any depth has two names that differ at most
// in case. It uses the decoder's tokens.
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
		_, _ = dec.Token() // the closing bracket
	}
	return false
}

// FuzzMembers compares members with encoding/json, and checks that same is reflexive,
// ignores white space, and distinguishes different values.
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
				t.Fatalf("%q is accepted as an object", body)
			}
			return
		}
		if twice := namesTwice(json.NewDecoder(bytes.NewReader(body))); err == nil && (twice || len(got) != len(object)) {
			t.Fatalf("%q: duplicate names were accepted", body)
		} else if err != nil && !twice && !bytes.Contains([]byte(strings.ToValidUTF8(string(body), "\ufffd")), []byte("\ufffd")) {
			t.Fatalf("%q: %v", body, err)
		}
		for _, m := range got {
			if !same(m.value, object[m.name]) {
				t.Fatalf("%q: the value %q differs from encoding/json's", body, m.value)
			}
			var spaced bytes.Buffer
			_ = json.Indent(&spaced, m.value, " ", "\t")
			if whole := !bytes.ContainsRune(canonical(m.value), '\ufffd'); same(m.value, spaced.Bytes()) != (whole || bytes.Equal(m.value, spaced.Bytes())) {
				t.Fatalf("%q: wrong comparison with its indented form", m.value)
			}
			if same(m.value, json.RawMessage(`{"another":1}`)) && !bytes.Contains(m.value, []byte("another")) {
				t.Fatalf("%q: equal to a different value", m.value)
			}
		}
	})
}
