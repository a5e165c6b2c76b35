// Package child starts child processes, which on Linux end with this process, and
// chooses ports for them.
package child

import (
	"os/exec"
	"runtime"
)

// A Process is a child process, started by [Start]. It is safe for concurrent use.
type Process struct {
	cmd   *exec.Cmd
	ended chan struct{}
	err   error // set before ended is closed
}

// Start starts cmd. On Linux the kernel kills the child when this process ends, even if
// this process is killed and even if the child is stopped. On other systems the child
// continues to run after this process has ended in any way, unless the child watches
// its standard input: give cmd a StdinPipe, and let the child end at the end of its
// input. On Unix the child is in a process group of its own, so a terminal's Ctrl-C
// reaches only this process.
//
// Set cmd.Stdout and cmd.Stderr to writers: a pipe of StdoutPipe is closed when the
// child ends, even if it has unread output. Start replaces cmd.SysProcAttr on Unix.
// Signal the child by cmd.Process, and call Process.Wait in place of cmd.Wait.
func Start(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, ended: make(chan struct{})}
	endWithParent(cmd)
	started := make(chan error)
	go func() {
		// On Linux the parent of a child is the thread that started it. The child
		// would be killed if that thread ended.
		runtime.LockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		return nil, err
	}
	return p, nil
}

// Ended returns a channel that is closed when the child has ended and its output has
// been read.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Wait waits until the child has ended, and returns the error of [exec.Cmd.Wait].
func (p *Process) Wait() error {
	<-p.ended
	return p.err
}
