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

// disableAfter is the number of consecutive failed deliveries that disables the
// webhook. Google does not document Gemini's number.
const disableAfter = 20

// startGemini starts the stand-in for the Gemini API, with its public keys, and stores
// its API key in the secret that the reconciler reads. The stand-in also has its own
// listener on loopback, because the functions use plain http only with loopback
// addresses, and --addr may be another address.
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
	host, _, _ := net.SplitHostPort(o.Addr) // valid: serve listens on it
	p.gemini.Deliveries = onlyHere(host)
	p.gemini.Run = func(string) geminitest.Job { return geminitest.Job{For: o.JobTime} }
	p.stops = append(p.stops, func() {
		listener.Close()
		p.gemini.Close()
	})
	p.geminiURL = "http://" + listener.Addr().String()
	if o.JWKSURL == "" {
		p.keys = p.gemini.Keys
		go p.keys.RSA() // makes the key, which is slow, while the functions start
		p.jwksURL = p.geminiURL + "/.well-known/jwks.json"
	}
	server := &http.Server{Handler: p.gemini, ReadHeaderTimeout: headerTimeout}
	go server.Serve(listener)
	return nil
}

// registerWebhook registers the static function's URL as the first webhook, signed with
// the newest secret.
func (p *parts) registerWebhook(me *running.Serve) {
	p.gemini.AddWithSecret(me.StaticURL, me.Secrets[0])
}

// onlyHere is a transport that connects only to loopback addresses and to its value,
// the host that serve listens on. The stand-in must not deliver to other machines.
type onlyHere string

// RoundTrip implements http.RoundTripper.
func (host onlyHere) RoundTrip(req *http.Request) (*http.Response, error) {
	ip := net.ParseIP(req.URL.Hostname())
	if req.URL.Hostname() != string(host) && (ip == nil || !ip.IsLoopback()) {
		return nil, errors.New("not delivered: serve delivers only to this machine")
	}
	return http.DefaultTransport.RoundTrip(req)
}
