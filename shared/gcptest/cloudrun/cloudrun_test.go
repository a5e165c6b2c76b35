//go:build unix

package cloudrun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/geminihook/geminihook/shared/gcptest/cloudrun/target"
)

// patience is the timeout for a process on a heavily loaded machine.
const patience = time.Minute

func init() {
	functions.HTTP("Tell", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(os.Stderr, "asked for", r.URL.Path)
		fmt.Fprintln(w, strings.Join(os.Environ(), "\n"))
	})
}

func TestMain(m *testing.M) {
	if name := os.Getenv("TAKEN_ONCE"); name != "" {
		if _, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			os.Exit(portTaken)
		}
	}
	if os.Getenv("DRAINS") != "" {
		term := make(chan os.Signal, 1)
		signal.Notify(term, syscall.SIGTERM)
		go func() {
			<-term
			fmt.Fprintln(os.Stderr, "drained")
			os.Exit(0)
		}()
	}
	Main()
	os.Exit(m.Run())
}

func run(t *testing.T, log io.Writer, env ...string) *Instance {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	i, err := Run(ctx, "Tell", env, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.Kill)
	return i
}

// An instance serves its function, has no environment except the given one, and ends
// on SIGTERM.
func TestInstance(t *testing.T) {
	t.Setenv("OF_THE_SHELL", "1")
	var log strings.Builder
	i := run(t, &log, "DRAINS=1")
	resp, err := http.Get("http://" + i.Addr + "/any/path")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Fields(string(text))
	want := []string{"DRAINS=1", "FUNCTION_TARGET=Tell", target.Listen + "=" + i.Addr}
	if slices.Sort(got); !slices.Equal(got, want) {
		t.Errorf("environment %q, want %q", got, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := i.Stop(ctx); err != nil {
		t.Error(err)
	}
	if got, want := log.String(), "asked for /any/path\ndrained\n"; got != want {
		t.Errorf("logged %q, want %q", got, want)
	}
	if err := i.Stop(ctx); err != nil {
		t.Errorf("ended already: %v", err)
	}
}

// An instance that does not end on SIGTERM is killed when ctx is done.
func TestStopKills(t *testing.T) {
	i := run(t, io.Discard, "DRAINS=1")
	if err := i.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := i.Stop(ctx); err == nil {
		t.Error("no error")
	}
	select {
	case <-i.Ended():
	default:
		t.Error("the instance still runs")
	}
}

func TestRunFails(t *testing.T) {
	var log strings.Builder
	if _, err := Run(t.Context(), "Unknown", nil, &log); err == nil || err.Error() != "instance ended: exit status 1" {
		t.Errorf("unknown function: %v", err)
	}
	if !strings.Contains(log.String(), `no matching function found with name: "Unknown"`) {
		t.Errorf("logged %q", log.String())
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cause := errors.New("enough")
	cancel(cause)
	if _, err := Run(ctx, "Tell", nil, io.Discard); !errors.Is(err, cause) {
		t.Errorf("cancelled: %v, want %v", err, cause)
	}
}

// self runs this binary as an instance that listens on addr.
func self(t *testing.T, addr string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = Environment("Tell", addr, nil)
	return cmd
}

// An instance ends with status portTaken, and without output, if its port is taken.
func TestPortTaken(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cmd := self(t, taken.Addr().String())
	out, err := cmd.CombinedOutput()
	if cmd.ProcessState == nil || cmd.ProcessState.ExitCode() != portTaken || len(out) > 0 {
		t.Errorf("ended with %v and printed %q", err, out)
	}
}

// Run starts an instance again if its port was taken.
func TestRunAgain(t *testing.T) {
	name := filepath.Join(t.TempDir(), "taken")
	run(t, io.Discard, "TAKEN_ONCE="+name)
	if _, err := os.Stat(name); err != nil {
		t.Errorf("the first start did not happen: %v", err)
	}
}

// An instance ends at the end of its standard input, and so with a killed parent,
// even on a system that does not kill children with their parent.
func TestEndsWithInput(t *testing.T) {
	cmd := self(t, "127.0.0.1:0")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 1 {
		t.Errorf("ended with %v", cmd.ProcessState)
	}
}

// In a process that is not an instance, FUNCTION_TARGET is unset.
func TestTargetCleared(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestTargetIsClear$", "-test.v")
	cmd.Env = []string{"FUNCTION_TARGET=Tell"}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestTargetIsClear") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestTargetIsClear(t *testing.T) {
	if got, ok := os.LookupEnv("FUNCTION_TARGET"); ok {
		t.Errorf("FUNCTION_TARGET is %q", got)
	}
}
