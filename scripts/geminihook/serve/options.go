package serve

import (
	"crypto/rand"
	"errors"
	"fmt"
	"time"

	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// maxVersions is how many values of a secret the functions look at.
const maxVersions = secret.MaxVersions

// maxGrace is the longest grace that the reconciler takes.
const maxGrace = 12 * time.Hour

// Options say how to serve.
type Options struct {
	Addr      string   // host:port; port 0 is a free one
	Secrets   []string // of static webhooks, whsec_…; none: a new one
	Tokens    []string // of the dynamic URL; none: a new one
	JWKSURL   string   // of the public keys of dynamic webhooks; empty: keys of serve's own
	Audiences []string // of tokens; none: the dynamic URL
	Emulators bool     // use the official emulators
	JSON      bool     // write JSON lines on standard output
	PrintEnv  bool     // tell how to start each function by hand

	JobTime time.Duration // how long a job of the stand-in for the Gemini API runs

	// ReconcileEvery is the time from one pass of the reconciler to the next; zero means
	// that only the page asks for passes. An event counts as missed if its job ended
	// longer than Grace ago.
	ReconcileEvery time.Duration
	Grace          time.Duration
}

// complete generates what was left out and checks the rest. The errors hold no secret.
func (o *Options) complete() error {
	if o.Secrets == nil {
		o.Secrets = []string{webhooktest.NewSecret()}
	}
	if o.Tokens == nil {
		o.Tokens = []string{rand.Text()}
	}
	if len(o.Secrets) > maxVersions || len(o.Tokens) > maxVersions {
		return fmt.Errorf("--static-secret-file, --url-token-file: at most %d of each are in force", maxVersions)
	}
	for _, s := range o.Secrets {
		if _, err := webhook.ParseSigningKey([]byte(s)); err != nil {
			return fmt.Errorf("--static-secret-file: %w", err)
		}
	}
	for _, t := range o.Tokens {
		if _, err := webhook.ParseURLToken([]byte(t)); err != nil {
			return fmt.Errorf("--url-token-file: %w", err)
		}
	}
	if o.JWKSURL != "" {
		if _, err := jwks.ParseURL(o.JWKSURL); err != nil {
			return fmt.Errorf("--jwks-url: %w", err)
		}
	}
	switch {
	case o.JobTime < 0:
		return errors.New("--job-time: less than zero")
	case o.ReconcileEvery < 0:
		return errors.New("--reconcile-every: less than zero")
	case o.Grace < 0 || o.Grace > maxGrace:
		return fmt.Errorf("--grace: not from 0s to %v", maxGrace)
	}
	if o.Addr == "" {
		return errors.New("--addr: no address")
	}
	return nil
}
