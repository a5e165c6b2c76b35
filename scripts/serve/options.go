package main

import (
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/geminihook/geminihook/scripts/internal/command"
	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const usage = `Usage: go run ./scripts/serve [flags]

Runs both functions, as they are deployed, at /StaticWebhook and /DynamicWebhook:
each in a process of its own, which warms up, drains and ends as in production. If
one ends by itself, serve ends with status 1. Firestore, Secret Manager and Pub/Sub
are embedded in serve's process, or, with -emulators, the official emulators where
there are any. Nothing is kept, nothing is contacted but what -jwks-url names, and no
setting is taken from your environment. Ctrl-C finishes the deliveries in flight and
ends it; a second one ends it at once.

The root of its address is a page: deliveries live as they come, each check that one
went through, its record and its message, and buttons that send samples. It is shown
to this machine only, unless -addr is an address that others reach.

Examples:
  go run ./scripts/serve                       then, beside it: go run ./scripts/deliver
  go run ./scripts/serve -addr 127.0.0.1:0     on a free port
  go run ./scripts/serve -static-secret whsec_NEW -static-secret whsec_OLD
                                               as during a rotation: both are in force
  go run ./scripts/serve -jwks-url https://generativelanguage.googleapis.com/.well-known/jwks.json
                                               behind a tunnel, for Google's own deliveries
  go run ./scripts/serve -json | jq .          JSON lines on standard output, logs on standard error
`

// maxVersions is how many values of a secret the functions look at.
const maxVersions = secret.MaxVersions

type options struct {
	addr      string
	secrets   []string
	tokens    []string
	jwksURL   string
	audience  string
	emulators bool
	json      bool
	printEnv  bool // tell how to start each function by hand
}

// parse returns what args ask for, checked, with what they leave out generated.
func parse(args []string) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("serve", flag.ContinueOnError)
	flags.StringVar(&o.addr, "addr", "127.0.0.1:8080", "listen on this `HOST:PORT`; port 0 is a free one")
	flags.Func("static-secret", "a signing `SECRET` of static webhooks, whsec_…; may be repeated (default: a new one)", collect(&o.secrets))
	flags.Func("url-token", "a `TOKEN` of the dynamic URL, 16 to 256 characters; may be repeated (default: a new one)", collect(&o.tokens))
	flags.StringVar(&o.jwksURL, "jwks-url", "", "take the public keys of dynamic webhooks from this `URL` (default: keys of serve's own, which deliver signs with)")
	flags.StringVar(&o.audience, "audience", "", "the audiences of tokens, a `LIST` with commas (default: the dynamic URL)")
	flags.BoolVar(&o.emulators, "emulators", false, "use the official Firestore and Pub/Sub emulators: those that FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST name, else started")
	flags.BoolVar(&o.json, "json", false, "write JSON lines: a ready event, then one for each message published")
	flags.BoolVar(&o.printEnv, "print-env", false, "print on standard error how to start each function by hand, for a debugger")
	if err := command.Parse(flags, usage, args, os.Stdout); err != nil {
		return nil, err
	}
	return o, o.complete()
}

func collect(to *[]string) func(string) error {
	return func(value string) error {
		*to = append(*to, value)
		return nil
	}
}

// complete fills in what was left out and checks the rest. The errors hold no
// secret.
func (o *options) complete() error {
	if o.secrets == nil {
		o.secrets = []string{webhooktest.NewSecret()}
	}
	if o.tokens == nil {
		o.tokens = []string{rand.Text()}
	}
	if len(o.secrets) > maxVersions || len(o.tokens) > maxVersions {
		return fmt.Errorf("-static-secret, -url-token: at most %d of each are in force", maxVersions)
	}
	for _, s := range o.secrets {
		if _, err := webhook.ParseSigningKey([]byte(s)); err != nil {
			return fmt.Errorf("-static-secret: %w", err)
		}
	}
	for _, t := range o.tokens {
		if _, err := webhook.ParseURLToken([]byte(t)); err != nil {
			return fmt.Errorf("-url-token: %w", err)
		}
	}
	if o.jwksURL != "" {
		if _, err := jwks.ParseURL(o.jwksURL); err != nil {
			return fmt.Errorf("-jwks-url: %w", err)
		}
	}
	if o.addr == "" {
		return errors.New("-addr: no address")
	}
	return nil
}
