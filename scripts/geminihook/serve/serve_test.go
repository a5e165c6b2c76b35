package serve

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/geminihook/geminihook/scripts/internal/commandtest"
	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"
	"github.com/geminihook/geminihook/shared/gcptest/emulator/emulatortest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

func TestMain(m *testing.M) {
	cloudrun.Main()
	commandtest.Main(m)
}

// signed returns a delivery to a static endpoint, signed by the reference library.
func signed(t *testing.T, url, secret, id string, body []byte) *http.Request {
	t.Helper()
	signer, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	signature, err := signer.Sign(id, now, body)
	if err != nil {
		t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = webhooktest.Header(id, now, signature)
	return req
}

// send sends a request and returns the status of the answer.
func send(t *testing.T, req *http.Request) int {
	t.Helper()
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// deliver sends a genuine delivery, which must be the next one published.
func deliver(t *testing.T, s *commandtest.Serve, id string, body []byte) commandtest.Event {
	t.Helper()
	if got := send(t, signed(t, s.Ready.StaticURL, s.Ready.StaticSecrets[0], id, body)); got != http.StatusNoContent {
		t.Fatalf("answered %d, want 204", got)
	}
	e := s.Next()
	if e.Event != "published" || e.Attributes["ce-id"] != id || !bytes.Equal(e.Data, body) {
		t.Fatalf("published %q, id %q, %q; want %q, %q", e.Event, e.Attributes["ce-id"], e.Data, id, body)
	}
	return e
}

var wantTopics = map[string]string{
	"batch.succeeded": "geminihook-batch", "batch.failed": "geminihook-batch", "batch.expired": "geminihook-batch", "batch.cancelled": "geminihook-batch",
	"interaction.completed": "geminihook-interaction", "interaction.requires_action": "geminihook-interaction",
	"interaction.failed": "geminihook-interaction", "interaction.cancelled": "geminihook-interaction",
	"video.generated": "geminihook-video", "model.retired": "geminihook-other",
}

func TestPublishesByteForByteOnce(t *testing.T) {
	s := commandtest.NewHome(t).Serve(t)
	for _, eventType := range slices.Sorted(maps.Keys(wantTopics)) {
		body := append(webhooktest.NewEvent(eventType), "\n\t "...) // no JSON writer would
		id := webhooktest.NewID()
		e := deliver(t, s, id, body)
		if want := "projects/geminihook-local/topics/" + wantTopics[eventType]; e.Topic != want {
			t.Errorf("%s: topic %s, want %s", eventType, e.Topic, want)
		}
		if got := send(t, signed(t, s.Ready.StaticURL, s.Ready.StaticSecrets[0], id, body)); got != http.StatusNoContent {
			t.Errorf("%s again: answered %d, want 204", eventType, got)
		}
	}
	rest, stderr := s.Stop()
	if len(rest) > 0 {
		t.Errorf("%d more messages published, the first with id %s; want each once", len(rest), rest[0].Attributes["ce-id"])
	}
	checkLog(t, stderr, 2*len(wantTopics))
}

// An empty body is published. With --json its data is "", not null.
func TestEmptyBody(t *testing.T) {
	s := commandtest.NewHome(t).StartServe(t, "--json")
	out := bufio.NewScanner(s.Stdout())
	var ready commandtest.Event
	if !out.Scan() || json.Unmarshal(out.Bytes(), &ready) != nil {
		t.Fatalf("ready: %s", out.Text())
	}
	if got := send(t, signed(t, ready.StaticURL, ready.StaticSecrets[0], webhooktest.NewID(), nil)); got != http.StatusNoContent {
		t.Fatalf("answered %d, want 204", got)
	}
	if !out.Scan() || !strings.HasSuffix(out.Text(), `,"data":""}`) {
		t.Errorf("published %s", out.Text())
	}
}

// A POST to a path without a function is answered 404, logged, and shown on the page. A
// GET is only answered 404.
func TestPostToNoFunction(t *testing.T) {
	s := commandtest.NewHome(t).Serve(t)
	root := strings.TrimSuffix(s.Ready.StaticURL, staticPath)
	paths := []string{"/", "/staticwebhook", "/StaticWebhook/", "/webhook"}
	for _, path := range paths {
		req := signed(t, root+path+"?token=not-to-be-logged", s.Ready.StaticSecrets[0], webhooktest.NewID(), webhooktest.NewEvent("batch.failed"))
		if got := send(t, req); got != http.StatusNotFound {
			t.Errorf("%s: answered %d, want 404", path, got)
		}
	}
	if shown := get(t, root+"/webhook"); shown != "" {
		t.Errorf("GET: %s", shown)
	}
	deliver(t, s, webhooktest.NewID(), webhooktest.NewEvent("batch.failed"))
	for i, path := range paths {
		checkShown(t, fmt.Sprintf("%s/inspector/deliveries/%d", root, i+1), "no_function", "no function is at "+path)
	}
	_, stderr := s.Stop()
	checkLog(t, stderr, len(paths)+1)
	for _, path := range paths {
		want := `"error":"no function is at this path, only at /StaticWebhook and /DynamicWebhook: \"` + path + `\""`
		if strings.Count(stderr, want) != 1 || strings.Contains(stderr, "not-to-be-logged") {
			t.Errorf("%s: logged\n%s", path, stderr)
		}
	}
}

// checkLog fails the test unless standard error is one JSON line per delivery and a
// last line.
func checkLog(t *testing.T, stderr string, deliveries int) {
	t.Helper()
	lines := strings.Split(strings.TrimSpace(stderr), "\n")
	if len(lines) != deliveries+1 {
		t.Errorf("%d lines on standard error, want %d and a last line:\n%s", len(lines), deliveries, stderr)
	}
	for _, line := range lines[:len(lines)-1] {
		if !json.Valid([]byte(line)) {
			t.Errorf("not JSON: %s", line)
		}
	}
}

// file returns a file with some text.
func file(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestReadyTellsAll(t *testing.T) {
	secrets := []string{webhooktest.NewSecret(), webhooktest.NewSecret()}
	s := commandtest.NewHome(t).Serve(t, "--static-secret-file", file(t, secrets[0]+"\n"), "--static-secret-file", file(t, secrets[1]),
		"--url-token-file", file(t, "the-first-url-token"), "--url-token-file", file(t, "the-second-url-token"),
		"--audience", "https://example.com/hook", "--audience", "https://example.com/other")
	if !slices.Equal(s.Ready.StaticSecrets, secrets) || s.Ready.Audience != "https://example.com/hook,https://example.com/other" {
		t.Errorf("secrets %q, audience %q", s.Ready.StaticSecrets, s.Ready.Audience)
	}
	if !strings.HasSuffix(s.Ready.DynamicURL, "/DynamicWebhook?token=the-first-url-token") {
		t.Errorf("dynamic URL %s", s.Ready.DynamicURL)
	}
	resp, err := http.Get(s.Ready.JWKSURL)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("key set: %v, %v", resp, err)
	}
	resp.Body.Close()

	for _, secret := range secrets {
		if got := send(t, signed(t, s.Ready.StaticURL, secret, webhooktest.NewID(), webhooktest.NewEvent("batch.failed"))); got != 204 {
			t.Errorf("signed with one of the secrets: %d, want 204", got)
		}
	}
	for token, want := range map[string]int{"the-first-url-token": 400, "the-second-url-token": 400, "no-url-token": 401} {
		url := strings.Replace(s.Ready.DynamicURL, "the-first-url-token", token, 1) + "&a=1;b=%zz" // passed on as it is
		if got := send(t, signed(t, url, secrets[0], "an.id", nil)); got != want {
			t.Errorf("token %s: answered %d, want %d", token, got, want)
		}
	}
}

// Variables of the developer's shell that name another project, other emulators, or
// settings of the functions do not reach the functions.
func TestEnvironmentDoesNotLeak(t *testing.T) {
	home := commandtest.NewHome(t)
	home.Env = []string{
		"FUNCTION_TARGET=StaticWebhook", "K_SERVICE=nonsense", "PORT=1", "GOOGLE_CLOUD_PROJECT=nonsense",
		"FIRESTORE_EMULATOR_HOST=127.0.0.1:1", "PUBSUB_EMULATOR_HOST=127.0.0.1:1", "SECRET_MANAGER_EMULATOR_HOST=127.0.0.1:1",
		"GOOGLE_APPLICATION_CREDENTIALS=/nonexistent", "FIRESTORE_DATABASE=nonsense", "FIRESTORE_COLLECTION=a/b",
		"ROUTES=nonsense", "SIGNING_SECRET_NAME=nonsense", "URL_TOKEN_SECRET_NAME=nonsense", "URL_TOKEN_REQUIRED=false",
		"JWKS_URL=nonsense", "JWT_AUDIENCES=nonsense", "TIMESTAMP_TOLERANCE=nonsense", "RECORD_RETENTION=nonsense",
		"CLOUD_RUN_TIMEOUT_SECONDS=0", "HTTP_PROXY=http://127.0.0.1:1", "HTTPS_PROXY=http://127.0.0.1:1",
	}
	s := home.Serve(t)
	deliver(t, s, webhooktest.NewID(), webhooktest.NewEvent("batch.succeeded"))
	withoutToken, _, _ := strings.Cut(s.Ready.DynamicURL, "?")
	if got := send(t, signed(t, withoutToken, s.Ready.StaticSecrets[0], "x", nil)); got != http.StatusUnauthorized {
		t.Errorf("without the URL token: %d, want 401", got)
	}
	finishesInFlight(t, s, syscall.SIGTERM)
}

func TestFinishesDeliveriesInFlight(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			finishesInFlight(t, commandtest.NewHome(t).Serve(t), sig)
		})
	}
}

