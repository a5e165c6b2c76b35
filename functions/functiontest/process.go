package functiontest

import (
	"context"
	"net/http"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"
)

// A Process is one instance of a function, run as the platform runs it. It can be
// ended and started again. It is safe for concurrent use.
type Process struct {
	Log *Log // the log of all starts

	t      *testing.T
	target string
	env    []string

	starting sync.Mutex

	mu       sync.Mutex
	instance *cloudrun.Instance // nil before the first start
}

// NewProcess returns an instance of the function registered as target, which is not
// started. Its environment is that of this process plus env. It ends with the test.
// The TestMain must be [Main].
func NewProcess(t *testing.T, target string, env ...string) *Process {
	p := &Process{Log: new(Log), t: t, target: target, env: env}
	t.Cleanup(p.Kill)
	return p
}

// Start starts the instance, waits until it listens, and sends it a GET request. A
// webhook function answers 405, and the line of this request is in Log. If the instance
// already runs, Start only waits and sends the request.
func (p *Process) Start() {
	p.starting.Lock()
	defer p.starting.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !p.listens(ctx) { // it may have ended because another process took its port
		if ctx.Err() != nil {
			p.t.Errorf("%s does not listen within %v", p.target, patience)
			return
		}
		p.Kill()
		p.start()
	}
}

// start starts a new instance on another port.
func (p *Process) start() {
	p.mu.Lock()
	defer p.mu.Unlock()
	instance, err := cloudrun.Start(p.target, slices.Concat(os.Environ(), p.env), p.Log)
	if err != nil {
		p.t.Error(err)
		return
	}
	p.instance = instance
}

// listens waits until the process listens, and sends it a first request. It returns
// false if the process has ended.
func (p *Process) listens(ctx context.Context) bool {
	i := p.running()
	if i == nil || i.Listens(ctx) != nil {
		return false
	}
	resp, err := http.Get(p.URL())
	if err == nil {
		resp.Body.Close()
	}
	return err == nil
}

// running returns the last instance started, or nil before the first.
func (p *Process) running() *cloudrun.Instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.instance
}

// URL returns the URL of the process. It changes with each start, and is empty before
// the first.
func (p *Process) URL() string {
	if i := p.running(); i != nil {
		return "http://" + i.Addr + "/"
	}
	return ""
}

// PID returns the process id. Do not call it before the first start.
func (p *Process) PID() int { return p.running().PID() }

// Signal sends a signal to the process. It has no effect before the first start.
func (p *Process) Signal(s syscall.Signal) {
	if i := p.running(); i != nil {
		_ = i.Signal(s)
	}
}

// Wait waits until the process has ended, and returns its error as exec.Cmd.Wait
// does.
func (p *Process) Wait() error {
	if i := p.running(); i != nil {
		return i.Wait()
	}
	return nil
}

// Kill ends the process with SIGKILL, as the platform does after its timeout, and
// waits until it has ended.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	_ = p.Wait()
}
