// Package static is the Cloud Function for project-level webhooks, which Gemini
// signs with a secret that it shares with this project alone.
package static

import (
	"context"
	"os"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/env"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/webhook"
)

// name is the entry point: what FUNCTION_TARGET says where this function is deployed.
const name = "StaticWebhook"

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
	signingSecret string
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
	s.signingSecret = env.Parse(&e, "SIGNING_SECRET_NAME", secret.NameIn(s.project))
	return s, e.Err()
}

func build(ctx context.Context) (f *instance.Function, err error) {
	s, err := readSettings()
	if err != nil {
		return nil, err
	}
	var opened instance.Opened
	defer opened.CloseIf(&err)
	keys, err := secret.Open(ctx, "signing secret", s.project, s.signingSecret, webhook.ParseSigningKey, log)
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
	return &instance.Function{
		Handler: cloudlog.Trace(s.project, &receiver.Receiver{
			Endpoint:  webhook.StaticEndpoint,
			Verifier:  &webhook.Static{Keys: keys, Tolerance: s.tolerance},
			Ledger:    ledger,
			Publisher: publisher,
			Log:       log,
		}),
		Warm: []func(context.Context) error{keys.Warm, ledger.Warm, publisher.Warm},
	}, nil
}
