// Package reconcile is the private Cloud Function Reconcile, which a schedule calls.
// Each request runs one pass, which publishes the events of ended jobs that were
// never delivered.
package reconcile

import (
	"context"
	"os"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/settings"
)

// name is the function's entry point. FUNCTION_TARGET has this value if it is
// deployed.
const name = "Reconcile"

// log is a variable because tests replace it.
var log = cloudlog.New(os.Stderr)

func init() {
	h := instance.Start(name, log, build)
	h.Line = "pass"
	functions.HTTP(name, h.ServeHTTP)
}

// build reads the settings and opens the parts of the function. If it fails, it
// leaves no part open. It makes no call to Google Cloud or Gemini.
func build(ctx context.Context) (f *instance.Function, err error) {
	s, err := readOptions(new(settings.Reader))
	if err != nil {
		return nil, err
	}
	keys, err := secret.Open(ctx, "api key", s.Project, s.keySecret, gemini.ParseKey, log)
	if err != nil {
		return nil, err
	}
	pass, opened, err := s.open(ctx, gemini.Open(s.apiURL, keys, nil), log)
	if err != nil {
		_ = keys.Close()
		return nil, err
	}
	opened.Add(keys)
	return &instance.Function{Handler: cloudlog.Trace(s.Project, pass), Warm: opened.Warm()}, nil
}
