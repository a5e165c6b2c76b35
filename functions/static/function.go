// Package static is the Cloud Function for project-level webhooks, which Gemini
// signs with a secret that it shares with this project alone.
package static

import (
	"context"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/settings"
	"github.com/geminihook/geminihook/shared/webhook"
)

// name is the entry point: the value of FUNCTION_TARGET if this function is deployed.
const name = "StaticWebhook"

var log = cloudlog.New(os.Stderr)

func init() { functions.HTTP(name, instance.Start(name, log, build).ServeHTTP) }

func build(ctx context.Context) (f *instance.Function, err error) {
	var r settings.Reader
	s := r.Common()
	secretName := settings.Parse(&r, "SIGNING_SECRET_NAME", secret.NameIn(s.Project))
	if err := r.Err(); err != nil {
		return nil, err
	}
	opened, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer opened.CloseIf(&err)
	keys, err := secret.Open(ctx, "signing secret", s.Project, secretName, webhook.ParseSigningKey, log)
	if err != nil {
		return nil, err
	}
	opened.Add(keys)
	return &instance.Function{
		Handler: cloudlog.Trace(s.Project, &receiver.Receiver{
			Endpoint:  webhook.StaticEndpoint,
			Verifier:  &webhook.Static{Keys: keys, Tolerance: s.Tolerance},
			Ledger:    opened.Ledger,
			Publisher: opened.Publisher,
			Log:       log,
		}),
		Warm: opened.Warm(),
	}, nil
}
