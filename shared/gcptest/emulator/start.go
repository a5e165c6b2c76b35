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
	pollEvery = 20 * time.Millisecond // interval of checks whether an emulator answers
	killAfter = 5 * time.Second       // time from SIGTERM to SIGKILL; an emulator takes 0.4 s to end
	maxOutput = 16 << 10              // bytes of an emulator's output that are kept, for the error if it does not start
)

// start runs the emulator on a free port and waits until it answers.
func (p product) start(ctx context.Context, java, jar string) (addr string, stop func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	port, err := child.FreePort() // with port 0, the emulators would not report their port
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
	output head // read only after the process has ended
	once   sync.Once
}

// launch starts cmd and keeps the beginning of its output.
func launch(cmd *exec.Cmd) (p *process, err error) {
	p = &process{cmd: cmd}
	cmd.Stdout, cmd.Stderr = &p.output, &p.output
	p.Process, err = child.Start(cmd)
	return p, err
}

// waitReady waits until the emulator answers a GET of its root path. It fails if the
// process ends or ctx is done.
func (p *process) waitReady(ctx context.Context, url string) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for !answers(ctx, url) {
		select {
		case <-p.Ended():
			return fmt.Errorf("process ended: %v", p.cmd.ProcessState)
		case <-ctx.Done():
			return fmt.Errorf("does not answer: %w", ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// answers reports whether a GET of url is answered 200.
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

// stop ends the process, by SIGTERM and if necessary by SIGKILL, and returns after it
// has ended.
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

// A head keeps the first maxOutput bytes that are written to it. It is not a
// bytes.Buffer with a limit, because a buffer's ReadFrom would bypass the limit.
type head struct{ kept []byte }

// Write implements io.Writer. It never fails.
func (h *head) Write(b []byte) (int, error) {
	h.kept = append(h.kept, b[:min(len(b), maxOutput-len(h.kept))]...)
	return len(b), nil
}
