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
func (e *Errand) DynamicURL(ctx context.Context) error {
	if e.Values["url_token_required"] == "false" {
		fmt.Fprintln(e.Err, "this deployment demands no token: anybody's genuine delivery is taken for yours")
		e.printURL(e.Values["dynamic_url"])
		return nil
	}
	v, err := e.vault(ctx, e.Values["url_token_secret_name"])
	if err != nil {
		return err
	}
	tokens, err := v.versions(ctx)
	if err == nil && (e.Options.Rotate || len(tokens) == 0) {
		tokens, err = e.addToken(ctx, v, tokens)
	}
	if err == nil && (e.Finish || e.Immediately) {
		err = e.retire(ctx, v, tokens)
	}
	if err != nil {
		return err
	}
	e.printURL(withToken(e.Values["dynamic_url"], tokens[0]))
	return nil
}

func (e *Errand) printURL(url string) {
	if e.JSON {
		e.line(struct {
			URL string `json:"url"`
		}{url})
		return
	}
	fmt.Fprintln(e.Out, url)
}

// withToken returns the URL with a token, which no URL has to escape.
func withToken(url string, token version) string { return url + "?token=" + token.text }

// addToken makes a token, and puts it in front of the others.
func (e *Errand) addToken(ctx context.Context, v *vault, old []version) ([]version, error) {
	if err := v.check(ctx, mayAdd, mayList, mayAccess); err != nil {
		return nil, err
	}
	fresh, err := v.store(ctx, rand.Text()) // 130 bits
	if err != nil {
		return nil, &failure{err, "the tokens are as they were", "fix that, then " + terminal.Command("dynamic-url")}
	}
	fmt.Fprintf(e.Err, "new token: %s of %s; the function knows it within a minute\n", fresh, v)
	if len(old) > 0 && !e.Immediately {
		fmt.Fprintf(e.Err, "jobs under way carry the old one until %s; after that: %s\n",
			e.when(fresh.created.Add(urlUsedFor)), terminal.Command("dynamic-url --finish"))
	}
	return append([]version{fresh}, old...), nil
}

// retire disables all tokens but the newest.
func (e *Errand) retire(ctx context.Context, v *vault, tokens []version) error {
	old := tokens[1:]
	if len(old) == 0 {
		fmt.Fprintf(e.Err, "only one token is enabled, %s of %s\n", tokens[0], v)
		return nil
	}
	if over := tokens[0].created.Add(urlUsedFor); !e.Immediately && e.Now().Before(over) {
		return &failure{
			err:   fmt.Errorf("until %s jobs under way may carry the old token", e.when(over)),
			state: "nothing was changed",
			next:  fmt.Sprintf("after that, %s; if it has leaked, %s", terminal.Command("dynamic-url --finish"), terminal.Command("dynamic-url --immediately")),
		}
	}
	if err := v.check(ctx, mayDisable); err != nil {
		return err
	}
	if err := v.disable(ctx, old...); err != nil {
		return &failure{err, "the rest is as it was", terminal.Command("dynamic-url --immediately")}
	}
	fmt.Fprintf(e.Err, "disabled %s of %s; instances that hold it in memory accept it for up to %s more\n", numbers(old), v, minutes(refresh.TTL))
	return nil
}
