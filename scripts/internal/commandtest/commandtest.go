// Package commandtest builds the geminihook command and runs it as a user would, each
// test in a home of its own.
package commandtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/serve/inspector"
)

const (
	module = "github.com/geminihook/geminihook"

	// limit bounds every run, a loaded machine with emulators to start included.
	limit = 2 * time.Minute
)

// Main runs the tests, and then removes what they built.
func Main(m *testing.M) {
	dir, err := os.MkdirTemp("", "commandtest")
	if err != nil {
		panic(err)
	}
	built = dir
	status := m.Run()
	os.RemoveAll(dir)
	os.Exit(status)
}

// built is the folder of the binary.
var built string

// build builds the command, under the race detector if the test runs under it, and
// returns the binary's path.
var build = sync.OnceValues(func() (path string, err error) {
	path = filepath.Join(built, "geminihook")
	args := []string{"build", "-o", path}
	if race() {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, module+"/scripts/geminihook")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	return path, readSources()
})

// readSources reads the files and folders of all that the binary is built from. go test keeps a
// result until a file or a folder changes that the test has read, and does not see
// those that the build reads.
func readSources() error {
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", module).Output()
	if err != nil {
		return err
	}
	for _, name := range []string{"go.mod", "go.sum", "functions", "shared", "scripts"} {
		path := filepath.Join(strings.TrimSpace(string(root)), name)
		err := filepath.WalkDir(path, func(_ string, _ fs.DirEntry, err error) error { return err })
		if err != nil {
			return err
		}
	}
	return nil
}

func race() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// A Home is where a user of the command works. Its runs find one another only within
// it.
type Home struct {
	Env []string // beside the home itself; may be added to

	dir string
}

// NewHome returns an empty home.
func NewHome(t *testing.T) *Home { return &Home{dir: t.TempDir()} }

// Command returns geminihook with args, to be started. It ends with the test.
func (h *Home) Command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := build()
	if err != nil {
		t.Fatalf("build geminihook: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "GEMINIHOOK_SECRET=", "HOME="+h.dir, "XDG_CACHE_HOME="+filepath.Join(h.dir, "cache"))
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // a second an exit, otherwise
	cmd.Env = append(cmd.Env, h.Env...)
	return cmd
}

// A Result is the exit status of a run, and its output.
type Result struct {
	Status         int
	Stdout, Stderr string
}

// Run runs geminihook with args to its end, with stdin as its standard input.
func (h *Home) Run(t *testing.T, stdin string, args ...string) Result {
	t.Helper()
	cmd := h.Command(t, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("%q: %v", args, err)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// Check checks the exit status, and that the output holds some texts.
func (r Result) Check(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.Status != status {
		t.Errorf("status %d, want %d", r.Status, status)
	}
	for _, text := range texts {
		if !strings.Contains(r.Stdout+r.Stderr, text) {
			t.Errorf("%q is not in the output", text)
		}
	}
	if t.Failed() {
		t.Fatalf("standard output:\n%sstandard error:\n%s", r.Stdout, r.Stderr)
	}
}

// A Serve is a running serve.
type Serve struct {
	Ready Event
	Home  *Home

	t      *testing.T
	cmd    *exec.Cmd
	events *json.Decoder
	stdout io.Reader
	stderr bytes.Buffer // to be read when it has ended
}

// An Event is one of those that serve writes with --json.
type Event struct {
	Event         string
	StaticURL     string   `json:"static_url"`
	DynamicURL    string   `json:"dynamic_url"`
	StaticSecrets []string `json:"static_secrets"`
	JWKSURL       string   `json:"jwks_url"`
	GeminiURL     string   `json:"gemini_url"`
	GeminiAPIKey  string   `json:"gemini_api_key"`
	Audience      string
	Topic         string
	Attributes    map[string]string
	Data          []byte
	Project       string
	PubSub        string `json:"pubsub"`
	JobsTopic     string `json:"jobs_topic"`

	inspector.Pass // of an event "pass"
}

// Serve starts serve on a free port and waits until it is ready. It is ended with
// the test.
func (h *Home) Serve(t *testing.T, args ...string) *Serve {
	t.Helper()
	s := h.StartServe(t, append([]string{"--json"}, args...)...)
	if s.Ready = s.Next(); s.Ready.Event != "ready" {
		t.Fatalf("the first event is %q, want ready", s.Ready.Event)
	}
	return s
}

// StartServe starts serve on a free port, and waits for nothing. The reconciler makes
// passes only if args or the page ask for them.
func (h *Home) StartServe(t *testing.T, args ...string) *Serve {
	t.Helper()
	s := &Serve{Home: h, t: t, cmd: h.Command(t, append([]string{"serve", "--addr", "127.0.0.1:0", "--reconcile-every", "0"}, args...)...)}
	s.cmd.Stderr = &s.stderr
	stdout, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	s.stdout, s.events = stdout, json.NewDecoder(stdout)
	s.events.DisallowUnknownFields()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if s.cmd.ProcessState == nil {
			s.cmd.Process.Kill()
			s.cmd.Wait()
		}
	})
	return s
}

// Next returns the next event.
func (s *Serve) Next() Event {
	s.t.Helper()
	var e Event
	if err := s.events.Decode(&e); err != nil {
		s.cmd.Process.Kill()
		s.cmd.Wait()
		s.t.Fatalf("serve's next event: %v; standard error:\n%s", err, s.stderr.String())
	}
	return e
}

// PID returns the number of serve's process.
func (s *Serve) PID() int { return s.cmd.Process.Pid }

// Signal sends serve a signal.
func (s *Serve) Signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Stop ends serve as Ctrl-C does and returns what it left: the messages that were
// not yet read, and its standard error.
func (s *Serve) Stop() (rest []Event, stderr string) {
	s.t.Helper()
	s.Signal(syscall.SIGINT)
	for {
		var e Event
		err := s.events.Decode(&e)
		if err == io.EOF {
			break
		}
		if err != nil {
			s.t.Fatalf("serve's standard output: %v", err)
		}
		rest = append(rest, e)
	}
	if status := s.Wait(); status != 0 {
		s.t.Errorf("serve ended with status %d; standard error:\n%s", status, s.stderr.String())
	}
	return rest, s.stderr.String()
}

// Stdout is serve's standard output, for tests that start it without --json.
func (s *Serve) Stdout() io.Reader { return s.stdout }

// Stderr is serve's standard error, once it has ended.
func (s *Serve) Stderr() string { return s.stderr.String() }

// Wait waits until serve has ended and returns its exit status, -1 if a signal
// ended it.
func (s *Serve) Wait() int {
	s.t.Helper()
	err := s.cmd.Wait()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		s.t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}
