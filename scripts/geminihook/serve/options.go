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

// maxVersions is the most secret versions that the functions accept at once.
const maxVersions = secret.MaxVersions

// maxGrace is the longest grace that the reconciler accepts.
const maxGrace = 12 * time.Hour

// Options configure Run.
type Options struct {
	Addr      string   // host:port to listen on; port 0 selects a free port
	Secrets   []string // signing secrets of static webhooks, whsec_…, newest first; nil: a new one
	Tokens    []string // URL tokens of the dynamic endpoint, newest first; nil: a new one
	JWKSURL   string   // key set of dynamic webhooks; empty: serve's own keys
	Audiences []string // accepted JWT audiences; empty: the dynamic URL
	Emulators bool     // use the official Firestore and Pub/Sub emulators
	JSON      bool     // write JSON lines on standard output
	PrintEnv  bool     // print a command that starts each function by hand

	JobTime time.Duration // how long a job runs in the stand-in for the Gemini API

	// ReconcileEvery is the time from one pass of the reconciler to the next. If it is
	// zero, passes run only when the page's button is pressed.
	ReconcileEvery time.Duration

	// Grace is how long after a job's end its missing event counts as missed: from zero
	// to 12 hours.
	Grace time.Duration
}

// complete generates missing secrets and tokens, and checks the other options. Its
// errors contain no secret.
func (o *Options) complete() error {
	if o.Secrets == nil {
		o.Secrets = []string{webhooktest.NewSecret()}
	}
	if o.Tokens == nil {
		o.Tokens = []string{rand.Text()}
	}
	if len(o.Secrets) > maxVersions || len(o.Tokens) > maxVersions {
		return fmt.Errorf("--static-secret-file, --url-token-file: at most %d of each are accepted", maxVersions)
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
