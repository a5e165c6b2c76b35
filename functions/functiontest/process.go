package functiontest

import (
	"net/http"
	"os"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/gcptest/child"
)

// A Process is one instance of a function, run as the platform runs it, which may
// be ended and started again. Its methods may be called concurrently.
type Process struct {
	Log *Log

	t      *testing.T
	target string
	env    []string

	starting sync.Mutex

	mu    sync.Mutex
	cmd   *exec.Cmd // nil before the first start
	child *child.Process
	url   string
}

// NewProcess returns an instance of the function registered as target, not started
// yet, in this process's environment and env. It ends with the test, whose TestMain
// must be [Main].
func NewProcess(t *testing.T, target string, env ...string) *Process {
	p := &Process{Log: new(Log), t: t, target: target, env: env}
	t.Cleanup(p.Kill)
	return p
}

// Start starts the instance, unless it runs, and waits until it listens.
func (p *Process) Start() {
	p.starting.Lock()
	defer p.starting.Unlock()
	deadline := time.Now().Add(patience)
	for !p.listens(deadline) { // where it did, its port may have been taken in between
		if time.Now().After(deadline) {
			p.t.Errorf("%s does not listen within %v", p.target, patience)
			return
		}
		p.Kill()
		p.start(FreePort(p.t))
	}
}

func (p *Process) start(port string) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = slices.Concat(os.Environ(), p.env, []string{"FUNCTION_TARGET=" + p.target, servePort + "=" + port})
	cmd.Stderr = p.Log
	if _, err := cmd.StdinPipe(); err != nil { // closed by the end of either process
		p.t.Error(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	started, err := child.Start(cmd)
	if err != nil {
		p.t.Error(err)
		return
	}
	p.cmd, p.child, p.url = cmd, started, "http://127.0.0.1:"+port+"/"
}

// listens waits until the process listens; it does not where it has ended.
func (p *Process) listens(deadline time.Time) bool {
	cmd, started := p.running()
	for cmd != nil && time.Now().Before(deadline) {
		select {
		case <-started.Ended():
			return false
		default:
		}
		resp, err := http.Get(p.URL())
		if err == nil {
			resp.Body.Close()
			return true
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

func (p *Process) running() (*exec.Cmd, *child.Process) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd, p.child
}

// URL is where the process listens: another after each start, none before the first.
func (p *Process) URL() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.url
}

// PID is its number.
func (p *Process) PID() int {
	cmd, _ := p.running()
	return cmd.Process.Pid
}

// Signal sends it a signal. One that does not run needs none.
func (p *Process) Signal(s syscall.Signal) {
	if cmd, _ := p.running(); cmd != nil {
		_ = cmd.Process.Signal(s)
	}
}

// Wait waits until it has ended, and returns what with.
func (p *Process) Wait() error {
	cmd, started := p.running()
	if cmd == nil {
		return nil
	}
	return started.Wait()
}

// Kill ends it as the platform does when it has lost patience: nothing more is
// done. It returns when that is so.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	_ = p.Wait()
}
