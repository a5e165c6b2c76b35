package manage

import "testing"

func TestFlat(t *testing.T) {
	for want, value := range map[string]any{
		"text": "text", "true": true, "a,b": []any{"a", "b"}, "*=x,batch=y": map[string]any{"batch": "y", "*": "x"}, "": []any{},
	} {
		if got := flat(value); got != want {
			t.Errorf("%v is %q, want %q", value, got, want)
		}
	}
}
