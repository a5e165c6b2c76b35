// Package reconcile is the private Cloud Function that a schedule calls: one request is
// one pass over the jobs whose event may be missing.
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

// name is the entry point: the value of FUNCTION_TARGET if this function is deployed.
const name = "Reconcile"

var log = cloudlog.New(os.Stderr)

func init() {
	h := instance.Start(name, log, build)
	h.Line = "pass"
	functions.HTTP(name, h.ServeHTTP)
}

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
