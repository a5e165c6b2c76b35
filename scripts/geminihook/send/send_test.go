package send

import (
	"bufio"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/internal/commandtest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

func TestMain(m *testing.M) { commandtest.Main(m) }

// Without flags, send delivers one event of each type to both endpoints.
func TestOneOfEachType(t *testing.T) {
	home := commandtest.NewHome(t)
	s := home.Serve(t)
	got := home.Run(t, "", "send")
	got.Check(t, 0, "18 of 18 accepted")
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
		t.Errorf("%d more messages were published, want 18 in total", len(rest))
	}
}

// With --concurrency, each delivery is still published once.
func TestManyAtATime(t *testing.T) {
	home := commandtest.NewHome(t)
	s := home.Serve(t)
	got := home.Run(t, "", "send", "--count", "150", "--concurrency", "10", "--scheme", "jwt", "--type", "video.generated", "--json")
	got.Check(t, 0)
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
			t.Errorf("published %v, want an id that send reported, and scheme jwt", e.Attributes)
		}
	}
	if len(rest) != 150 || len(ids) != 150 {
		t.Errorf("%d published, %d ids; want 150", len(rest), len(ids))
	}
}

// send uses the newest serve, or the one whose address --url names, with the secrets
// and keys of that serve.
func TestFindsTheServeThatIsMeant(t *testing.T) {
	home := commandtest.NewHome(t)
	first, newest := home.Serve(t), home.Serve(t)
	root, _, _ := strings.Cut(first.Ready.StaticURL, "/StaticWebhook")
	home.Env = append(home.Env, delivery.SecretVariable+"="+webhooktest.NewSecret()) // must not be used: no serve has this secret

	send := func(to *commandtest.Serve, source string, args ...string) {
		t.Helper()
		home.Run(t, "", append([]string{"send", "--type", "batch.failed"}, args...)...).Check(t, 0)
		if got := to.Next().Attributes["ce-source"]; !strings.HasSuffix(got, source) {
			t.Errorf("%q reached %s, want %s", args, got, source)
		}
	}
	send(newest, "/static", "--scheme", "v1")
	send(first, "/dynamic", "--scheme", "v1a", "--url", root)
	send(first, "/static", "--url", first.Ready.StaticURL)
	send(first, "/static", "--url", strings.Replace(first.Ready.StaticURL, "127.0.0.1", "localhost", 1))
	send(first, "/dynamic", "--url", root+"/DynamicWebhook")
	send(first, "/dynamic/jwt", "--url", first.Ready.DynamicURL, "--scheme", "jwt")

	body := filepath.Join(t.TempDir(), "event")
	if err := os.WriteFile(body, []byte("no event"), 0o600); err != nil {
		t.Fatal(err)
	}
	home.Run(t, "", "send", "--scheme", "jwt", "--body-file", body).Check(t, 0)
	if e := newest.Next(); string(e.Data) != "no event" {
		t.Errorf("published %q, want the file's bytes", e.Data)
	}
	first.Stop()
	newest.Stop()
	home.Run(t, "", "send").Check(t, 1, "geminihook: no serve is running: start one with `geminihook serve`")
}

// A delivery to a serve with --jwks-url is signed with --key-file.
func TestKeysFromElsewhere(t *testing.T) {
	keys := webhooktest.NewKeySet()
	source := httptest.NewServer(keys)
	defer source.Close()
	home := commandtest.NewHome(t)
	s := home.Serve(t, "--jwks-url", source.URL)
	home.Run(t, "", "send").Check(t, 1, "this serve has none because of its --jwks-url: give --key-file FILE, or --scheme v1")
	home.Run(t, "", "send", "--scheme", "v1").Check(t, 0, "9 of 9")

	file := filepath.Join(t.TempDir(), "key.pem")
	for _, tt := range []struct {
		key  any
		args []string
		want string
	}{
		{keys.Ed25519(2), []string{"--scheme", "v1a"}, "9 of 9"},
		{keys.Ed25519(2), []string{"--scheme", "jwt"}, "9 of 9"},
		{keys.RSA(), []string{"--scheme", "jwt"}, "9 of 9"},
		{keys.RSA(), []string{"--url", s.Ready.DynamicURL, "--scheme", "jwt", "--type", "x"}, "1 of 1"},
	} {
		der, err := x509.MarshalPKCS8PrivateKey(tt.key)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		home.Run(t, "", append(append([]string{"send"}, tt.args...), "--key-file", file)...).Check(t, 0, tt.want)
	}
}

// flaky rejects the first two attempts of each delivery with 503.
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

// With --retry, send repeats each delivery until it is accepted.
func TestRetriesUntilAccepted(t *testing.T) {
	f := &flaky{attempts: make(map[string]int)}
	receiver := httptest.NewServer(f)
	defer receiver.Close()
	home := commandtest.NewHome(t)
	home.Env = []string{delivery.SecretVariable + "=" + webhooktest.NewSecret()}
	got := home.Run(t, "", "send", "--url", receiver.URL, "--retry", "--retry-pause", "1ms", "--concurrency", "3")
	got.Check(t, 0, "9 of 9 accepted", "retry in ")
	for id, n := range f.attempts {
		if n != 3 {
			t.Errorf("%s: %d attempts, want 3", id, n)
		}
	}
	if len(f.attempts) != 9 {
		t.Errorf("%d ids, want 9", len(f.attempts))
	}
}

