package manage

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/refresh"
	"github.com/geminihook/geminihook/shared/webhook"
)

// urlUsedFor is how long a URL may be used after a job got it: a batch takes up to 48
// hours, and Gemini then retries its event.
const urlUsedFor = 48*time.Hour + webhook.RetriedFor

// DynamicURL prints the dynamic function's URL with its URL token. It creates a token
// if the secret has no enabled version, or if Rotate is set. It disables old tokens if
// Finish or Immediately is set; with Finish alone it fails if a running job may still
// use one.
func (inv *Invocation) DynamicURL(ctx context.Context) error {
	if inv.Values["url_token_required"] == "false" {
		fmt.Fprintln(inv.Err, "note: this deployment requires no URL token: genuine deliveries for other projects are accepted as yours")
		inv.printURL(inv.Values["dynamic_url"])
		return nil
	}
	s, err := inv.secretStore(ctx, inv.Values["url_token_secret_name"])
	if err != nil {
		return err
	}
	tokens, err := s.versions(ctx)
	if err == nil && (inv.Options.Rotate || len(tokens) == 0) {
		tokens, err = inv.addToken(ctx, s, tokens)
	}
	if err == nil && (inv.Finish || inv.Immediately) {
		err = inv.retire(ctx, s, tokens)
	}
	if err != nil {
		return err
	}
	inv.printURL(withToken(inv.Values["dynamic_url"], tokens[0]))
	return nil
}

// printURL writes the URL to standard output.
func (inv *Invocation) printURL(url string) {
	if inv.JSON {
		inv.line(struct {
			URL string `json:"url"`
		}{url})
		return
	}
	fmt.Fprintln(inv.Out, url)
}

// withToken returns url with a URL token. Tokens consist of characters that need no
// escaping.
func withToken(url string, token version) string { return url + "?token=" + token.text }

// addToken creates a token and returns it before the old ones.
func (inv *Invocation) addToken(ctx context.Context, s *secretStore, old []version) ([]version, error) {
	if err := s.check(ctx, mayAdd, mayList, mayAccess); err != nil {
		return nil, err
	}
	fresh, err := s.store(ctx, rand.Text()) // 130 bits
	if err != nil {
		return nil, &failure{err, "the tokens were not changed", "fix the cause, then " + terminal.Command("dynamic-url")}
	}
	fmt.Fprintf(inv.Err, "new token: %s of %s; the function accepts it within a minute\n", fresh, s)
	if len(old) > 0 && !inv.Immediately {
		fmt.Fprintf(inv.Err, "running jobs may use the old token until %s; after that: %s\n",
			inv.when(fresh.created.Add(urlUsedFor)), terminal.Command("dynamic-url --finish"))
	}
	return append([]version{fresh}, old...), nil
}

// retire disables all tokens except the newest, which is the first.
func (inv *Invocation) retire(ctx context.Context, s *secretStore, tokens []version) error {
	old := tokens[1:]
	if len(old) == 0 {
		fmt.Fprintf(inv.Err, "no old token is enabled, only %s of %s\n", tokens[0], s)
		return nil
	}
	if over := tokens[0].created.Add(urlUsedFor); !inv.Immediately && inv.Now().Before(over) {
		return &failure{
			err:   fmt.Errorf("running jobs may use the old token until %s", inv.when(over)),
			state: "nothing was changed",
			next:  fmt.Sprintf("after that, %s; if the token has leaked, %s", terminal.Command("dynamic-url --finish"), terminal.Command("dynamic-url --immediately")),
		}
	}
	if err := s.check(ctx, mayDisable); err != nil {
		return err
	}
	if err := s.disable(ctx, old...); err != nil {
		return &failure{err, "not all old tokens are disabled", terminal.Command("dynamic-url --immediately")}
	}
	fmt.Fprintf(inv.Err, "disabled %s of %s; running instances accept it for up to %s more\n", numbers(old), s, minutes(refresh.TTL))
	return nil
}
