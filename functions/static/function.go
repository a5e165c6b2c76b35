// Package static is the Cloud Function StaticWebhook, which receives the deliveries
// of project-level webhooks. Gemini signs them with a secret that it shares only with
// this project (scheme v1).
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

// name is the function's entry point. FUNCTION_TARGET has this value if it is
// deployed.
const name = "StaticWebhook"

// log is a variable because tests replace it.
var log = cloudlog.New(os.Stderr)

func init() { functions.HTTP(name, instance.Start(name, log, build).ServeHTTP) }

// build reads the settings and opens the parts of the function. If it fails, it
// leaves no part open. It makes no call to Google Cloud.
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
