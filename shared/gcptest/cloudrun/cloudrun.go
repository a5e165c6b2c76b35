// Package cloudrun runs a function as Cloud Run does: in a process of its own, which
// gets the function's name from its environment and ends on SIGTERM. The process runs
// the same binary as its parent. So the binary must import the function's package,
// and its main or TestMain must call [Main] first.
//
// In processes that are not instances, importing this package unsets FUNCTION_TARGET
// before the packages of functions are initialised: see package target.
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
	host      = "127.0.0.1"          // instances listen on loopback only
	pollEvery = 2 * time.Millisecond // interval of checks whether an instance listens

	// portTaken is the exit status of an instance if another process has taken its
	// port: EX_TEMPFAIL of sysexits.h. An instance does not exit with it for another
	// reason.
	portTaken = 75
)

// ErrPortTaken means that another process took the instance's port after it was
// chosen and before the instance listened. The next start uses another port.
var ErrPortTaken = errors.New("port taken by another process")

// Main serves the function if this process is an instance, and then does not return.
// In any other process it returns at once.
func Main() {
	addr := os.Getenv(target.Listen)
	if addr == "" {
		return
	}
	go endWithParent(os.Stdin)
	err := serve(addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		os.Exit(portTaken) // without a message: the parent retries, and the log is for the function only
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// serve serves the function FUNCTION_TARGET on addr. It returns only if it fails.
func serve(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("%s: %w", target.Listen, err)
	}
	return funcframework.StartHostPort(host, port)
}

// endWithParent ends this process at the end of its standard input, if that is a
// pipe: the parent keeps the other end open until it ends. An instance that is
// started by hand has a terminal or /dev/null as its standard input, and is not
// affected.
func endWithParent(stdin *os.File) {
	info, err := stdin.Stat()
	if err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		return
	}
	_, _ = io.Copy(io.Discard, stdin)
	os.Exit(1)
}

// An Instance is an instance of a function, started by [Start] or [Run]. It is safe
// for concurrent use.
type Instance struct {
	Addr string // HOST:PORT; the instance serves the function on all paths

	cmd     *exec.Cmd
	process *child.Process
}

// Start starts an instance of the function that is registered as name. It does not wait
// until the instance listens. The environment of the instance is that of [Environment]:
// it inherits no variable of this process, even if env is nil. Its output goes to log,
// which is complete when Ended is closed. The instance ends with this process, even if
// this process is killed.
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
	if _, err := cmd.StdinPipe(); err != nil { // closed when either process ends
		return nil, err
	}
	process, err := child.Start(cmd)
	if err != nil {
		return nil, err
	}
	return &Instance{Addr: addr, cmd: cmd, process: process}, nil
}

// Environment returns env with FUNCTION_TARGET and [target.Listen] added. A process
// with this environment is an instance: it serves the function that is registered as
// name, on addr, HOST:PORT.
func Environment(name, addr string, env []string) []string {
	return append(slices.Clip(env), "FUNCTION_TARGET="+name, target.Listen+"="+addr)
}

// Run starts an instance, as [Start] does, and waits until it listens. If its port is
// taken, Run starts the instance again on another port. Run fails if the instance
// ends or ctx is done; then the instance has ended.
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

// Listens waits until the instance listens. If the instance ends, it fails with
// [ErrPortTaken] or with an error that contains the exit status. If ctx is done, it
// fails with the cause of ctx.
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

// err returns the error for an instance that ended before it listened.
func (i *Instance) err() error {
	status := i.Status()
	if i.cmd.ProcessState.ExitCode() == portTaken {
		return ErrPortTaken
	}
	return fmt.Errorf("instance ended: %s", status)
}

// Status waits until the instance has ended, and returns its exit status: "exit
// status 1", "signal: killed".
func (i *Instance) Status() string {
	_ = i.Wait()
	return i.cmd.ProcessState.String()
}

// PID returns the id of the instance's process.
func (i *Instance) PID() int { return i.cmd.Process.Pid }

// Ended returns a channel that is closed when the instance has ended and its output
// has been written.
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

// Stop ends the instance as Cloud Run does: by SIGTERM, and if the instance has not
// ended when ctx is done, by SIGKILL. It returns an error if it used SIGKILL, or if
// the exit status is not 0. On a system without SIGTERM, Stop kills the instance at
// once and returns nil.
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
		return errors.New("instance did not end in time after SIGTERM, and was killed")
	}
}

// Kill ends the instance by SIGKILL, as Cloud Run does 10 seconds after SIGTERM, and
// returns after it has ended.
func (i *Instance) Kill() {
	_ = i.Signal(os.Kill)
	_ = i.Wait()
}
