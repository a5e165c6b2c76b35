package running

import (
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// answering returns a serve at whose root a server answers with instance. The serve's
// own instance, as in its file, is file.
func answering(t *testing.T, instance, file string, age time.Duration) *Serve {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" || r.URL.RawQuery != "" {
			t.Errorf("request for %s, want the root", r.URL)
		}
		w.Header().Set(Header, instance)
	}))
	t.Cleanup(server.Close)
	return &Serve{Instance: file, Started: time.Now().Add(-age), StaticURL: server.URL + "/StaticWebhook", Secrets: []string{"s"}}
}

// Find returns the serves that answer, newest first, and removes the files of the
// others.
func TestFind(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "not", "there", "yet")
	older := answering(t, "older", "older", time.Hour)
	newer := answering(t, "newer", "newer", time.Minute)
	replaced := answering(t, "another", "replaced", 0) // another serve uses its port now
	gone := &Serve{Instance: "gone", StaticURL: "http://127.0.0.1:1/StaticWebhook"}
	for _, s := range []*Serve{newer, older, replaced, gone} {
		if err := Announce(dir, s); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(s.file(dir))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("the file of %s: %v, %v; want mode 0600", s.Instance, info, err)
		}
	}
	found := find(t, dir)
	if len(found) != 2 || found[0].Instance != "newer" || found[1].Instance != "older" {
		t.Errorf("found %v, want newer and older", found)
	}
	for _, s := range []*Serve{replaced, gone} {
		if _, err := os.Stat(s.file(dir)); !os.IsNotExist(err) {
			t.Errorf("the file of %s: %v, want it removed", s.Instance, err)
		}
	}
	Withdraw(dir, newer)
	if found := find(t, dir); len(found) != 1 || found[0].Secrets[0] != "s" {
		t.Errorf("found %v, want older", found)
	}
}

func find(t *testing.T, dir string) []*Serve {
	t.Helper()
	found, err := Find(context.Background(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// If the folder does not exist, Find returns no serve and no error.
func TestFindNone(t *testing.T) {
	if found := find(t, filepath.Join(t.TempDir(), "nothing")); len(found) != 0 {
		t.Errorf("found %v, want none", found)
	}
}

// A file that cannot be parsed is an error.
func TestFindRubbish(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "serve-x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(t.Context(), dir); err == nil {
		t.Error("Find returned no error for a file that is not JSON")
	}
}