// finishesInFlight sends serve a signal in the middle of a delivery's body.
func finishesInFlight(t *testing.T, s *commandtest.Serve, sig syscall.Signal) {
	t.Helper()
	id, body := webhooktest.NewID(), webhooktest.NewEvent("batch.succeeded")
	req := signed(t, s.Ready.StaticURL, s.Ready.StaticSecrets[0], id, body)
	req.Header.Set("Expect", "100-continue")
	var text bytes.Buffer
	if err := req.Write(&text); err != nil {
		t.Fatal(err)
	}
	conn, err := net.Dial("tcp", req.URL.Host)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(time.Minute))
	half := text.Len() - len(body)/2
	if _, err := conn.Write(text.Bytes()[:half]); err != nil {
		t.Fatal(err)
	}
	answers := bufio.NewReader(conn)
	answer(t, answers, req, http.StatusContinue) // it is being read

	s.Signal(sig)
	waitUntilClosed(t, req.URL.Host)
	if _, err := conn.Write(text.Bytes()[half:]); err != nil {
		t.Fatal(err)
	}
	answer(t, answers, req, http.StatusNoContent)
	if e := s.Next(); e.Attributes["ce-id"] != id {
		t.Errorf("published %s, want %s", e.Attributes["ce-id"], id)
	}
	if status := s.Wait(); status != 0 {
		t.Errorf("status %d, want 0; standard error:\n%s", status, s.Stderr())
	}
}

