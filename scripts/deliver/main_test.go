package main

import (
	"bufio"
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/commandtest"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

func TestMain(m *testing.M) { commandtest.Main(m) }

// check holds a result's status, and the texts in its output.
func check(t *testing.T, got commandtest.Result, status int, texts ...string) {
	t.Helper()
	if got.Status != status {
		t.Errorf("status %d, want %d", got.Status, status)
	}
	for _, text := range texts {
		if !strings.Contains(got.Stdout+got.Stderr, text) {
			t.Errorf("%q is not in the output", text)
		}
	}
	if t.Failed() {
		t.Fatalf("standard output:\n%sstandard error:\n%s", got.Stdout, got.Stderr)
	}
}

func TestOneOfEachType(t *testing.T) {
	home := commandtest.NewHome(t)
	s := home.Serve(t)
	got := home.Run(t, "", "deliver")
	check(t, got, 0, "18 of 18 taken")
	lines := bufio.NewScanner(strings.NewReader(got.Stdout))
	for _, endpoint := range []string{"static   v1 ", "dynamic  v1a"} {
		for _, eventType := range webhooktest.Types {
			e := s.Next()
			if !lines.Scan() || !strings.HasPrefix(lines.Text(), endpoint+"  "+eventType) || !strings.Contains(lines.Text(), e.Attributes["ce-id"]+"  204") {
				t.Errorf("line %q, want %s %s %s 204", lines.Text(), endpoint, eventType, e.Attributes["ce-id"])
			}
			if e.Attributes["ce-type"] != eventType {
				t.Errorf("published %s, want %s", e.Attributes["ce-type"], eventType)
			}
		}
	}
	if rest, _ := s.Stop(); len(rest) > 0 {
		t.Errorf("%d more were published", len(rest))
	}
}

// The receiver as it is answers every trial as it should, and whatever is taken is
// published once.
func TestHostile(t *testing.T) {
	home := commandtest.NewHome(t)
	s := home.Serve(t)
	got := home.Run(t, "", "deliver", "-hostile", "-json")
	check(t, got, 0)
	taken := 0
	for _, v := range verdicts(t, got.Stdout) {
		if slices.Contains(v.Got, http.StatusNoContent) {
			taken++
		}
	}
	published := make(map[string]bool)
	rest, _ := s.Stop()
	for _, e := range rest {
		key := e.Attributes["ce-source"] + " " + e.Attributes["ce-id"]
		if published[key] {
			t.Errorf("%s was published twice", key)
		}
		published[key] = true
	}
	if len(published) != taken {
		t.Errorf("%d published, of %d trials that were taken", len(published), taken)
	}
}

type verdictLine struct {
	Trial     string
	Want, Got []int
	OK        bool
}

func verdicts(t *testing.T, output string) (all []verdictLine) {
	t.Helper()
	for line := range strings.Lines(output) {
		var v verdictLine
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Trial == "" || len(v.Got) == 0 {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, v)
	}
	return all
}

// A receiver that takes everything is found out.
func TestHostileToAReceiverThatChecksNothing(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()
	home := commandtest.NewHome(t)
	got := home.Run(t, webhooktest.NewSecret(), "deliver", "-hostile", "-url", receiver.URL, "-secret-file", "-")
	check(t, got, 1, "were not answered as they should be:\n", "  v1: GET\n", "  v1: 6 minutes old\n", "  v1: one bit of the body\n",
		"the answer should have been 401", "ok     static   v1   genuine")

	got = home.Run(t, webhooktest.NewSecret(), "deliver", "-hostile", "-json", "-url", receiver.URL, "-secret-file", "-")
	check(t, got, 1)
	for _, v := range verdicts(t, got.Stdout) {
		if want := v.Want[0] == http.StatusNoContent; v.OK != want {
			t.Errorf("%s: ok %v, want %v", v.Trial, v.OK, want)
		}
	}
}

func TestManyAtATime(t *testing.T) {
	home := commandtest.NewHome(t)
	s := home.Serve(t)
	got := home.Run(t, "", "deliver", "-n", "150", "-concurrency", "10", "-scheme", "jwt", "-type", "video.generated", "-json")
	check(t, got, 0)
	ids := make(map[string]bool)
	for line := range strings.Lines(got.Stdout) {
		var r struct {
			Endpoint, Scheme, Type, ID string
			Status                     int
			OK                         bool
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.Endpoint != "dynamic" || r.Scheme != "jwt" || r.Type != "video.generated" || r.Status != 204 || !r.OK {
			t.Errorf("%v: %s", err, line)
		}
		ids[r.ID] = true
	}
	rest, _ := s.Stop()
	for _, e := range rest {
		if !ids[e.Attributes["ce-id"]] || e.Attributes["ce-scheme"] != "jwt" {
			t.Errorf("published %v", e.Attributes)
		}
	}
	if len(rest) != 150 || len(ids) != 150 {
		t.Errorf("%d published, %d ids; want 150", len(rest), len(ids))
	}
}

func TestFindsTheServeThatIsMeant(t *testing.T) {
	home := commandtest.NewHome(t)
	first, newest := home.Serve(t), home.Serve(t)
	root, _, _ := strings.Cut(first.Ready.StaticURL, "/StaticWebhook")
	home.Env = append(home.Env, secretVariable+"="+webhooktest.NewSecret()) // not theirs, and not for them

	send := func(to *commandtest.Serve, source string, args ...string) {
		t.Helper()
		check(t, home.Run(t, "", "deliver", append([]string{"-type", "batch.failed"}, args...)...), 0)
		if got := to.Next().Attributes["ce-source"]; !strings.HasSuffix(got, source) {
			t.Errorf("%q reached %s, want %s", args, got, source)
		}
	}
	send(newest, "/static", "-scheme", "v1")
	send(first, "/dynamic", "-scheme", "v1a", "-url", root)
	send(first, "/static", "-url", first.Ready.StaticURL)
	send(first, "/static", "-url", strings.Replace(first.Ready.StaticURL, "127.0.0.1", "localhost", 1))
	send(first, "/dynamic", "-url", root+"/DynamicWebhook")
	send(first, "/dynamic/jwt", "-url", first.Ready.DynamicURL, "-scheme", "jwt")

	body := filepath.Join(t.TempDir(), "event")
	if err := os.WriteFile(body, []byte("no event"), 0o600); err != nil {
		t.Fatal(err)
	}
	check(t, home.Run(t, "", "deliver", "-scheme", "jwt", "-body", body), 0)
	if e := newest.Next(); string(e.Data) != "no event" {
		t.Errorf("published %q", e.Data)
	}
	first.Stop()
	newest.Stop()
	check(t, home.Run(t, "", "deliver"), 1, "deliver: no serve is running: start one with `go run ./scripts/serve`")
}

// A serve that has its public keys from elsewhere is signed for with -key.
func TestKeysFromElsewhere(t *testing.T) {
	keys := webhooktest.NewKeySet()
	source := httptest.NewServer(keys)
	defer source.Close()
	home := commandtest.NewHome(t)
	s := home.Serve(t, "-jwks-url", source.URL)
	check(t, home.Run(t, "", "deliver"), 1, "this serve takes its public keys from elsewhere: say -key FILE, or -scheme v1")
	check(t, home.Run(t, "", "deliver", "-scheme", "v1"), 0, "9 of 9")
	check(t, home.Run(t, "", "deliver", "-scheme", "v1", "-hostile"), 0, "trials were answered as they should be", "ok     static   v1   GET")

	file := filepath.Join(t.TempDir(), "key.pem")
	for _, tt := range []struct {
		key  any
		args []string
		want string
	}{
		{keys.Ed25519(2), []string{"-scheme", "v1a"}, "9 of 9"},
		{keys.Ed25519(2), []string{"-scheme", "jwt"}, "9 of 9"},
		{keys.RSA(), []string{"-scheme", "jwt"}, "9 of 9"},
		{keys.RSA(), []string{"-url", s.Ready.DynamicURL, "-scheme", "jwt", "-type", "x"}, "1 of 1"},
	} {
		der, err := x509.MarshalPKCS8PrivateKey(tt.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		check(t, home.Run(t, "", "deliver", append(tt.args, "-key", file)...), 0, tt.want)
	}
}

// flaky refuses the first attempts of every delivery.
type flaky struct {
	mu       sync.Mutex
	attempts map[string]int // by id
}

func (f *flaky) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := r.Header.Get("Webhook-Id")
	if f.attempts[id]++; f.attempts[id] < 3 {
		w.Header().Set("Retry-After", "0")
		w.WriteHeader(http.StatusServiceUnavailable)
	}
}

func TestRetriesUntilTaken(t *testing.T) {
	f := &flaky{attempts: make(map[string]int)}
	receiver := httptest.NewServer(f)
	defer receiver.Close()
	home := commandtest.NewHome(t)
	home.Env = []string{secretVariable + "=" + webhooktest.NewSecret()}
	got := home.Run(t, "", "deliver", "-url", receiver.URL, "-retry", "-retry-pause", "1ms", "-concurrency", "3")
	check(t, got, 0, "9 of 9 taken", "again in ")
	for id, n := range f.attempts {
		if n != 3 {
			t.Errorf("%s: %d attempts, want 3", id, n)
		}
	}
	if len(f.attempts) != 9 {
		t.Errorf("%d ids, want 9", len(f.attempts))
	}
}

func TestFaultsAreOneLine(t *testing.T) {
	secret := webhooktest.NewSecret()
	home := commandtest.NewHome(t)
	for _, tt := range []struct{ args, want string }{
		{"", "no serve is running"},
		{"-hostile", "no serve is running"},
		{"-nonsense", "-nonsense"},
		{"nonsense", "unexpected argument"},
		{"-n x", "-n"},
		{"-n -1", "too small"},
		{"-concurrency 0", "too small"},
		{"-scheme v2", "none of v1, v1a, jwt"},
		{"-url 127.0.0.1:8080", "-url: not an http"},
		{"-url http://127.0.0.1:1", "say how to sign"},
		{"-url http://127.0.0.1:1 -scheme v1", "v1 needs a secret"},
		{"-url http://127.0.0.1:1 -scheme v1a", "v1a needs a private key"},
		{"-url http://127.0.0.1:1 -scheme v1a -secret " + secret, "v1a needs a private key"},
		{"-url http://127.0.0.1:1 -secret whsec_c2hvcnQ=", "-secret: not a signing secret"},
		{"-url http://127.0.0.1:1 -secret-file /nonexistent", "-secret-file: open /nonexistent"},
		{"-url http://127.0.0.1:1 -key main_test.go", "-key: not in PEM"},
		{"-body /nonexistent", "-body: open /nonexistent"},
		{"-hostile -retry", "-hostile sends its own deliveries"},
		{"-jwks-file x", "-jwks-file is for -explain"},
		{"-explain - -secret-file -", "cannot both be standard input"},
		{"-explain /nonexistent -hostile", "-explain sends nothing"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			got := home.Run(t, "", "deliver", strings.Fields(tt.args)...)
			if got.Status != 1 || got.Stdout != "" || strings.Count(got.Stderr, "\n") != 1 || !strings.HasPrefix(got.Stderr, "deliver: ") || !strings.Contains(got.Stderr, tt.want) {
				t.Errorf("status %d, standard output %q, standard error %q; want 1, nothing, a line with %q", got.Status, got.Stdout, got.Stderr, tt.want)
			}
		})
	}
}

func TestNobodyListens(t *testing.T) {
	got := commandtest.NewHome(t).Run(t, "", "deliver", "-url", "http://127.0.0.1:1/x?token=private", "-secret", webhooktest.NewSecret(), "-type", "x")
	check(t, got, 1, "connection refused", "0 of 1 taken")
	if strings.Contains(got.Stdout+got.Stderr, "private") {
		t.Error("the output tells the URL token")
	}
}

func TestHelp(t *testing.T) {
	home := commandtest.NewHome(t)
	home.Env = []string{secretVariable + "=whsec_private"}
	got := home.Run(t, "", "deliver", "-h")
	check(t, got, 0, "-url", "-secret", "-secret-file", "-key", "-type", "-scheme", "-body", "-n N", "-concurrency", "-hostile", "-retry", "-json", secretVariable)
	if strings.Contains(got.Stdout, "whsec_private") || got.Stderr != "" {
		t.Error("-h tells the secret, or writes on standard error")
	}
}

// Every trial has a name of its own within its scheme: the summary tells them by it.
func TestTrialsAreNamed(t *testing.T) {
	for _, scheme := range schemes {
		names := make(map[string]bool)
		for _, tr := range trialsOf(scheme) {
			if names[tr.name] || tr.name == "" || tr.why == "" || len(tr.want) == 0 {
				t.Errorf("%s: %q: named twice, or something is missing", scheme, tr.name)
			}
			names[tr.name] = true
		}
	}
}

// What deliver signs, -explain takes: by a secret from anywhere, and by a key set in
// a file or at a URL.
func TestExplain(t *testing.T) {
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
	captured := func(scheme webhook.Scheme, k *keys) string {
		a := &attempt{scheme: scheme, keys: k, id: webhooktest.NewID(), timestamp: webhooktest.Timestamp(time.Now()), body: webhooktest.NewEvent("video.generated")}
		a.sign = signIn(scheme)
		r, err := a.request()
		if err != nil {
			t.Fatal(err)
		}
		var text bytes.Buffer
		r.header.Write(&text)
		return file(string(scheme), text.String()+"\r\n"+string(r.body))
	}
	secret := webhooktest.NewSecret()
	mine := strangerKeys("https://a.example/x")
	if err := mine.takeSecret(secret); err != nil {
		t.Fatal(err)
	}
	mine.ed25519, mine.token = published.Ed25519(2), published.RSA()
	v1, v1a, jwt := captured(webhook.V1, mine), captured(webhook.V1a, mine), captured(webhook.JWT, mine)
	jwks, secretFile := file("jwks.json", set.Body.String()), file("secret", secret+"\n")

	home := commandtest.NewHome(t)
	for _, tt := range []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{v1, "-secret", secret}, 0, "Genuine"},
		{[]string{v1, "-secret-file", secretFile}, 0, "Genuine"},
		{[]string{v1, "-secret", webhooktest.NewSecret()}, 1, "no signature is by this secret"},
		{[]string{v1, "-jwks-file", jwks}, 1, "static function's URL"},
		{[]string{v1a, "-jwks-file", jwks}, 0, "v1a by key 3 of 4"},
		{[]string{v1a, "-jwks-url", source.URL, "-json"}, 0, `"genuine":true`},
		{[]string{jwt, "-jwks-file", jwks, "-audience", "y,https://a.example/x"}, 0, "alg RS256, kid rsa-1"},
		{[]string{jwt, "-jwks-file", jwks, "-json"}, 1, `"causes":["token-audience"]`},
		{[]string{jwt, "-jwks-file", v1}, 1, "not a JSON Web Key Set"},
		{[]string{v1}, 1, "-explain needs what the receiver verifies by"},
		{[]string{v1, "-secret", secret, "-jwks-file", jwks}, 1, "give one of"},
		{[]string{v1, "-secret", secret, "-n", "2"}, 1, "-n does not go with it"},
		{[]string{jwks, "-secret", secret}, 1, "neither raw HTTP"},
		{[]string{"/nonexistent", "-secret", secret}, 1, "-explain: open /nonexistent"},
	} {
		got := home.Run(t, "", "deliver", append([]string{"-explain"}, tt.args...)...)
		check(t, got, tt.status, tt.want)
		if strings.Contains(got.Stdout+got.Stderr, strings.TrimPrefix(secret, "whsec_")) {
			t.Errorf("%q: the output tells the secret", tt.args)
		}
	}
	text, err := os.ReadFile(v1)
	if err != nil {
		t.Fatal(err)
	}
	home.Env = []string{secretVariable + "=" + secret, "NO_COLOR="}
	check(t, home.Run(t, string(text), "deliver", "-explain", "-"), 0, "✓ signature          good: v1 with this secret\n")
}
