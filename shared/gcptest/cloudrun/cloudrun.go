// Package cloudrun stands in for Cloud Run: it runs a function as it is deployed, in a
// process of its own that learns from its environment which function it is, and that
// SIGTERM ends. The process runs the same binary as its parent, so the binary must
// import the function's package, and its main or TestMain must call [Main] first.
//
// To import this package is to have FUNCTION_TARGET cleared in all other processes
// before any function's package is initialised.
package cloudrun

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"slices"
	"syscall"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"

	"github.com/geminihook/geminihook/shared/gcptest/child"
	"github.com/geminihook/geminihook/shared/gcptest/cloudrun/target"
)

const (
	host      = "127.0.0.1"
	pollEvery = 2 * time.Millisecond

	// portTaken is the exit status of an instance whose port another process has taken:
	// EX_TEMPFAIL of sysexits.h. No other end of an instance has it.
	portTaken = 75
)

// ErrPortTaken is the error of an instance whose port was taken by another process
// between the choice of the port and the instance's start. The next start takes
// another port.
var ErrPortTaken = errors.New("the port was taken in between")

// Main serves a function and never returns if this process is an instance. In any
// other process it returns at once.
func Main() {
	addr := os.Getenv(target.Listen)
	if addr == "" {
		return
	}
	go endWithParent(os.Stdin)
	err := serve(addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		os.Exit(portTaken) // the parent tries again; the log is the function's alone
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func serve(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %w", target.Listen, err)
	}
	return funcframework.StartHostPort(host, port)
}

// endWithParent ends this process when its standard input does, if that is a pipe: the
// parent keeps the other end open as long as it lives. The standard input of an
// instance that is started by hand is a terminal or /dev/null.
func endWithParent(stdin *os.File) {
	info, err := stdin.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return
	}
	_, _ = io.Copy(io.Discard, stdin)
	os.Exit(1)
}

// An Instance is a running instance of a function. Its methods may be called
// concurrently.
type Instance struct {
	Addr string // HOST:PORT, where it serves the function on all paths

	cmd     *exec.Cmd
	process *child.Process
}

// Start starts an instance of the function that is registered as name, and does not
// wait until it listens. The instance's environment is env and the variables that make
// it an instance. What it prints goes to log, which is complete when Ended is closed.
// It ends with this process, also if this process is killed.
func Start(name string, env []string, log io.Writer) (*Instance, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	addr := net.JoinHostPort(host, port)
	cmd := exec.Command(self)
	cmd.Env = Environment(name, addr, env)
	cmd.Stdout, cmd.Stderr = log, log
	if _, err := cmd.StdinPipe(); err != nil { // closed by the end of either process
		return nil, err
	}
	process, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	return &Instance{Addr: addr, cmd: cmd, process: process}, nil
}

// Environment returns env and the variables that make a process an instance of the
// function that is registered as name, listening on addr.
func Environment(name, addr string, env []string) []string {
	return append(slices.Clip(env), "FUNCTION_TARGET="+name, target.Listen+"="+addr)
}

// Run starts an instance and waits until it listens. If its port is taken, it starts
// the instance again on another one. Run fails if the instance ends or ctx is done.
func Run(ctx context.Context, name string, env []string, log io.Writer) (*Instance, error) {
	for {
		i, err := Start(name, env, log)
		if err != nil {
			return nil, err
		}
		err = i.Listens(ctx)
		if err == nil {
			return i, nil
		}
		i.Kill()
		if !errors.Is(err, ErrPortTaken) {
			return nil, err
		}
	}
}

// Listens waits until the instance listens. It fails with [ErrPortTaken] or with the
// exit status if the instance ends, and with the cause of ctx if that is done.
func (i *Instance) Listens(ctx context.Context) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-i.Ended():
			return i.err()
		case <-tick.C:
		}
		conn, err := net.Dial("tcp", i.Addr)
		if err == nil {
			conn.Close()
			return nil
		}
	}
}

// err is the reason why an instance that has ended was not to be used.
func (i *Instance) err() error {
	status := i.Status()
	if i.cmd.ProcessState.ExitCode() == portTaken {
		return ErrPortTaken
	}
	return fmt.Errorf("ended: %s", status)
}

// Status waits until the instance has ended, and returns how: "exit status 1",
// "signal: killed".
func (i *Instance) Status() string {
	_ = i.Wait()
	return i.cmd.ProcessState.String()
}

// PID returns the number of its process.
func (i *Instance) PID() int { return i.cmd.Process.Pid }

// Ended returns a channel that is closed when the instance has ended and all that it
// printed is written.
func (i *Instance) Ended() <-chan struct{} { return i.process.Ended() }

// Wait waits until the instance has ended, and returns the error of [exec.Cmd.Wait].
func (i *Instance) Wait() error { return i.process.Wait() }

// Signal sends a signal to the instance. It does nothing if the instance has ended.
func (i *Instance) Signal(s os.Signal) error {
	if err := i.cmd.Process.Signal(s); !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	return nil
}

// Stop ends the instance as the platform does: by SIGTERM, and if the instance has not
// ended when ctx is done, by SIGKILL. Then, and if it ended in another way than with
// status 0, Stop returns an error. Where there is no SIGTERM, Stop kills at once.
func (i *Instance) Stop(ctx context.Context) error {
	if err := i.Signal(syscall.SIGTERM); err != nil {
		i.Kill()
		return nil
	}
	select {
	case <-i.Ended():
		return i.Wait()
	case <-ctx.Done():
		i.Kill()
		return errors.New("did not end in time on SIGTERM, and was killed")
	}
}

// Kill ends the instance at once, as the platform does when its patience is over, and
// returns when it has ended.
func (i *Instance) Kill() {
	_ = i.Signal(os.Kill)
	_ = i.Wait()
}
