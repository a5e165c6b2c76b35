// Command serve runs both functions, as they are deployed, on this machine: each in a
// process of its own, which this one starts, watches and ends. What they use of Google
// Cloud runs in this process, or on the official emulators.
// Every message that reaches a topic is shown.
package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/command"
	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"
)

const (
	// finishTimeout bounds the wait for deliveries in flight: what the platform
	// leaves between SIGTERM and SIGKILL.
	finishTimeout = 10 * time.Second

	// headerTimeout bounds how long a request may take to send its headers.
	headerTimeout = 10 * time.Second
)

func main() {
	cloudrun.Main() // a function, if serve started this process as one
	os.Exit(command.Status(os.Stderr, "serve", run(os.Args[1:])))
}

func run(args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	return o.run()
}

// run serves until a signal ends it.
func (o *options) run() error {
	endings := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // nohup has it ignored
		endings = append(endings, syscall.SIGHUP)
	}
	stop, release := signal.NotifyContext(context.Background(), endings...)
	defer release()
	context.AfterFunc(stop, release) // a second signal ends the process at once

	c := newConsole(o.json)
	defer c.screen.close()
	err := serve(stop, o, c)
	if err == nil || stop.Err() != nil && (errors.Is(err, stop.Err()) || errors.Is(err, context.Cause(stop))) {
		c.stopped()
		return nil
	}
	return err
}

// serve serves until stop is done, and then finishes what is under way.
func serve(stop context.Context, o *options, c *console) error {
	listener, err := listen(o.addr)
	if err != nil {
		return err
	}
	defer listener.Close()
	parts, err := startParts(stop, o, c)
	if err != nil {
		return err
	}
	defer parts.stop()

	me := parts.describe(o, listener.Addr().(*net.TCPAddr))
	functions := parts.functions(me.Audience, c)
	if err := functions.start(stop); err != nil {
		return err
	}
	defer functions.kill()
	me.Ed25519, me.RSA = parts.privateKeys()
	page, err := inspect(stop, o, parts, me, c.deliveries)
	if err != nil {
		return err
	}
	out := &output{show: c.log}
	server := &http.Server{
		Handler:           front(functions, me.Instance, page, out),
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          log.New(out, "", 0),
	}
	server.RegisterOnShutdown(c.deliveries.Close)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()

	defer announce(me, c)()
	c.ready(me, parts)
	if o.printEnv {
		c.byHand(functions)
	}
	select {
	case err := <-failed:
		return err
	case f := <-functions.ended():
		if stop.Err() == nil { // the signal may have gone to all processes of a container
			err := c.ended(f)
			_ = finish(server, functions) // one of them has failed already
			return err
		}
	case <-stop.Done():
	}
	return finish(server, functions)
}

// listen listens on addr. That its port is taken is what goes wrong most.
func listen(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("-addr %s: the port is in use, perhaps by another serve; -addr 127.0.0.1:0 takes a free one", addr)
	case err != nil:
		return nil, fmt.Errorf("-addr %s: %w", addr, err)
	}
	return listener, nil
}

// announce lets deliver find this serve until withdraw is called. Where it cannot,
// that is said, and no more: serve is of use without deliver.
func announce(me *running.Serve, c *console) (withdraw func()) {
	dir, err := running.Dir()
	if err == nil {
		err = running.Announce(dir, me)
	}
	if err != nil {
		c.note("deliver will not find this serve by itself: " + err.Error())
		return func() {}
	}
	return func() { running.Withdraw(dir, me) }
}

// finish takes no more requests, waits for the answers to those it has, and then ends
// the functions: as on the platform, which sends no requests after SIGTERM.
func finish(server *http.Server, functions functions) error {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("deliveries in flight were not finished within %v", finishTimeout)
	}
	return functions.stop(ctx)
}

// describe says what this serve is, to deliver and in the ready event; its keys apart.
func (p *parts) describe(o *options, addr *net.TCPAddr) *running.Serve {
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	base := "http://" + addr.String()
	s := &running.Serve{
		Instance:   rand.Text(),
		Started:    time.Now(),
		StaticURL:  base + staticPath,
		DynamicURL: base + dynamicPath + "?token=" + o.tokens[0],
		Secrets:    o.secrets,
		Audience:   o.audience,
		Project:    project,
		PubSub:     p.pubsub,
	}
	if s.Audience == "" {
		s.Audience = base + dynamicPath
	}
	return s
}
