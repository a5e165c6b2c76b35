package explain_test

import (
	"bytes"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/internal/commandtest"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

func TestMain(m *testing.M) { commandtest.Main(m) }

// explain accepts deliveries that send signs, with a secret from a file or the
// environment, and with a key set in a file or at a URL.
func TestCommand(t *testing.T) {
	published := webhooktest.NewKeySet()
	source := httptest.NewServer(published)
	defer source.Close()
	set := httptest.NewRecorder()
	published.ServeHTTP(set, nil)
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	secret := webhooktest.NewSecret()
	mine := delivery.Strangers("https://a.example/x")
	mine.Secret, mine.Ed25519, mine.JWT = secret, published.Ed25519(2), published.RSA()
	captured := func(scheme webhook.Scheme) string {
		m := webhooktest.NewMessage("video.generated", mine.Signer(scheme))
		header, err := m.Header()
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		header.Write(&text)
		return file(string(scheme), text.String()+"\r\n"+string(m.Body))
	}
	v1, v1a, jwt := captured(webhook.V1), captured(webhook.V1a), captured(webhook.JWT)
	jwks, secretFile := file("jwks.json", set.Body.String()), file("secret", secret+"\n")

	home := commandtest.NewHome(t)
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{v1, "--secret-file", secretFile}, 0, "Genuine"},
		{[]string{v1, "--secret-file", file("other", webhooktest.NewSecret())}, 1, "no signature is by this secret"},
		{[]string{v1, "--jwks-file", jwks}, 1, "static function's URL"},
		{[]string{v1a, "--jwks-file", jwks}, 0, "v1a by key 3 of 4"},
		{[]string{v1a, "--jwks-url", source.URL, "--json"}, 0, `"genuine":true`},
		{[]string{jwt, "--jwks-file", jwks, "--audience", "y", "--audience", "https://a.example/x"}, 0, "alg RS256, kid rsa-1"},
		{[]string{jwt, "--jwks-file", jwks, "--json"}, 1, `"causes":["token-audience"]`},
		{[]string{jwt, "--jwks-file", jwks, "--json"}, 1, `"status":401,"step":"jwt","reason":"audience_unset","cause":"token-audience"`},
		{[]string{jwt, "--jwks-file", jwks, "--json"}, 1, `"advice":["give --audience`},
		{[]string{v1, "--secret-file", file("dotenv", "SECRET="+secret+"\n")}, 1, "(secret-line)"},
		{[]string{jwt, "--jwks-file", v1}, 1, "not a JSON Web Key Set"},
		{[]string{v1}, 2, "explain needs the receiver's keys"},
		{[]string{v1, "--secret-file", secretFile, "--jwks-file", jwks}, 2, "give one of"},
		{[]string{v1, "--count", "2"}, 2, "unknown flag: --count"},
		{[]string{}, 2, "explain needs one FILE"},
		{[]string{v1, v1a}, 2, "explain needs one FILE"},
		{[]string{"-", "--secret-file", "-"}, 2, "--secret-file and FILE cannot both be standard input"},
		{[]string{jwks, "--secret-file", secretFile}, 1, "read as a dump of an object with keys: it contains neither headers"},
		{[]string{"/nonexistent", "--secret-file", secretFile}, 1, "FILE: open /nonexistent"},
	} {
		got := home.Run(t, webhooktest.NewSecret(), append([]string{"explain"}, tt.args...)...)
		got.Check(t, tt.status, tt.want)
		if strings.Contains(got.Stdout+got.Stderr, strings.TrimPrefix(secret, "whsec_")) {
			t.Errorf("%q: the output contains the secret", tt.args)
		}
	}
	text, err := os.ReadFile(v1)
	if err != nil {
		t.Fatal(err)
	}
	home.Env = []string{delivery.SecretVariable + "=" + secret, "NO_COLOR="}
	home.Run(t, string(text), "explain", "-").Check(t, 0, "✓ signature          matches: v1 with this secret\n")
}
