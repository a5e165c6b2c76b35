package manage

import "testing"

func TestLocal(t *testing.T) {
	for text, want := range map[string]bool{
		"http://127.0.0.1:1/": true, "http://127.9.9.9/": true, "http://[::1]:1/": true, "http://localhost:1/": true,
		geminiURL: false, "http://localhost.example.com/": false, "http://10.0.0.1/": false, "http://0.0.0.0/": false, "": false, "%zz": false,
		"http://127.0.0.1@example.com/": false,
	} {
		if got := local(text); got != want {
			t.Errorf("%q: %v, want %v", text, got, want)
		}
	}
}
