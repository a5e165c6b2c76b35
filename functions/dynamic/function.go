// Package dynamic is the Cloud Function DynamicWebhook, which receives the deliveries
// of per-request webhooks. Google signs them with the same keys for all Gemini
// customers (schemes v1a and JWT), so the URL contains a secret token.
package dynamic

import (
	"context"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/webhook"
)

// name is the function's entry point. FUNCTION_TARGET has this value if it is
// deployed.
const name = "DynamicWebhook"

// log is a variable because tests replace it.
var log = cloudlog.New(os.Stderr)

func init() { functions.HTTP(name, instance.Start(name, log, build).ServeHTTP) }

// build reads the settings and opens the parts of the function. If it fails, it
// leaves no part open. It makes no call to Google Cloud.
func build(ctx context.Context) (f *instance.Function, err error) {
	s, err := readOptions()
	if err != nil {
		return nil, err
	}
	opened, err := s.Open(ctx)
	if err != nil {
		return nil, err
	}
	defer opened.CloseIf(&err)
	keys := jwks.Open(s.keysURL, log)
	opened.Add(keys)
	r := &receiver.Receiver{
		Endpoint: webhook.DynamicEndpoint,
		Verifier: &webhook.Dynamic{
			Keys:            keys,
			Audiences:       s.audiences,
			JWTWithoutEvent: s.tokenRequired && s.jwtWithoutEvent,
			Tolerance:       s.Tolerance,
		},
		Ledger:    opened.Ledger,
		Publisher: opened.Publisher,
		Log:       log,
	}
	if s.tokenRequired {
		tokens, err := secret.Open(ctx, "url token", s.Project, s.tokenSecret, webhook.ParseURLToken, log)
		if err != nil {
			return nil, err
		}
		opened.Add(tokens)
		r.Gate = &webhook.URLTokenGate{Tokens: tokens}
	}
	return &instance.Function{Handler: cloudlog.Trace(s.Project, r), Warm: opened.Warm()}, nil
}