// answer reads an answer and checks its status. It skips 100 Continue.
func answer(t *testing.T, r *bufio.Reader, req *http.Request, want int) {
	t.Helper()
	for {
		resp, err := http.ReadResponse(r, req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode == want {
			return
		}
		if resp.StatusCode != http.StatusContinue {
			t.Fatalf("answered %s, want %d", resp.Status, want)
		}
	}
}

// waitUntilClosed waits until addr refuses connections.
func waitUntilClosed(t *testing.T, addr string) {
	t.Helper()
	for start := time.Now(); time.Since(start) < 30*time.Second; {
		conn, err := net.Dial("tcp", addr)
		if errors.Is(err, syscall.ECONNREFUSED) {
			return
		}
		if err == nil {
			conn.Close()
		}
	}
	t.Fatal("still listening")
}

func TestFaultsAreOneLine(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	nothing := commandtest.NewHome(t)
	nothing.Env = []string{"PATH=/nonexistent", "FIRESTORE_EMULATOR_HOST=", "PUBSUB_EMULATOR_HOST="}
	elsewhere := commandtest.NewHome(t)
	elsewhere.Env = []string{"FIRESTORE_EMULATOR_HOST=192.0.2.1:80"}
	usual := commandtest.NewHome(t)

	short, spaced := "whsec_c2hvcnQ=", "with a space in it"
	const fault, usage = 1, 2
	for _, tt := range []struct {
		home   *commandtest.Home
		args   []string
		status int
		want   string
	}{
		{usual, []string{"--addr", taken.Addr().String()}, fault, "the port is in use"},
		{usual, []string{"--addr", "127.0.0.1"}, fault, "missing port"},
		{usual, []string{"--addr", ""}, fault, "--addr: no address"},
		{usual, []string{"--grace", "13h"}, fault, "--grace: not from 0s to 12h"},
		{usual, []string{"--grace", "-1s"}, fault, "--grace: not from"},
		{usual, []string{"--reconcile-every", "-1s"}, fault, "--reconcile-every: less than zero"},
		{usual, []string{"--nonsense"}, usage, "--nonsense"},
		{usual, []string{"--json=perhaps"}, usage, "perhaps"},
		{usual, []string{"--addr"}, usage, "needs an argument"},
		{usual, []string{"nonsense"}, usage, "unexpected argument"},
		{usual, []string{"--static-secret-file", file(t, short)}, fault, "--static-secret-file: not a signing secret"},
		{usual, []string{"--static-secret-file", "/nonexistent"}, fault, "--static-secret-file: open /nonexistent"},
		{usual, []string{"--static-secret-file", "-", "--url-token-file", "-"}, usage, "cannot both be standard input"},
		{usual, slices.Repeat([]string{"--static-secret-file", file(t, webhooktest.NewSecret())}, 65), fault, "at most 64"},
		{usual, []string{"--url-token-file", file(t, spaced)}, fault, "--url-token-file: not a URL token"},
		{usual, []string{"--jwks-url", "http://example.com/keys"}, fault, "--jwks-url: key set URL: not https"},
		{nothing, []string{"--emulators"}, fault, "java not found"},
		{elsewhere, []string{"--emulators"}, fault, "not a loopback"},
	} {
		t.Run(strings.Join(tt.args[:1], " ")+" "+tt.want, func(t *testing.T) {
			args := tt.args
			if !slices.Contains(args, "--addr") {
				args = append([]string{"--addr", "127.0.0.1:0"}, args...)
			}
			got := tt.home.Run(t, webhooktest.NewSecret(), append([]string{"serve"}, args...)...)
			lines := strings.Split(strings.TrimSuffix(got.Stderr, "\n"), "\n")
			last := lines[len(lines)-1]
			if got.Status != tt.status || got.Stdout != "" || !strings.HasPrefix(last, "geminihook: ") || !strings.Contains(last, tt.want) {
				t.Errorf("status %d, standard output %q, standard error %q; want %d, nothing, a line with %q", got.Status, got.Stdout, got.Stderr, tt.status, tt.want)
			}
			if len(lines) > 1 && tt.args[0] != "--emulators" {
				t.Errorf("%d lines, want one", len(lines))
			}
			for _, secret := range []string{short, spaced} {
				if strings.Contains(got.Stderr, secret) {
					t.Error("the line contains the secret")
				}
			}
		})
	}
}

func TestHelp(t *testing.T) {
	got := commandtest.NewHome(t).Run(t, "", "serve", "--help")
	if got.Status != 0 || got.Stderr != "" {
		t.Errorf("status %d, standard error %q; want 0 and nothing", got.Status, got.Stderr)
	}
	for _, flag := range []string{"addr", "static-secret-file", "url-token-file", "jwks-url", "audience", "emulators", "json", "print-env", "job-time", "reconcile-every", "grace"} {
		if !strings.Contains(got.Stdout, "\n      --"+flag) {
			t.Errorf("--%s has no description", flag)
		}
	}
}

// Without --json, serve prints the URLs and keys for sending a delivery, then the
// message and its log line in columns, and no control characters from deliveries.
func TestHumanOutput(t *testing.T) {
	s := commandtest.NewHome(t).StartServe(t)
	out := bufio.NewScanner(s.Stdout())
	url, secret := "", ""
	for out.Scan() && !strings.Contains(out.Text(), "Press Ctrl-C to stop") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(out.Text()), " "); name {
		case "static":
			url = strings.TrimSpace(value)
		case "secret":
			secret = strings.TrimSpace(value)
		}
	}
	id := webhooktest.NewID()
	for _, body := range []string{`{"type": "batch.\u001b[31mred", "data": {"id": "batches/1"}}`, "no JSON: \x1b[31m"} {
		if got := send(t, signed(t, url, secret, id, []byte(body))); got != http.StatusNoContent {
			t.Fatalf("answered %d, want 204", got)
		}
		id += "-2"
	}
	s.Signal(syscall.SIGINT)
	var shown strings.Builder
	for out.Scan() {
		fmt.Fprintln(&shown, out.Text())
	}
	if status := s.Wait(); status != 0 {
		t.Errorf("status %d, want 0", status)
	}
	all := shown.String() + s.Stderr()
	for _, want := range []string{"geminihook-batch", "geminihook-other", id[:40], "batches/1", "no JSON: ·[31m", "204 published", "static v1", "stopped; "} {
		if !strings.Contains(all, want) {
			t.Errorf("%q is not shown in:\n%s", want, all)
		}
	}
	for _, bad := range []string{"\x1b", "Serving function", "severity", probeID} {
		if strings.Contains(all, bad) {
			t.Errorf("%q is shown in:\n%s", bad, all)
		}
	}
}