// A fault is reported in one line on standard error, with exit status 1, or 2 for wrong
// usage.
func TestFaultsAreOneLine(t *testing.T) {
	home := commandtest.NewHome(t)
	const fault, usage = 1, 2
	for _, tt := range []struct {
		args   string
		status int
		want   string
	}{
		{"send", fault, "no serve is running"},
		{"hostile", fault, "no serve is running"},
		{"send --nonsense", usage, "--nonsense"},
		{"send nonsense", usage, "unexpected argument"},
		{"send --count x", usage, "--count"},
		{"send --count -1", usage, "--count: want 0 or more"},
		{"send --concurrency 0", usage, "--concurrency: want 1 or more"},
		{"send --scheme v2", usage, "--scheme v2: want v1, v1a or jwt"},
		{"send --url 127.0.0.1:8080", usage, "--url: not an http"},
		{"send --url http://127.0.0.1:1", fault, "say how to sign"},
		{"send --url http://127.0.0.1:1 --scheme v1", fault, "v1 needs a secret"},
		{"send --url http://127.0.0.1:1 --scheme v1a", fault, "v1a needs a private key"},
		{"send --url http://127.0.0.1:1 --scheme v1a --secret-file -", fault, "v1a needs a private key"},
		{"send --url http://127.0.0.1:1 --secret-file send_test.go", fault, "signing secret: not a signing secret"},
		{"send --url http://127.0.0.1:1 --secret-file /nonexistent", fault, "--secret-file: open /nonexistent"},
		{"send --secret-file /dev/null", fault, "--secret-file: /dev/null is empty"},
		{"send --url http://127.0.0.1:1 --key-file send_test.go", fault, "private key: not in PEM"},
		{"send --body-file /nonexistent", fault, "--body-file: open /nonexistent"},
		{"send --body-file - --secret-file -", usage, "cannot both be standard input"},
		{"send --body-file x --type y", usage, "--type and --body-file exclude each other"},
		{"send --secret whsec_x", usage, "unknown flag: --secret"},
		{"hostile --retry", usage, "unknown flag: --retry"},
		{"send --jwks-file x", usage, "unknown flag: --jwks-file"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			got := home.Run(t, webhooktest.NewSecret(), strings.Fields(tt.args)...)
			if got.Status != tt.status || got.Stdout != "" || strings.Count(got.Stderr, "\n") != 1 || !strings.HasPrefix(got.Stderr, "geminihook: ") || !strings.Contains(got.Stderr, tt.want) {
				t.Errorf("status %d, standard output %q, standard error %q; want %d, nothing, a line with %q", got.Status, got.Stdout, got.Stderr, tt.status, tt.want)
			}
		})
	}
}

// If the receiver cannot be reached, the output does not disclose the URL token.
func TestConnectionRefused(t *testing.T) {
	got := commandtest.NewHome(t).Run(t, webhooktest.NewSecret(), "send", "--url", "http://127.0.0.1:1/x?token=private", "--secret-file", "-", "--type", "x")
	got.Check(t, 1, "connection refused", "0 of 1 accepted")
	if strings.Contains(got.Stdout+got.Stderr, "private") {
		t.Error("the output discloses the URL token")
	}
}

// If FUNCTION_TARGET is set in a developer's shell, the command still runs as a
// command. As a function without requests it would exit at once on SIGTERM.
func TestFunctionTargetIsIgnored(t *testing.T) {
	tried := make(chan bool, 1)
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		tried <- true
	}))
	defer receiver.Close()
	home := commandtest.NewHome(t)
	home.Env = []string{"FUNCTION_TARGET=StaticWebhook", delivery.SecretVariable + "=" + webhooktest.NewSecret()}
	cmd := home.Command(t, "send", "--url", receiver.URL, "--type", "x", "--retry")
	var out strings.Builder
	cmd.Stdout = &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	<-tried
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), "0 of 1 accepted") {
		t.Errorf("%v, want exit status 1; standard output: %s", cmd.ProcessState, &out)
	}
}

// The help names all flags, and does not disclose the secret in the environment.
func TestHelp(t *testing.T) {
	home := commandtest.NewHome(t)
	home.Env = []string{delivery.SecretVariable + "=whsec_private"}
	got := home.Run(t, "", "send", "--help")
	got.Check(t, 0, "--url", "--secret-file", "--key-file", "--type", "--scheme", "--body-file", "--count N", "--concurrency", "--retry", "--json", delivery.SecretVariable)
	if strings.Contains(got.Stdout, "whsec_private") || got.Stderr != "" {
		t.Error("--help discloses the secret, or writes to standard error")
	}
}
