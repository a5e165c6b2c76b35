package main

import (
	"context"
	"flag"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/command"
)

const introduction = `Usage: go run ./scripts/webhooks COMMAND [flags]

Looks after the project's webhook at the Gemini API, and after the two secrets that
the functions read. What it needs to know of the deployment it takes from Terraform's
outputs; every value is also a flag. The Gemini API key comes from GEMINI_API_KEY, or
out of Secret Manager with -api-key-secret, never from the command line. Google Cloud
is reached with the application default credentials
(gcloud auth application-default login).

Commands:
`

// options are the flags that are not about the deployment.
type options struct {
	terraform    string
	apiKeySecret string
	id           string
	events       string
	rotate       bool
	finish       bool
	immediately  bool
	yes          bool
	wait         time.Duration
}

// An errand is one run of a subcommand.
type errand struct {
	*terminal
	options
	values values
}

// A subcommand is what is typed after the command's name.
type subcommand struct {
	name   string
	does   string   // in the list of all
	usage  string   // for -h
	values []string // what it needs to know of the deployment
	gemini bool     // whether it calls the Gemini API
	flags  func(*flag.FlagSet, *options)
	run    func(*errand, context.Context) error
}

func subcommands() []*subcommand {
	return []*subcommand{register, rotate, dynamicURL, list, ping, enable, remove, doctor}
}

// run runs the subcommand that args name.
func (t *terminal) run(ctx context.Context, args []string) error {
	if len(args) == 0 || slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		t.introduce()
		if len(args) == 0 {
			return command.ErrSilent
		}
		return nil
	}
	all := subcommands()
	i := slices.IndexFunc(all, func(c *subcommand) bool { return c.name == args[0] })
	if i < 0 {
		return fmt.Errorf("no command %q (-h lists them)", args[0])
	}
	e, err := all[i].parse(ctx, t, args[1:])
	if err != nil {
		return err
	}
	return all[i].run(e, ctx)
}

func (t *terminal) introduce() {
	fmt.Fprint(t.out, introduction)
	for _, c := range subcommands() {
		fmt.Fprintf(t.out, "  %-12s %s\n", c.name, c.does)
	}
	fmt.Fprintf(t.out, "\n%s\nshows its flags and examples.\n", typed("COMMAND -h"))
}

// parse reads a subcommand's flags, and from Terraform what they leave out.
func (c *subcommand) parse(ctx context.Context, t *terminal, args []string) (*errand, error) {
	e := &errand{terminal: t, values: values{}}
	flags := flag.NewFlagSet(c.name, flag.ContinueOnError)
	for _, name := range c.values {
		flags.Func(flagName(name), about[name]+" (default: Terraform's output "+name+")", func(text string) error {
			e.values[name] = text
			return nil
		})
	}
	flags.StringVar(&e.terraform, "terraform", "terraform", "the `FOLDER` whose outputs are read")
	if c.gemini {
		flags.StringVar(&e.apiKeySecret, "api-key-secret", "", "take the Gemini API key from this `SECRET` (default: GEMINI_API_KEY in the environment)")
	}
	if c.flags != nil {
		c.flags(flags, &e.options)
	}
	if err := command.Parse(flags, c.usage, args, t.out); err != nil {
		return nil, err
	}
	return e, e.values.complete(ctx, c.values, e.terraform)
}

func flagName(value string) string { return strings.ReplaceAll(value, "_", "-") }

func idFlag(flags *flag.FlagSet, o *options) {
	flags.StringVar(&o.id, "id", "", "the webhook with this `ID` (default: the one for the static function's URL)")
}
