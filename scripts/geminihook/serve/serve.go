// Package serve runs the functions, as they are deployed, on this machine: each in a
// process of its own, which this one starts, watches and ends. What they use of Google
// Cloud runs in this process, or on the official emulators.
// Every message that reaches a topic is shown.
package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/running"
)

const (
	// finishTimeout bounds the wait for deliveries in flight: what the platform
	// leaves between SIGTERM and SIGKILL.
	finishTimeout = 10 * time.Second

	// headerTimeout bounds how long a request may take to send its headers.
	headerTimeout = 10 * time.Second
)

// Run serves until ctx is done, which is no error, and then finishes what is under way.
// The binary must call cloudrun.Main first: the functions are processes of it.
func Run(ctx context.Context, o Options) error {
	if err := o.complete(); err != nil {
		return err
	}
	c := newConsole(o.JSON)
	defer c.screen.close()
	err := serve(ctx, &o, c)
	if err == nil || ctx.Err() != nil && (errors.Is(err, ctx.Err()) || errors.Is(err, context.Cause(ctx))) {
		c.stopped()
		return nil
	}
	return err
}

// serve serves until stop is done, and then finishes what is under way.
func serve(stop context.Context, o *Options, c *console) error {
	listener, err := listen(o.Addr)
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
	functions := parts.functions(o, me, c)
	if err := functions.start(stop); err != nil {
		return err
	}
	defer functions.kill()
	me.Ed25519, me.RSA = parts.privateKeys()
	parts.registerWebhook(me)
	passes := newPasses(stop, functions.reconcile())
	page, err := inspect(stop, o, parts, me, c)
	if err != nil {
		return err
	}
	page.Jobs.Reconcile = passes.run
	out := &output{show: c.log}
	server := &http.Server{
		Handler:           front(functions, me.Instance, page, parts.gemini, out),
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          log.New(out, "", 0),
	}
	server.RegisterOnShutdown(c.deliveries.Close)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()

	defer announce(me, c)()
	c.ready(o, me, parts)
	go passes.every(o.ReconcileEvery)
	if o.PrintEnv {
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
		return nil, fmt.Errorf("--addr %s: the port is in use, perhaps by another serve; --addr 127.0.0.1:0 takes a free one", addr)
	case err != nil:
		return nil, fmt.Errorf("--addr %s: %w", addr, err)
	}
	return listener, nil
}

// announce lets send and listen find this serve until withdraw is called. If it cannot,
// it only says so: serve is of use without them.
func announce(me *running.Serve, c *console) (withdraw func()) {
	dir, err := running.Dir()
	if err == nil {
		err = running.Announce(dir, me)
	}
	if err != nil {
		c.note("send and listen will not find this serve by themselves: " + err.Error())
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

// describe describes this serve, to send and listen and in the ready event; its keys
// apart.
func (p *parts) describe(o *Options, addr *net.TCPAddr) *running.Serve {
	if addr.IP.IsUnspecified() {
		addr.IP = net.IPv4(127, 0, 0, 1)
	}
	base := "http://" + addr.String()
	s := &running.Serve{
		Instance:   rand.Text(),
		Started:    time.Now(),
		StaticURL:  base + staticPath,
		DynamicURL: base + dynamicPath + "?token=" + o.Tokens[0],
		Secrets:    o.Secrets,
		Audience:   strings.Join(o.Audiences, ","),
		Project:    project,
		PubSub:     p.pubsub,

		GeminiURL:     base,
		GeminiAPIKey:  p.gemini.Key,
		SecretManager: p.secretManager,
		SigningSecret: signingSecret,
	}
	if s.Audience == "" {
		s.Audience = base + dynamicPath
	}
	return s
}
