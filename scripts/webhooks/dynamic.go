package main

import (
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"time"

	"github.com/geminihook/geminihook/shared/refresh"
	"github.com/geminihook/geminihook/shared/webhook"
)

// urlUsedFor is how long a URL is used after it was handed to a job: a batch takes
// up to 48 hours, and its event is sent again for as long as any.
const urlUsedFor = 48*time.Hour + webhook.RetriedFor

var dynamicURL = &subcommand{
	name: "dynamic-url",
	does: "print the URL for webhook_config.uris, token included",
	usage: `Usage: go run ./scripts/webhooks dynamic-url [-rotate] [-finish] [-immediately] [flags]

Prints the dynamic function's URL with its token, which is made if there is none, for
webhook_config.uris of single requests. The URL is a secret: whoever knows it can have
Google sign deliveries to it. It alone goes to standard output.

-rotate makes a new token. The old one stays good, for jobs that were started with it:
up to 48 hours for a batch, and a day of retries. When that is over, -finish disables
it. -immediately, for a token that has leaked, disables it now; events of jobs that
were started with it are then refused, and lost.

Examples:
  go run ./scripts/webhooks dynamic-url
  GEMINI_WEBHOOK_URL=$(go run ./scripts/webhooks dynamic-url)
  go run ./scripts/webhooks dynamic-url -rotate
  go run ./scripts/webhooks dynamic-url -finish
  go run ./scripts/webhooks dynamic-url -rotate -immediately
`,
	values: []string{"project", "dynamic_url", "url_token_secret_name", "url_token_required"},
	flags: func(flags *flag.FlagSet, o *options) {
		flags.BoolVar(&o.rotate, "rotate", false, "make a new token")
		flags.BoolVar(&o.finish, "finish", false, "disable the old tokens, once no job carries them")
		flags.BoolVar(&o.immediately, "immediately", false, "disable the old tokens now")
	},
	run: (*errand).dynamicURL,
}

func (e *errand) dynamicURL(ctx context.Context) error {
	if e.values["url_token_required"] == "false" {
		fmt.Fprintln(e.err, "this deployment demands no token: anybody's genuine delivery is taken for yours")
		fmt.Fprintln(e.out, e.values["dynamic_url"])
		return nil
	}
	if e.finish && e.options.rotate {
		return errors.New("-finish is for later: a new token has jobs to come, the old one jobs under way")
	}
	v, err := e.vault(ctx, e.values["url_token_secret_name"])
	if err != nil {
		return err
	}
	tokens, err := v.versions(ctx)
	if err == nil && (e.options.rotate || len(tokens) == 0) {
		tokens, err = e.addToken(ctx, v, tokens)
	}
	if err == nil && (e.finish || e.immediately) {
		err = e.retire(ctx, v, tokens)
	}
	if err != nil {
		return err
	}
	fmt.Fprintln(e.out, withToken(e.values["dynamic_url"], tokens[0]))
	return nil
}

// withToken returns the URL with a token, which no URL has to escape.
func withToken(url string, token version) string { return url + "?token=" + token.text }

// addToken makes a token, and puts it in front of the others.
func (e *errand) addToken(ctx context.Context, v *vault, old []version) ([]version, error) {
	if err := v.check(ctx, mayAdd, mayList, mayAccess); err != nil {
		return nil, err
	}
	fresh, err := v.store(ctx, rand.Text()) // 130 bits
	if err != nil {
		return nil, &failure{err, "the tokens are as they were", "mend that, and " + typed("dynamic-url")}
	}
	fmt.Fprintf(e.err, "new token: %s of %s; the function knows it within a minute\n", fresh, v)
	if len(old) > 0 && !e.immediately {
		fmt.Fprintf(e.err, "jobs under way carry the old one until %s; after that: %s\n",
			e.when(fresh.created.Add(urlUsedFor)), typed("dynamic-url -finish"))
	}
	return append([]version{fresh}, old...), nil
}

// retire disables all tokens but the newest.
func (e *errand) retire(ctx context.Context, v *vault, tokens []version) error {
	old := tokens[1:]
	if len(old) == 0 {
		fmt.Fprintf(e.err, "only one token is enabled, %s of %s\n", tokens[0], v)
		return nil
	}
	if over := tokens[0].created.Add(urlUsedFor); !e.immediately && e.now().Before(over) {
		return &failure{
			err:   fmt.Errorf("until %s jobs under way may carry the old token", e.when(over)),
			state: "nothing was changed",
			next:  fmt.Sprintf("after that, %s; if it has leaked, %s", typed("dynamic-url -finish"), typed("dynamic-url -immediately")),
		}
	}
	if err := v.check(ctx, mayDisable); err != nil {
		return err
	}
	if err := v.disable(ctx, old...); err != nil {
		return &failure{err, "the rest is as it was", typed("dynamic-url -immediately")}
	}
	fmt.Fprintf(e.err, "disabled %s of %s; instances that hold it in memory accept it for up to %s more\n", numbers(old), v, minutes(refresh.FreshFor))
	return nil
}
