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

// A Process is one instance of a function, run as the platform runs it, which may
// be ended and started again. Its methods may be called concurrently.
type Process struct {
	Log *Log

	t      *testing.T
	target string
	env    []string

	starting sync.Mutex

	mu       sync.Mutex
	instance *cloudrun.Instance // nil before the first start
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
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for !p.listens(ctx) { // if it did, its port may have been taken in between
		if ctx.Err() != nil {
			p.t.Errorf("%s does not listen within %v", p.target, patience)
			return
		}
		p.Kill()
		p.start()
	}
}

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

// listens waits until the process listens, and sends it a first request. It is false if
// the process has ended.
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

func (p *Process) running() *cloudrun.Instance {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.instance
}

// URL is where the process listens: another after each start, none before the first.
func (p *Process) URL() string {
	if i := p.running(); i != nil {
		return "http://" + i.Addr + "/"
	}
	return ""
}

// PID is its number.
func (p *Process) PID() int { return p.running().PID() }

// Signal sends it a signal. One that does not run needs none.
func (p *Process) Signal(s syscall.Signal) {
	if i := p.running(); i != nil {
		_ = i.Signal(s)
	}
}

// Wait waits until it has ended, and returns what with.
func (p *Process) Wait() error {
	if i := p.running(); i != nil {
		return i.Wait()
	}
	return nil
}

// Kill ends it as the platform does when it has lost patience: nothing more is
// done. It returns when that is so.
func (p *Process) Kill() {
	p.Signal(syscall.SIGKILL)
	_ = p.Wait()
}
