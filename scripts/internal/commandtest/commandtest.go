// Package commandtest builds the geminihook command and runs it as a user would. Each
// test uses its own home folder.
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

	// limit bounds each run. It leaves time for a loaded machine to start emulators.
	limit = 2 * time.Minute
)

// Main runs the tests and removes the binary that they built. Call it from TestMain. It
// does not return.
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

// built is the folder that the binary is built in.
var built string

// build builds the command once and returns the binary's path. It uses the race
// detector if the test does.
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

// readSources reads every folder that the binary is built from. go test caches a result
// until a file or folder that the test has read changes, and it does not notice the
// files that the build reads. Without this, a cached result would survive a change of
// the sources.
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

// race reports whether the test runs under the race detector.
func race() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// A Home is the home folder of a user of the command. Runs find each other (for example
// send finds serve) only within one Home.
type Home struct {
	Env []string // variables in addition to the home's; a test may append to it

	dir string
}

// NewHome returns an empty home, which is removed when the test ends.
func NewHome(t *testing.T) *Home { return &Home{dir: t.TempDir()} }

// Command returns geminihook with args, ready to be started. The process is killed when
// the test ends, or after two minutes.
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
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // otherwise each exit takes a second
	cmd.Env = append(cmd.Env, h.Env...)
	return cmd
}

// A Result is the exit status and the output of a run.
type Result struct {
	Status         int
	Stdout, Stderr string
}

// Run runs geminihook with args until it ends, with stdin as its standard input. A
// status other than 0 does not fail the test.
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

// Check fails the test unless the exit status is status and each of texts is in
// standard output or standard error.
func (r Result) Check(t *testing.T, status int, texts ...string) {
	t.Helper()
	if r.Status != status {
		t.Errorf("exit status %d, want %d", r.Status, status)
	}
	for _, text := range texts {
		if !strings.Contains(r.Stdout+r.Stderr, text) {
			t.Errorf("the output does not contain %q", text)
		}
	}
	if t.Failed() {
		t.Fatalf("standard output:\n%sstandard error:\n%s", r.Stdout, r.Stderr)
	}
}

// A Serve is a running geminihook serve. Its methods fail the test on an error. Use it
// from one goroutine.
type Serve struct {
	Ready Event
	Home  *Home

	t      *testing.T
	cmd    *exec.Cmd
	events *json.Decoder
	stdout io.Reader
	stderr bytes.Buffer // read it only when serve has ended
}

// An Event is one event that serve writes with --json. Fields that the event lacks are
// zero.
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

	inspector.Pass // set if Event is "pass"
}

// Serve starts serve on a free port and waits until it is ready. It is killed when the
// test ends.
func (h *Home) Serve(t *testing.T, args ...string) *Serve {
	t.Helper()
	s := h.StartServe(t, append([]string{"--json"}, args...)...)
	if s.Ready = s.Next(); s.Ready.Event != "ready" {
		t.Fatalf("the first event is %q, want ready", s.Ready.Event)
	}
	return s
}

// StartServe starts serve on a free port and does not wait. The reconciler runs only if
// args or the page ask for a pass.
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

// Next waits for the next event and returns it. It fails the test if serve ends first.
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

// PID returns the id of serve's process.
func (s *Serve) PID() int { return s.cmd.Process.Pid }

// Signal sends a signal to serve.
func (s *Serve) Signal(sig syscall.Signal) {
	s.t.Helper()
	if err := s.cmd.Process.Signal(sig); err != nil {
		s.t.Fatal(err)
	}
}

// Stop ends serve as Ctrl-C does, waits until it has ended, and returns the events that
// were not yet read, and its standard error. It fails the test if the exit status is
// not 0.
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
		s.t.Errorf("serve: exit status %d, want 0; standard error:\n%s", status, s.stderr.String())
	}
	return rest, s.stderr.String()
}

// Stdout returns serve's standard output, for tests that start it without --json.
func (s *Serve) Stdout() io.Reader { return s.stdout }

// Stderr returns serve's standard error. Call it only when serve has ended.
func (s *Serve) Stderr() string { return s.stderr.String() }

// Wait waits until serve has ended and returns its exit status, -1 if a signal killed
// it.
func (s *Serve) Wait() int {
	s.t.Helper()
	err := s.cmd.Wait()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		s.t.Fatal(err)
	}
	return s.cmd.ProcessState.ExitCode()
}