func TestRoot(t *testing.T) {
	home := commandtest.NewHome(t)
	s := home.Serve(t)
	base, err := url.Parse(s.Ready.StaticURL)
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int{"/": 200, "/nothing": 404, "/StaticWebhook/x": 404, "/StaticWebhook": 405} {
		resp, err := http.Get(base.ResolveReference(&url.URL{Path: path}).String())
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil || resp.StatusCode != want {
			t.Errorf("%s: %s, %v; want %d", path, resp.Status, err, want)
		}
		_, token, _ := strings.Cut(s.Ready.DynamicURL, "=")
		if bytes.Contains(text, []byte(s.Ready.StaticSecrets[0])) || bytes.Contains(text, []byte(token)) || resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: a web page elsewhere could read the answer: %v %s", path, resp.Header, text)
		}
		if instance := resp.Header.Get(running.Header); (instance != "") != (path == "/") {
			t.Errorf("%s: instance %q", path, instance)
		}
	}
}

func TestOfficialEmulators(t *testing.T) {
	firestore, _ := emulatortest.Firestore(t)
	pubsub, _ := emulatortest.PubSub(t)
	home := commandtest.NewHome(t)
	home.Env = []string{"FIRESTORE_EMULATOR_HOST=" + firestore, "PUBSUB_EMULATOR_HOST=" + pubsub}
	s := home.Serve(t, "--emulators")
	// The emulators may be slow enough for a 503, after which the sender retries.
	if got := home.Run(t, "", "send", "--scheme", "v1", "--retry", "--retry-pause", "100ms"); got.Status != 0 {
		t.Errorf("deliver: status %d:\n%s%s", got.Status, got.Stdout, got.Stderr)
	}
	checkPage(t, s)
	rest, _ := s.Stop()
	topics := make(map[string]string)
	for _, e := range rest {
		topics[e.Attributes["ce-type"]] = path.Base(e.Topic)
	}
	for _, eventType := range webhooktest.Types {
		if topics[eventType] != wantTopics[eventType] {
			t.Errorf("%s is on topic %q, want %s", eventType, topics[eventType], wantTopics[eventType])
		}
	}
}

