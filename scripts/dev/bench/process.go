package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"github.com/prometheus/procfs"

	"github.com/geminihook/geminihook/shared/gcptest/child"
)

// The names of the receivers, which are also their folders.
const (
	floor    = "floor"
	this     = "this"
	textbook = "textbook"
	empty    = "empty" // only the framework
)

var (
	receivers = []string{floor, this, textbook}

	// functionNames are the values of FUNCTION_TARGET.
	functionNames = map[string]string{floor: "Floor", this: "StaticWebhook", textbook: "Textbook", empty: "Empty"}
)

const (
	startLimit = 10 * time.Second       // bounds a receiver's start
	pollEvery  = 100 * time.Microsecond // between attempts to connect to it

	// warmTurns turns with warmConcurrency let the emulators' JIT compile their code.
	warmTurns       = 14
	warmConcurrency = 16
)

// build builds the receivers. They are separate programs, because a program's imports
// affect its start time and its memory.
func (b *bench) build(ctx context.Context) error {
	const all = "github.com/geminihook/geminihook/scripts/dev/bench/receivers/..."
	out, err := exec.CommandContext(ctx, "go", "build", "-o", b.programs+"/", all).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w (run this with go run -C scripts/dev/bench): %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// A process is a running receiver.
type process struct {
	name    string
	url     string
	log     string // file
	started time.Time
	cmd     *exec.Cmd
	child   *child.Process
	proc    procfs.Proc // without /proc, its methods fail
}

// start starts a receiver with only the project's environment. It does not wait until
// the receiver listens.
func (b *bench) start(ctx context.Context, name string, p *project) (*process, error) {
	port, err := child.FreePort()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(b.programs, name+".log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.CommandContext(ctx, filepath.Join(b.programs, name))
	cmd.Env = slices.Concat(p.env, []string{"FUNCTION_TARGET=" + functionNames[name], fmt.Sprint("PORT=", port)})
	cmd.Stdout, cmd.Stderr = log, log
	r := &process{name: name, url: fmt.Sprintf("http://127.0.0.1:%s/", port), log: log.Name(), started: time.Now(), cmd: cmd}
	if r.child, err = child.Start(cmd); err != nil {
		return nil, err
	}
	r.proc, _ = procfs.NewProc(cmd.Process.Pid)
	return r, nil
}

// stop kills the process and waits until it has ended. It may be called again.
func (r *process) stop() {
	r.cmd.Process.Kill()
	_ = r.child.Wait() // the error is that a signal ended the process
}

// fail adds the end of the receiver's log to an error.
func (r *process) fail(err error) error {
	log, _ := os.ReadFile(r.log)
	return fmt.Errorf("%s: %w; its log ends: %s", r.name, err, log[max(0, len(log)-2000):])
}

// answered retries a request while the receiver refuses connections, at most
// startLimit.
func (r *process) answered(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		err := request(ctx)
		if err == nil {
			return nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return r.fail(err)
		}
		time.Sleep(pollEvery)
	}
}

// get sends a GET request over a new connection, and accepts any answer.
func (r *process) get(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

// cpuSeconds returns the process's processor time. It is NaN without /proc.
func (r *process) cpuSeconds() float64 {
	stat, err := r.proc.Stat()
	if err != nil {
		return math.NaN()
	}
	return stat.CPUTime()
}

// memory returns the current resident bytes and their peak since resetPeak. Both are
// NaN without /proc.
func (r *process) memory() (resident, peak float64) {
	status, err := r.proc.NewStatus()
	if err != nil {
		return math.NaN(), math.NaN()
	}
	return float64(status.VmRSS), float64(status.VmHWM)
}

// resetPeak resets the peak. It does nothing without /proc.
func (r *process) resetPeak() {
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", r.cmd.Process.Pid), []byte("5"), 0)
}

// A fleet is the running receivers of one project.
type fleet []*process

func (f fleet) stop() {
	for _, r := range f {
		r.stop()
	}
}

// deploy makes a project with a number of records, starts and warms up the receivers,
// and calls use. It ends all processes before it returns.
func (b *bench) deploy(ctx context.Context, between between, records int, use func(*project, fleet) error) error {
	p, err := b.newProject(ctx, between)
	defer p.close()
	if err != nil {
		return err
	}
	if err := p.fill(ctx, records); err != nil {
		return fmt.Errorf("write %d records: %w", records, err)
	}
	var f fleet
	defer func() { f.stop() }()
	for _, name := range receivers {
		r, err := b.start(ctx, name, p)
		if err != nil {
			return err
		}
		f = append(f, r)
		if err := r.answered(ctx, r.get); err != nil {
			return err
		}
	}
	for turn := range warmTurns {
		if err := b.takeTurns(ctx, inOrder(f, turn), warmConcurrency, make(latencies)); err != nil {
			return err
		}
	}
	return use(p, f)
}
