// Package serve runs the functions on this machine as they are deployed: each in its
// own process, with its own environment. serve starts, watches and ends these
// processes. Firestore, Pub/Sub and Secret Manager are stand-ins in serve's own
// process; with --emulators, Firestore and Pub/Sub are the official emulators. A
// stand-in for the Gemini API starts jobs and delivers their events. serve prints each
// published message, and shows deliveries on a web page.
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
	// finishTimeout bounds the wait for deliveries in flight. Cloud Run waits as long
	// between SIGTERM and SIGKILL.
	finishTimeout = 10 * time.Second

	// headerTimeout bounds the time that a client may take to send a request's headers.
	headerTimeout = 10 * time.Second
)

// Run serves until ctx is done, then waits up to 10 s for deliveries in flight and
// returns nil. It returns an error if an option is invalid, if a part cannot start, if
// a function ends by itself, or if deliveries are unfinished after 10 s. The binary
// must call cloudrun.Main first, because the functions run as processes of the same
// binary.
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

// serve serves until stop is done, then waits for deliveries in flight.
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
		if stop.Err() == nil { // else the same signal has ended serve and the function
			err := c.ended(f)
			_ = finish(server, functions) // err is the error to report
			return err
		}
	case <-stop.Done():
	}
	return finish(server, functions)
}

// listen listens on addr. A port in use is the most common error, so its message names
// the remedy.
func listen(addr string) (net.Listener, error) {
	listener, err := net.Listen("tcp", addr)
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return nil, fmt.Errorf("--addr %s: the port is in use, perhaps by another serve; --addr 127.0.0.1:0 uses a free one", addr)
	case err != nil:
		return nil, fmt.Errorf("--addr %s: %w", addr, err)
	}
	return listener, nil
}

// announce lets send and listen find this serve until withdraw is called. If announce
// fails, it prints a note and serve continues: --url still works.
func announce(me *running.Serve, c *console) (withdraw func()) {
	dir, err := running.Dir()
	if err == nil {
		err = running.Announce(dir, me)
	}
	if err != nil {
		c.note("send and listen cannot find this serve without --url: " + err.Error())
		return func() {}
	}
	return func() { running.Withdraw(dir, me) }
}

// finish stops accepting requests, waits until those in flight are answered, and then
// ends the functions. Cloud Run keeps the same order: it sends no requests after
// SIGTERM.
func finish(server *http.Server, functions functions) error {
	ctx, cancel := context.WithTimeout(context.Background(), finishTimeout)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return fmt.Errorf("deliveries in flight were not finished within %v", finishTimeout)
	}
	return functions.stop(ctx)
}

// describe returns the description of this serve for send, for listen and for the ready
// event. The private keys are added later, because making them takes time.
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
