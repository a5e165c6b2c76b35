package serve

import (
	"bufio"
	"bytes"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/scripts/internal/commandtest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// processes returns the processes of a serve's functions, by FUNCTION_TARGET.
func processes(t *testing.T, s *commandtest.Serve) map[string]*process {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]*process)
	for _, name := range names {
		p := &process{dir: name}
		if p.PID, _ = strconv.Atoi(filepath.Base(name)); p.stat(1) == strconv.Itoa(s.PID()) {
			environment, _ := os.ReadFile(name + "/environ")
			p.env = strings.Split(strings.TrimSuffix(string(environment), "\x00"), "\x00")
			found[p.variable("FUNCTION_TARGET")] = p
		}
	}
	if len(found) != 3 || found["StaticWebhook"] == nil || found["DynamicWebhook"] == nil || found["Reconcile"] == nil {
		t.Fatalf("serve's processes are %v, want one per function", found)
	}
	return found
}

// A process is a child process.
type process struct {
	PID int
	dir string // in /proc
	env []string
}

// stat returns a field of /proc/PID/stat, counted from the state, or "" if the process
// is gone.
func (p *process) stat(field int) string {
	text, _ := os.ReadFile(p.dir + "/stat")
	_, rest, _ := bytes.Cut(text, []byte(") "))
	if fields := strings.Fields(string(rest)); len(fields) > field {
		return fields[field]
	}
	return ""
}

func (p *process) variable(name string) string {
	for _, variable := range p.env {
		if value, ok := strings.CutPrefix(variable, name+"="); ok {
			return value
		}
	}
	return ""
}

// waitUntilEnded waits until the process has ended, and fails the test if it does not.
func (p *process) waitUntilEnded(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(time.Minute); p.stat(0) != "" && p.stat(0) != "Z"; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			_ = syscall.Kill(p.PID, syscall.SIGKILL)
			t.Fatalf("%s still runs", p.variable("FUNCTION_TARGET"))
		}
	}
}

// The functions end with serve, also if serve is killed.
func TestFunctionsEndWithServe(t *testing.T) {
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGQUIT, syscall.SIGTERM} {
		t.Run(sig.String(), func(t *testing.T) {
			s := commandtest.NewHome(t).Serve(t)
			functions := processes(t, s)
			s.Signal(sig)
			s.Wait()
			for _, p := range functions {
				p.waitUntilEnded(t)
			}
		})
	}
}

// Each function has its own process group, so Ctrl-C in a terminal signals only serve.
// serve ends the functions after the deliveries in flight are finished.
func TestProcessGroups(t *testing.T) {
	for name, p := range processes(t, commandtest.NewHome(t).Serve(t)) {
		if group := p.stat(2); group != strconv.Itoa(p.PID) {
			t.Errorf("%s is in the process group %s, want its own, %d", name, group, p.PID)
		}
	}
}

// A function sees the variables that Terraform would set. From the developer's shell,
// it sees only the variables for reaching --jwks-url.
func TestEnvironmentIsItsOwn(t *testing.T) {
	home := commandtest.NewHome(t)
	home.Env = []string{"NO_PROXY=example.com", "OTHER=nonsense"}
	common := []string{
		"FIRESTORE_EMULATOR_HOST", "FUNCTION_TARGET", "GEMINIHOOK_LISTEN", "GOOGLE_CLOUD_PROJECT", "GORACE", "NO_PROXY",
		"PUBSUB_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST", "ROUTES",
	}
	want := map[string][]string{
		"StaticWebhook":  append(common, "SIGNING_SECRET_NAME"),
		"DynamicWebhook": append(slices.Clone(common), "JWKS_URL", "JWT_AUDIENCES", "URL_TOKEN_SECRET_NAME"),
		"Reconcile": append(slices.Clone(common), "API_KEY_SECRET_NAME", "DYNAMIC_URL", "GEMINI_API_URL", "GRACE",
			"JOBS_DEAD_LETTER_TOPIC", "JOBS_SUBSCRIPTION", "RECONCILE", "STATIC_URL"),
	}
	for name, p := range processes(t, home.Serve(t)) {
		var got []string
		for _, variable := range p.env {
			name, _, _ := strings.Cut(variable, "=")
			if !slices.Contains(kept, name) || slices.Contains(common, name) { // the machine may have others
				got = append(got, name)
			}
		}
		slices.Sort(got)
		if slices.Sort(want[name]); !slices.Equal(got, want[name]) {
			t.Errorf("%s has %q, want %q", name, got, want[name])
		}
	}
}

