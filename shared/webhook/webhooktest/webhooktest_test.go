package webhooktest_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

func TestIDsAndSecrets(t *testing.T) {
	id := regexp.MustCompile(`^msg_[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$`)
	secret := regexp.MustCompile(`^whsec_[A-Za-z0-9+/]{43}=$`)
	seen := make(map[string]bool)
	for range 100 {
		for text, form := range map[string]*regexp.Regexp{webhooktest.NewID(): id, webhooktest.NewSecret(): secret} {
			if !form.MatchString(text) || seen[text] {
				t.Errorf("%q does not match %v, or is a duplicate", text, form)
			}
			seen[text] = true
		}
	}
}

// Each event has exactly the fields that the documentation lists for its type.
func TestEventsHaveTheDocumentedFields(t *testing.T) {
	fields := map[string][]string{
		"batch.succeeded":             {"id", "output_file_uri"},
		"batch.failed":                {"error_code", "error_message", "id"},
		"batch.expired":               {"id"},
		"batch.cancelled":             {"id"},
		"interaction.completed":       {"id"},
		"interaction.requires_action": {"id"},
		"interaction.failed":          {"error_code", "error_message", "id"},
		"interaction.cancelled":       {"id"},
		"video.generated":             {"file_name", "id", "output_file_uri"},
	}
	if len(webhooktest.Types) != len(fields) {
		t.Errorf("%d types", len(webhooktest.Types))
	}
	for _, eventType := range webhooktest.Types {
		var event struct {
			Type      string
			Version   string
			Timestamp time.Time
			Data      map[string]string
		}
		if err := json.Unmarshal(webhooktest.NewEvent(eventType), &event); err != nil {
			t.Fatal(err)
		}
		var names []string
		for name, value := range event.Data {
			if names = append(names, name); value == "" {
				t.Errorf("%s: %s is empty", eventType, name)
			}
		}
		if slices.Sort(names); !slices.Equal(names, fields[eventType]) {
			t.Errorf("%s: data has %q, want %q", eventType, names, fields[eventType])
		}
		if event.Type != eventType || event.Version != "v1" || time.Since(event.Timestamp).Abs() > time.Minute {
			t.Errorf("%s: %+v", eventType, event)
		}
	}
}

func TestHeader(t *testing.T) {
	got := webhooktest.Header("msg_1", time.Unix(1614265330, 999), "v1,x")
	for name, want := range map[string]string{
		"webhook-id": "msg_1", "webhook-timestamp": "1614265330", "webhook-signature": "v1,x", "content-type": "application/json",
	} {
		if got.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, got.Get(name), want)
		}
	}
	if len(got) != 4 {
		t.Errorf("%v", got)
	}
}

func TestClaims(t *testing.T) {
	now := time.Unix(1614265330, 0)
	claims := webhooktest.Claims("a", now, []byte(`{"type":"t","data":{"id":"1"}}`))
	text, err := json.Marshal(claims)
	if want := `{"aud":"a","data":{"id":"1"},"exp":1614265630,"iat":1614265330,"type":"t"}`; err != nil || string(text) != want {
		t.Errorf("%s, %v; want %s", text, err, want)
	}
	defer func() {
		if recover() == nil {
			t.Error("a body that is no object gave claims")
		}
	}()
	webhooktest.Claims("a", now, []byte(`[]`))
}

// served returns the key set as a client reads it.
func served(t *testing.T, set *webhooktest.KeySet) []map[string]string {
	t.Helper()
	w := httptest.NewRecorder()
	set.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/", nil))
	var body struct{ Keys []map[string]string }
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil || w.Header().Get("Content-Type") != "application/json" {
		t.Fatalf("%v, %v", err, w.Header())
	}
	return body.Keys
}

// Three Ed25519 keys without kid, as observed, and an RSA key with one, as
// documented; and nothing private.
func TestKeySet(t *testing.T) {
	set := webhooktest.NewKeySet()
	keys := served(t, set)
	if len(keys) != 4 {
		t.Fatalf("%d keys", len(keys))
	}
	b64 := base64.RawURLEncoding.EncodeToString
	for i, key := range keys[:3] {
		if _, kid := key["kid"]; kid || key["kty"] != "OKP" || key["crv"] != "Ed25519" || key["use"] != "sig" ||
			key["x"] != b64(set.Ed25519(i).Public().(ed25519.PublicKey)) {
			t.Errorf("key %d: %v", i, key)
		}
	}
	if key := keys[3]; key["kty"] != "RSA" || key["kid"] != webhooktest.RSAKeyID || key["e"] != "AQAB" || key["n"] != b64(set.RSA().N.Bytes()) {
		t.Errorf("RSA: %v", key)
	}
	for _, key := range keys {
		for name := range key {
			if strings.Contains("d p q dp dq qi", name) {
				t.Errorf("%s is private", name)
			}
		}
	}
	before := []string{keys[0]["x"], keys[1]["x"], keys[2]["x"], keys[3]["n"]}
	set.Rotate()
	for _, key := range served(t, set) {
		if slices.Contains(before, key["x"]) || slices.Contains(before, key["n"]) {
			t.Errorf("still there after a rotation: %v", key)
		}
	}
	if set.Fetches() != 2 {
		t.Errorf("%d fetches", set.Fetches())
	}
}

func TestKeySetConcurrently(t *testing.T) {
	set := webhooktest.NewKeySet()
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 3 {
				set.Ed25519(i)
				set.RSA()
				set.ServeHTTP(httptest.NewRecorder(), nil)
			}
		})
	}
	all.Go(set.Rotate)
	all.Wait()
	if set.Fetches() != 12 {
		t.Errorf("%d fetches", set.Fetches())
	}
}
