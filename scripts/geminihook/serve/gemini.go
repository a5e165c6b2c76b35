package serve

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"

	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/geminitest"
)

// disableAfter is how many failed deliveries in a row disable the webhook. Gemini's own
// number is not known.
const disableAfter = 20

// startGemini starts the stand-in for the Gemini API, with its public keys, and stores
// its API key where the reconciler reads it. It has a listener of its own besides
// serve's: over plain http the functions call loopback addresses only, and --addr may be
// another one.
func (p *parts) startGemini(ctx context.Context, o *Options) error {
	listener, err := net.Listen("tcp", anyPort)
	if err != nil {
		return err
	}
	p.gemini = geminitest.New(rand.Text())
	if _, err := p.secrets.AddSecret(ctx, project, apiKeySecret, p.gemini.Key); err != nil {
		return fmt.Errorf("secret %s: %w", apiKeySecret, err)
	}
	p.gemini.DisableAfter = disableAfter
	host, _, _ := net.SplitHostPort(o.Addr) // it was listened on
	p.gemini.Deliveries = onlyHere(host)
	p.gemini.Run = func(string) geminitest.Job { return geminitest.Job{For: o.JobTime} }
	p.stops = append(p.stops, func() {
		listener.Close()
		p.gemini.Close()
	})
	p.geminiURL = "http://" + listener.Addr().String()
	if o.JWKSURL == "" {
		p.keys = p.gemini.Keys
		go p.keys.RSA() // makes the key, which takes long, while the functions start
		p.jwksURL = p.geminiURL + "/.well-known/jwks.json"
	}
	server := &http.Server{Handler: p.gemini, ReadHeaderTimeout: headerTimeout}
	go server.Serve(listener)
	return nil
}

// registerWebhook registers the static function, as the user's first webhook.
func (p *parts) registerWebhook(me *running.Serve) {
	p.gemini.AddWithSecret(me.StaticURL, me.Secrets[0])
}

// onlyHere is a transport to this machine: to loopback addresses, and to the host that
// serve listens on.
type onlyHere string

// RoundTrip implements http.RoundTripper.
func (host onlyHere) RoundTrip(req *http.Request) (*http.Response, error) {
	ip := net.ParseIP(req.URL.Hostname())
	if req.URL.Hostname() != string(host) && (ip == nil || !ip.IsLoopback()) {
		return nil, errors.New("only this machine is ever contacted")
	}
	return http.DefaultTransport.RoundTrip(req)
}
