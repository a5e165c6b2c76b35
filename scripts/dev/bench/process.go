package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"time"
)

const (
	startLimit = 10 * time.Second       // for a receiver's first answer
	pollEvery  = 100 * time.Microsecond // between two attempts to reach it
)

// A process is a running receiver.
type process struct {
	name    string
	url     string
	started time.Time

	cmd *exec.Cmd
	log *os.File
}

// start starts a receiver in a project, whose environment is all that it gets, and waits for nothing.
func (b *bench) start(ctx context.Context, name string, p *project) (*process, error) {
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	log, err := os.CreateTemp(b.programs, name+"-*.log")
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, filepath.Join(b.programs, name))
	cmd.Env = slices.Concat(p.env, []string{"FUNCTION_TARGET=" + targets[name], "PORT=" + port})
	cmd.Stdout, cmd.Stderr = log, log
	r := &process{name: name, url: "http://127.0.0.1:" + port + "/", started: time.Now(), cmd: cmd, log: log}
	if err := cmd.Start(); err != nil {
		log.Close()
		return nil, err
	}
	return r, nil
}

func freePort() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	return port, err
}

// stop ends the process, and returns when it has ended.
func (r *process) stop() {
	r.cmd.Process.Kill()
	r.cmd.Wait()
	r.log.Close()
	os.Remove(r.log.Name())
}

// fail adds to an error what the receiver wrote last.
func (r *process) fail(err error) error {
	const tail = 2000
	info, statErr := r.log.Stat()
	if statErr != nil {
		return fmt.Errorf("%s: %w", r.name, err)
	}
	last := make([]byte, min(tail, info.Size()))
	r.log.ReadAt(last, info.Size()-int64(len(last)))
	return fmt.Errorf("%s: %w; it wrote last: %s", r.name, err, last)
}

// answered sends a request until it is answered, and returns the answer's status and how long the attempt took that
// was. Before, nobody listened.
func (r *process) answered(ctx context.Context, request func(context.Context) (status int, err error)) (status int, took time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	for {
		begin := time.Now()
		status, err := request(ctx)
		if err == nil {
			return status, time.Since(begin), nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) {
			return 0, 0, r.fail(err)
		}
		time.Sleep(pollEvery)
	}
}

// get asks for anything, over a connection of its own.
func (r *process) get(ctx context.Context) (status int, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.url, nil)
	if err != nil {
		return 0, err
	}
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, err
	}
	resp.Body.Close()
	return resp.StatusCode, nil
}

// A fleet is the three receivers in one project.
type fleet []*process

// deploy starts the receivers, waits until they answer, and warms them and their project up.
func (b *bench) deploy(ctx context.Context, p *project) (fleet, error) {
	var f fleet
	for _, name := range receivers {
		r, err := b.start(ctx, name, p)
		if err != nil {
			f.stop()
			return nil, err
		}
		f = append(f, r)
	}
	for _, r := range f {
		if _, _, err := r.answered(ctx, r.get); err != nil {
			f.stop()
			return nil, err
		}
	}
	for i := range warmTurns {
		if _, err := b.turnEach(ctx, inOrder(f, i), warmConcurrency); err != nil {
			f.stop()
			return nil, err
		}
	}
	return f, nil
}

func (f fleet) stop() {
	for _, r := range f {
		r.stop()
	}
}
