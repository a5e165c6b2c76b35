// Package commandtest builds the commands under scripts and runs them as a user
// would, each test in a home of its own.
package commandtest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

var (
	built    string   // where the binaries are
	building sync.Map // by command, func() error
)

// binary builds a command, under the race detector if the test runs under it, and
// returns its path.
func binary(t *testing.T, command string) string {
	t.Helper()
	path := filepath.Join(built, command)
	build, _ := building.LoadOrStore(command, sync.OnceValue(func() error {
		args := []string{"build", "-o", path}
		if race() {
			args = append(args, "-race")
		}
		out, err := exec.Command("go", append(args, module+"/scripts/"+command)...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
		return nil
	}))
	if err := build.(func() error)(); err != nil {
		t.Fatalf("build %s: %v", command, err)
	}
	return path
}

func race() bool {
	info, ok := debug.ReadBuildInfo()
	return ok && slices.Contains(info.Settings, debug.BuildSetting{Key: "-race", Value: "true"})
}

// A Home is where a user of the commands works. The commands find one another only
// within it.
type Home struct {
	Env []string // beside the home itself; may be added to

	dir string
}

// NewHome returns an empty home.
func NewHome(t *testing.T) *Home { return &Home{dir: t.TempDir()} }

func (h *Home) command(t *testing.T, name string, args []string) *exec.Cmd {
	path := binary(t, name)
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env = append(os.Environ(), "GEMINIHOOK_SECRET=", "HOME="+h.dir, "XDG_CACHE_HOME="+filepath.Join(h.dir, "cache"))
	cmd.Env = append(cmd.Env, "GORACE=atexit_sleep_ms=0") // a second an exit, otherwise
	cmd.Env = append(cmd.Env, h.Env...)
	return cmd
}

// Command returns a command to be started, which ends with the test.
func (h *Home) Command(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	return h.command(t, name, args)
}

// A Result is what a command left.
type Result struct {
	Status         int
	Stdout, Stderr string
}

// Run runs a command to its end, with stdin as its standard input.
func (h *Home) Run(t *testing.T, stdin, name string, args ...string) Result {
	t.Helper()
	cmd := h.command(t, name, args)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatalf("%s: %v", name, err)
	}
	return Result{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// A Serve is a running serve.
type Serve struct {
	Ready Event

	t      *testing.T
	cmd    *exec.Cmd
	events *json.Decoder
	stdout io.Reader
	stderr bytes.Buffer // to be read when it has ended
}

// An Event is one of those that serve writes with -json.
type Event struct {
	Event         string
	StaticURL     string   `json:"static_url"`
	DynamicURL    string   `json:"dynamic_url"`
	StaticSecrets []string `json:"static_secrets"`
	JWKSURL       string   `json:"jwks_url"`
	Audience      string
	Topic         string
	Attributes    map[string]string
	Data          []byte
}

// Serve starts serve on a free port and waits until it is ready. It is ended with
// the test.
func (h *Home) Serve(t *testing.T, args ...string) *Serve {
	t.Helper()
	s := h.StartServe(t, append([]string{"-json"}, args...)...)
	if s.Ready = s.Next(); s.Ready.Event != "ready" {
		t.Fatalf("the first event is %q, want ready", s.Ready.Event)
	}
	return s
}

// StartServe starts serve on a free port, and waits for nothing.
func (h *Home) StartServe(t *testing.T, args ...string) *Serve {
	t.Helper()
	s := &Serve{t: t, cmd: h.command(t, "serve", append([]string{"-addr", "127.0.0.1:0"}, args...))}
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

// Stdout is serve's standard output, for whoever starts it without -json.
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
