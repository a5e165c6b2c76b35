package emulator

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/geminihook/geminihook/shared/gcptest/child"
)

const (
	pollEvery = 20 * time.Millisecond // between two looks whether an emulator answers
	killAfter = 5 * time.Second       // after the polite signal; it needs 0.4 s
	maxOutput = 16 << 10              // bytes of an emulator's output kept, for the error when it does not come up
)

// start runs the emulator on a free port and waits until it answers.
func (p product) start(ctx context.Context, java, jar string) (addr string, stop func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	port, err := child.FreePort() // asked for port 0, the emulators do not tell which they took
	if err != nil {
		return "", nil, err
	}
	args := slices.Concat(p.java, []string{jar}, p.main, []string{"--host=127.0.0.1", "--port=" + port})
	proc, err := launch(exec.Command(java, args...))
	if err != nil {
		return "", nil, err
	}
	addr = net.JoinHostPort("127.0.0.1", port)
	if err := proc.waitReady(ctx, "http://"+addr+"/"); err != nil {
		proc.stop()
		return "", nil, fmt.Errorf("%w; its output: %s", err, proc.output.kept)
	}
	return addr, proc.stop, nil
}

// A process is a running emulator.
type process struct {
	*child.Process
	cmd    *exec.Cmd
	output head // to be read when the process has ended
	once   sync.Once
}

func launch(cmd *exec.Cmd) (p *process, err error) {
	p = &process{cmd: cmd}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	p.Process, err = child.Start(cmd)
	return p, err
}

// waitReady returns when the emulator answers a GET of its root.
func (p *process) waitReady(ctx context.Context, url string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !answers(ctx, url) {
		select {
		case <-p.Ended():
			return fmt.Errorf("ended: %v", p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

func answers(ctx context.Context, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer res.Body.Close()
	io.Copy(io.Discard, io.LimitReader(res.Body, maxOutput))
	return res.StatusCode == http.StatusOK
}

// stop ends the process, politely first, and returns when it has ended.
func (p *process) stop() {
	p.once.Do(func() {
		p.cmd.Process.Signal(syscall.SIGTERM)
		select {
		case <-p.Ended():
		case <-time.After(killAfter):
			p.cmd.Process.Kill()
		}
	})
	<-p.Ended()
}

// A head keeps the beginning of what is written to it. It embeds no buffer, whose ReadFrom would keep everything.
type head struct{ kept []byte }

func (h *head) Write(b []byte) (int, error) {
	h.kept = append(h.kept, b[:min(len(b), maxOutput-len(h.kept))]...)
	return len(b), nil
}
