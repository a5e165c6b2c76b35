package manage

import (
	"context"
	"fmt"
	"os"
	"path"
	"strings"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
	geminiapi "github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/refresh"
)

// keyVariable is the environment variable that holds the Gemini API key.
const keyVariable = "GEMINI_API_KEY"

// StoreAPIKey stores the API key of the environment as the newest version of the secret
// that the reconciler reads. It first calls the API with the key and fails if the API
// rejects it. It does not store the same key twice, and disables no version.
func (inv *Invocation) StoreAPIKey(ctx context.Context) error {
	again := terminal.Command("api-key")
	text := os.Getenv(keyVariable)
	if strings.TrimSpace(text) == "" {
		return fmt.Errorf("no Gemini API key: set %s", keyVariable)
	}
	key, err := geminiapi.ParseKey([]byte(text))
	if err != nil {
		return fmt.Errorf("%s: %w", keyVariable, err)
	}
	s, err := inv.secretStore(ctx, inv.Values["api_key_secret_name"])
	if err != nil {
		return err
	}
	if err := s.check(ctx, mayAdd, mayList, mayAccess); err != nil {
		return err
	}
	if err := inv.tryKey(ctx); err != nil {
		return &failure{err, "no key was stored", "set " + keyVariable + " to a key that the API accepts, then " + again}
	}
	stored, err := s.versions(ctx)
	if err != nil {
		return err
	}
	if len(stored) > 0 && stored[0].text == key {
		inv.say("stored", "the key is already stored as %s of %s; nothing was changed", stored[0], s)
		return nil
	}
	fresh, err := s.store(ctx, key)
	if err != nil {
		return &failure{err, "the reconciler still uses the previous key, if there is one", "fix the cause, then " + again}
	}
	inv.say("stored", "%s of %s, and verified by reading it back. The reconciler uses it within %s", fresh, s, minutes(refresh.TTL))
	inv.sayFormerKeys(s, stored)
	inv.say("next", "%s", terminal.Command("reconcile --dry-run"))
	return nil
}

// tryKey makes one call of the API with the key in the environment.
func (inv *Invocation) tryKey(ctx context.Context) error {
	env := *inv
	env.APIKeySecret = "" // use the key in the environment, not a stored one
	api, err := env.gemini(ctx)
	if err != nil {
		return err
	}
	if _, err := api.list(ctx); err != nil {
		return fmt.Errorf("test of the key: %w", err)
	}
	return nil
}

// sayFormerKeys reports the versions that are still enabled besides the newest. The
// reconciler uses only the newest.
func (inv *Invocation) sayFormerKeys(s *secretStore, former []version) {
	if len(former) == 0 {
		return
	}
	inv.say("former", "%s is still enabled, but no longer used. To disable one: gcloud secrets versions disable NUMBER --secret=%s --project=%s",
		numbers(former), path.Base(s.name), inv.Values["project"])
}