// checkPage waits until the page shows a delivery's record and message. With the
// official emulators, the message arrives some time after the answer.
func checkPage(t *testing.T, s *commandtest.Serve) {
	t.Helper()
	checkShown(t, strings.TrimSuffix(s.Ready.StaticURL, staticPath)+"/inspector/deliveries/1", "attempt 1", "Copy as JSON")
}

// checkShown waits until the page at url contains all texts.
func checkShown(t *testing.T, url string, texts ...string) {
	t.Helper()
	shown := ""
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		shown = get(t, url)
		if !slices.ContainsFunc(texts, func(text string) bool { return !strings.Contains(shown, text) }) {
			return
		}
	}
	t.Errorf("%s does not show all of %q:\n%s", url, texts, shown)
}

// get returns the page at a URL, or "" if it is not found.
func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != http.StatusOK {
		return ""
	}
	return string(text)
}

func TestStartFunctionsEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if err := new(parts).functions(new(Options), new(running.Serve), newConsole(true)).start(ctx); !errors.Is(err, cause) {
		t.Errorf("%v, want %v", err, cause)
	}
}

// If a function cannot be built, start fails without waiting for its timeout.
func TestStartFunctionsFails(t *testing.T) {
	c := newConsole(true)
	shown := new(bytes.Buffer)
	c.out, c.err = shown, shown
	err := new(parts).functions(new(Options), new(running.Serve), c).start(t.Context())
	c.screen.close()
	if err == nil || !strings.Contains(err.Error(), "a GET was answered 503") {
		t.Errorf("%v, want a GET was answered 503; shown:\n%s", err, shown)
	}
}
