package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
)

var errNoWebhook = errors.New("no webhook is registered for this URL")

// find returns the webhook that -id names, or the one for the static function's URL.
func (k *keeper) find(ctx context.Context) (*hook, error) {
	return k.errand.find(ctx, k.api)
}

func (e *errand) find(ctx context.Context, api *gemini) (*hook, error) {
	all, err := api.list(ctx)
	if err != nil {
		return nil, err
	}
	var found []*hook
	for _, h := range all {
		if h.id == e.id || e.id == "" && h.uri == e.values["static_url"] {
			found = append(found, h)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, several(found)
	case e.id != "":
		return nil, &failure{fmt.Errorf("no webhook has the id %s", e.id), "", typed("list")}
	}
	return nil, &failure{fmt.Errorf("%w, %s", errNoWebhook, e.values["static_url"]), "", typed("register")}
}

// several is what is wrong where there are several webhooks for a URL.
func several(found []*hook) error {
	var ids []string
	for _, h := range found {
		ids = append(ids, h.id)
	}
	return &failure{
		err:   fmt.Errorf("%d webhooks are registered for this URL: %s", len(ids), strings.Join(ids, ", ")),
		state: "each sends every event, signed with a secret of its own",
		next:  fmt.Sprintf("keep one, and %s for each of the others", typed("delete -yes -id ID")),
	}
}

var list = &subcommand{
	name: "list",
	does: "show all webhooks of the API key's project",
	usage: `Usage: go run ./scripts/webhooks list [flags]

Shows the webhooks of the project that the API key is of: id, state, URL, events, and
how long the secrets sign that are on their way out. * marks the static function's.

Example:
  go run ./scripts/webhooks list
`,
	values: []string{"project", "static_url"},
	gemini: true,
	run:    (*errand).list,
}

func (e *errand) list(ctx context.Context) error {
	api, err := e.gemini(ctx)
	if err != nil {
		return err
	}
	all, err := api.list(ctx)
	if err != nil {
		return err
	}
	for _, h := range all {
		mark := " "
		if h.uri == e.values["static_url"] {
			mark = "*"
		}
		fmt.Fprintf(e.out, "%s %-36s  %-9s  %s\n    %s\n", mark, h.id, h.state, withoutQuery(h.uri), strings.Join(h.events, " "))
		for _, k := range h.keys {
			if !k.expires.IsZero() {
				fmt.Fprintf(e.out, "    a former secret signs until %s\n", e.when(k.expires))
			}
		}
	}
	if len(all) == 0 {
		fmt.Fprintf(e.out, "no webhooks; %s makes one\n", typed("register"))
	}
	return nil
}

// withoutQuery keeps a token in a URL out of the output.
func withoutQuery(url string) string {
	url, query, _ := strings.Cut(url, "?")
	if query != "" {
		url += "?…"
	}
	return url
}

var enable = &subcommand{
	name: "enable",
	does: "have the API deliver again",
	usage: `Usage: go run ./scripts/webhooks enable [flags]

Puts the webhook back in the state enabled. The API disables a webhook by itself when
too many deliveries fail, so first see to it that they succeed: doctor says why not.
What happened while it was disabled is not delivered later.

Examples:
  go run ./scripts/webhooks enable
  go run ./scripts/webhooks enable -id 95fy7kv40bvx7t0rm7p12jdciinp7f4bfhzz
`,
	values: []string{"project", "static_url"},
	gemini: true,
	flags:  idFlag,
	run:    (*errand).enable,
}

func (e *errand) enable(ctx context.Context) error {
	api, err := e.gemini(ctx)
	if err != nil {
		return err
	}
	h, err := e.find(ctx, api)
	if err != nil {
		return err
	}
	if h.state == enabled {
		e.say("enabled", "webhook %s was already; nothing was changed", h.id)
		return nil
	}
	after, err := api.enable(ctx, h.id)
	if err == nil && after.state != enabled {
		err = fmt.Errorf("webhook %s is still %s", h.id, after.state)
	}
	if err != nil {
		return err
	}
	e.say("enabled", "webhook %s, which was %s", h.id, h.state)
	e.say("next", "%s", typed("ping"))
	return nil
}

var remove = &subcommand{
	name: "delete",
	does: "delete the webhook",
	usage: `Usage: go run ./scripts/webhooks delete -yes [flags]

Deletes the webhook at the API: nothing is delivered any more, and its signing secret
is void. The versions in Secret Manager stay; what is still under way verifies.

Examples:
  go run ./scripts/webhooks delete            says what would be deleted
  go run ./scripts/webhooks delete -yes
  go run ./scripts/webhooks delete -yes -id 95fy7kv40bvx7t0rm7p12jdciinp7f4bfhzz
`,
	values: []string{"project", "static_url"},
	gemini: true,
	flags: func(flags *flag.FlagSet, o *options) {
		idFlag(flags, o)
		flags.BoolVar(&o.yes, "yes", false, "really delete it")
	},
	run: (*errand).remove,
}

func (e *errand) remove(ctx context.Context) error {
	api, err := e.gemini(ctx)
	if err != nil {
		return err
	}
	h, err := e.find(ctx, api)
	if err != nil {
		return err
	}
	if !e.yes {
		return &failure{
			err:   fmt.Errorf("webhook %s for %s would be deleted", h.id, withoutQuery(h.uri)),
			state: "nothing was changed",
			next:  typed("delete -yes -id " + h.id),
		}
	}
	if err := api.delete(ctx, h.id); err != nil {
		return err
	}
	e.say("deleted", "webhook %s for %s", h.id, withoutQuery(h.uri))
	return nil
}
