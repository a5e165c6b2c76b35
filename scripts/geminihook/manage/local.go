package manage

import (
	"context"
	"errors"
	"os"

	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/secret"
)

// useServe has the command work on the serve that was started last on this machine: on
// its stand-in for the Gemini API, with that API's key, and its Secret Manager. The
// process's environment then names them; a key of a real project is not used. Values
// that flags give stay as they are.
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

// sayNext says how to see that the webhook delivers.
func (inv *Invocation) sayNext() {
	if inv.Serve {
		inv.say("next", "start a job at %s, with the API key that serve printed", inv.GeminiURL)
		return
	}
	inv.say("next", "%s", terminal.Command("ping"))
}
