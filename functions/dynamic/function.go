// Package dynamic is the Cloud Function for per-request webhooks, which Gemini
// signs with Google's keys, the same for all of its customers.
package dynamic

import (
	"cmp"
	"context"
	"os"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/env"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/webhook"
)

// name is the entry point: what FUNCTION_TARGET says where this function is deployed.
const name = "DynamicWebhook"

var log = cloudlog.New(os.Stderr)

func init() {
	functions.HTTP(name, instance.Start(name, log, build).ServeHTTP)
}

// settings are described in the README, a row each.
type settings struct {
	project       string
	database      string
	collection    string
	routes        publish.Routes
	tolerance     time.Duration
	retention     time.Duration
	keysURL       string
	audiences     []string
	withoutEvent  bool
	tokenRequired bool
	tokenSecret   string
}

func readSettings() (s settings, err error) {
	var e env.Reader
	e.RefuseEmulators()
	s.project = e.Project("GOOGLE_CLOUD_PROJECT")
	s.database = env.Parse(&e, "FIRESTORE_DATABASE", dedup.ParseDatabase)
	s.collection = env.Parse(&e, "FIRESTORE_COLLECTION", dedup.ParseCollection)
	s.routes = env.Parse(&e, "ROUTES", publish.RoutesIn(s.project))
	s.tolerance = e.Duration("TIMESTAMP_TOLERANCE", webhook.DefaultTolerance, time.Minute, time.Hour)
	s.retention = e.Duration("RECORD_RETENTION", dedup.DefaultRetention, webhook.RetriedFor+s.tolerance, 365*24*time.Hour)
	s.keysURL = env.Parse(&e, "JWKS_URL", func(url string) (string, error) { return jwks.ParseURL(cmp.Or(url, jwks.GoogleURL)) })
	s.audiences = e.List("JWT_AUDIENCES")
	s.withoutEvent = e.Bool("JWT_WITHOUT_EVENT", true)
	if s.tokenRequired = e.Bool("URL_TOKEN_REQUIRED", true); s.tokenRequired {
		s.tokenSecret = env.Parse(&e, "URL_TOKEN_SECRET_NAME", secret.NameIn(s.project))
	}
	return s, e.Err()
}

func build(ctx context.Context) (f *instance.Function, err error) {
	s, err := readSettings()
	if err != nil {
		return nil, err
	}
	var opened instance.Opened
	defer opened.CloseIf(&err)
	keys, err := jwks.Open(s.keysURL, log)
	if err != nil {
		return nil, err
	}
	opened.Add(keys)
	ledger, err := dedup.Open(ctx, s.project, s.database, s.collection)
	if err != nil {
		return nil, err
	}
	opened.Add(ledger)
	ledger.Retention = s.retention
	publisher, err := publish.Open(ctx, s.routes)
	if err != nil {
		return nil, err
	}
	opened.Add(publisher)
	r := &receiver.Receiver{
		Endpoint: webhook.DynamicEndpoint,
		Verifier: &webhook.Dynamic{
			Keys:            keys,
			Audiences:       s.audiences,
			JWTWithoutEvent: s.tokenRequired && s.withoutEvent,
			Tolerance:       s.tolerance,
		},
		Ledger:    ledger,
		Publisher: publisher,
		Log:       log,
	}
	warm := []func(context.Context) error{keys.Warm, ledger.Warm, publisher.Warm}
	if s.tokenRequired {
		tokens, err := secret.Open(ctx, "url token", s.project, s.tokenSecret, webhook.ParseURLToken, log)
		if err != nil {
			return nil, err
		}
		opened.Add(tokens)
		r.Gate = &webhook.Token{Tokens: tokens}
		warm = append(warm, tokens.Warm)
	}
	return &instance.Function{Handler: cloudlog.Trace(s.project, r), Warm: warm}, nil
}