// A function that ends by itself ends serve, which shows its last lines.
func TestFunctionEndsByItself(t *testing.T) {
	s := commandtest.NewHome(t).Serve(t)
	id := webhooktest.NewID()
	deliver(t, s, id, []byte("{}"))
	static := processes(t, s)["StaticWebhook"]
	if err := syscall.Kill(static.PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	if status := s.Wait(); status != 1 {
		t.Errorf("status %d, want 1", status)
	}
	_, after, found := strings.Cut(s.Stderr(), "StaticWebhook ended by itself, after these lines:\n")
	line, last, _ := strings.Cut(after, "\n")
	if !found || !strings.Contains(line, id) || last != "geminihook: StaticWebhook ended by itself: signal: killed\n" {
		t.Errorf("standard error:\n%s", s.Stderr())
	}
}

// Before the first delivery, each function opens its connections and fetches its
// secrets and keys, as in production.
func TestWarmsUp(t *testing.T) {
	p := functiontest.NewEmbedded(t)
	home := commandtest.NewHome(t)
	home.Env = p.Env
	home.Serve(t, "--emulators", "--jwks-url", p.KeysURL)
	var reads int
	functiontest.Eventually(t, "all functions have read from Firestore, the reconciler also from its register, and one has fetched the keys", func() bool {
		for _, call := range p.Calls() {
			if call == functiontest.Read {
				reads++
			}
		}
		return reads == 4 && p.Keys.Fetches() == 1
	})
}

// FUNCTION_TARGET in the developer's shell warms up no function: serve's own process is
// not a function, and its functions do not use the project that the shell names.
func TestShellWarmsNothingUp(t *testing.T) {
	for _, name := range []string{"StaticWebhook", "DynamicWebhook", "Reconcile"} {
		t.Run(name, func(t *testing.T) {
			p := functiontest.NewEmbedded(t)
			p.AddSecret(t, "signing", webhooktest.NewSecret())
			p.AddSecret(t, "token", "0123456789abcdef")
			p.AddSecret(t, "key", "an-api-key")
			home := commandtest.NewHome(t)
			home.Env = append(p.Env, "FUNCTION_TARGET="+name, "SIGNING_SECRET_NAME=signing", "URL_TOKEN_SECRET_NAME=token",
				"API_KEY_SECRET_NAME=key", "STATIC_WEBHOOK=false")
			s := home.Serve(t)
			deliver(t, s, webhooktest.NewID(), webhooktest.NewEvent("batch.succeeded"))
			s.Stop()
			if n := p.Connections(); n != 0 {
				t.Errorf("%d connections to the shell's project, the calls %q, %d fetches of keys; want none", n, p.Calls(), p.Keys.Fetches())
			}
		})
	}
}

// The command that --print-env prints starts another process of a function.
func TestPrintEnv(t *testing.T) {
	secret := webhooktest.NewSecret()
	serve := commandtest.NewHome(t).Command(t, "serve", "--addr", "127.0.0.1:0", "--json", "--static-secret-file", file(t, secret), "--print-env")
	stderr, err := serve.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	start(t, serve)
	command := ""
	for lines := bufio.NewScanner(stderr); lines.Scan() && !strings.Contains(command, "FUNCTION_TARGET=StaticWebhook"); {
		command = lines.Text()
	}
	port := functiontest.FreePort(t)
	start(t, exec.Command("sh", "-c", "exec "+strings.Replace(command, fmt.Sprint("127.0.0.1:", firstByHand), "127.0.0.1:"+port, 1)))
	url := "http://127.0.0.1:" + port
	functiontest.Eventually(t, "it listens", func() bool {
		resp, err := http.Get(url)
		if err == nil {
			resp.Body.Close()
		}
		return err == nil
	})
	if got := send(t, signed(t, url, secret, webhooktest.NewID(), []byte("{}"))); got != http.StatusNoContent {
		t.Errorf("answered %d, want 204", got)
	}
}

// start starts a command that ends with the test.
func start(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
	})
}
