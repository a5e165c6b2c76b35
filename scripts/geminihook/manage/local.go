package manage

import (
	"context"
	"errors"
	"os"

	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/secret"
)

// useServe makes the command use the newest serve on this machine: its stand-in for the
// Gemini API, that API's key, and its Secret Manager. It sets the process's environment
// variables accordingly, so that a real project's key is not used. Values given by
// flags stay. It fails if no serve runs.
func (inv *Invocation) useServe(ctx context.Context) error {
	dir, err := running.Dir()
	if err != nil {
		return err
	}
	found, err := running.Find(ctx, dir)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return &failure{errors.New("--serve: no serve runs on this machine"), "", terminal.Command("serve")}
	}
	s := found[0]
	app := *inv.App
	app.GeminiURL = s.GeminiURL
	inv.App = &app
	for name, value := range map[string]string{keyVariable: s.GeminiAPIKey, secret.EmulatorHost: s.SecretManager} {
		if err := os.Setenv(name, value); err != nil {
			return err
		}
	}
	for name, value := range map[string]string{"project": s.Project, "static_url": s.StaticURL, "signing_secret_name": s.SigningSecret} {
		if inv.Values[name] == "" {
			inv.Values.Set(name, value)
		}
	}
	return nil
}

// sayNext prints how to check that the webhook receives deliveries.
func (inv *Invocation) sayNext() {
	if inv.Serve {
		inv.say("next", "start a job at %s, with the API key that serve printed", inv.GeminiURL)
		return
	}
	inv.say("next", "%s", terminal.Command("ping"))
}
