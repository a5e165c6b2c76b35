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

// urlUsedFor is how long a URL is used after it was handed to a job: a batch takes
// up to 48 hours, and its event is sent again for as long as any.
const urlUsedFor = 48*time.Hour + webhook.RetriedFor

// DynamicURL prints the dynamic function's URL with its token. It makes a token if there
// is none, or if Rotate is set.
func (inv *Invocation) DynamicURL(ctx context.Context) error {
	if inv.Values["url_token_required"] == "false" {
		fmt.Fprintln(inv.Err, "this deployment demands no token: a genuine delivery for any other project is accepted as yours")
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

func (inv *Invocation) printURL(url string) {
	if inv.JSON {
		inv.line(struct {
			URL string `json:"url"`
		}{url})
		return
	}
	fmt.Fprintln(inv.Out, url)
}

// withToken returns the URL with a token, which no URL has to escape.
func withToken(url string, token version) string { return url + "?token=" + token.text }

// addToken makes a token, and puts it in front of the others.
func (inv *Invocation) addToken(ctx context.Context, s *secretStore, old []version) ([]version, error) {
	if err := s.check(ctx, mayAdd, mayList, mayAccess); err != nil {
		return nil, err
	}
	fresh, err := s.store(ctx, rand.Text()) // 130 bits
	if err != nil {
		return nil, &failure{err, "the tokens are as they were", "fix that, then " + terminal.Command("dynamic-url")}
	}
	fmt.Fprintf(inv.Err, "new token: %s of %s; the function knows it within a minute\n", fresh, s)
	if len(old) > 0 && !inv.Immediately {
		fmt.Fprintf(inv.Err, "jobs under way carry the old one until %s; after that: %s\n",
			inv.when(fresh.created.Add(urlUsedFor)), terminal.Command("dynamic-url --finish"))
	}
	return append([]version{fresh}, old...), nil
}

// retire disables all tokens but the newest.
func (inv *Invocation) retire(ctx context.Context, s *secretStore, tokens []version) error {
	old := tokens[1:]
	if len(old) == 0 {
		fmt.Fprintf(inv.Err, "only one token is enabled, %s of %s\n", tokens[0], s)
		return nil
	}
	if over := tokens[0].created.Add(urlUsedFor); !inv.Immediately && inv.Now().Before(over) {
		return &failure{
			err:   fmt.Errorf("until %s jobs under way may carry the old token", inv.when(over)),
			state: "nothing was changed",
			next:  fmt.Sprintf("after that, %s; if it has leaked, %s", terminal.Command("dynamic-url --finish"), terminal.Command("dynamic-url --immediately")),
		}
	}
	if err := s.check(ctx, mayDisable); err != nil {
		return err
	}
	if err := s.disable(ctx, old...); err != nil {
		return &failure{err, "the rest is as it was", terminal.Command("dynamic-url --immediately")}
	}
	fmt.Fprintf(inv.Err, "disabled %s of %s; instances that hold it in memory accept it for up to %s more\n", numbers(old), s, minutes(refresh.TTL))
	return nil
}
