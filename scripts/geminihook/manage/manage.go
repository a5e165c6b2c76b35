package manage

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/webhook"
)

// errNoWebhook is the error if no webhook exists for the static function's URL.
var errNoWebhook = errors.New("no webhook is registered for this URL")

// find returns the webhook of the invocation.
func (r *registrar) find(ctx context.Context) (*geminiWebhook, error) {
	return r.Invocation.find(ctx, r.api)
}

// webhook returns the webhook of the invocation, and a client of the API.
func (inv *Invocation) webhook(ctx context.Context) (*gemini, *geminiWebhook, error) {
	api, err := inv.gemini(ctx)
	if err != nil {
		return nil, nil, err
	}
	w, err := inv.find(ctx, api)
	return api, w, err
}

// find returns the webhook with the id ID, or if that is empty, the webhook for the
// static function's URL. It fails if no webhook matches, or more than one.
func (inv *Invocation) find(ctx context.Context, api *gemini) (*geminiWebhook, error) {
	all, err := api.list(ctx)
	if err != nil {
		return nil, err
	}
	var found []*geminiWebhook
	for _, w := range all {
		if w.id == inv.ID || inv.ID == "" && w.uri == inv.Values["static_url"] {
			found = append(found, w)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, several(found)
	case inv.ID != "":
		return nil, &failure{fmt.Errorf("no webhook with the id %s", inv.ID), "", terminal.Command("list")}
	}
	return nil, &failure{fmt.Errorf("%w, %s", errNoWebhook, inv.Values["static_url"]), "", terminal.Command("register")}
}

// several returns the error for a URL for which several webhooks are registered.
func several(found []*geminiWebhook) error {
	var ids []string
	for _, w := range found {
		ids = append(ids, w.id)
	}
	return &failure{
		err:   fmt.Errorf("%d webhooks are registered for this URL: %s", len(ids), strings.Join(ids, ", ")),
		state: "each of them sends every event, signed with its own secret",
		next:  fmt.Sprintf("keep one, and run %s for each of the others", terminal.Command("delete --yes --id ID")),
	}
}

// List shows all webhooks of the API key's project.
func (inv *Invocation) List(ctx context.Context) error {
	api, err := inv.gemini(ctx)
	if err != nil {
		return err
	}
	all, err := api.list(ctx)
	if err != nil {
		return err
	}
	for _, w := range all {
		inv.show(w)
	}
	if len(all) == 0 && !inv.JSON {
		fmt.Fprintf(inv.Out, "no webhooks; to create one: %s\n", terminal.Command("register"))
	}
	return nil
}

// show writes one webhook of the list.
func (inv *Invocation) show(w *geminiWebhook) {
	ours := w.uri == inv.Values["static_url"]
	var until []time.Time
	for _, k := range w.keys {
		if !k.expires.IsZero() {
			until = append(until, k.expires)
		}
	}
	if inv.JSON {
		inv.line(struct {
			ID            string      `json:"id"`
			State         string      `json:"state"`
			URL           string      `json:"url"`
			Static        bool        `json:"static"` // it is the webhook for the static function's URL
			Events        []string    `json:"events"`
			FormerSecrets []time.Time `json:"former_secrets_until,omitempty"`
		}{w.id, w.state, withoutToken(w.uri), ours, w.events, until})
		return
	}
	mark := " "
	if ours {
		mark = "*"
	}
	fmt.Fprintf(inv.Out, "%s %-36s  %-9s  %s\n    %s\n", mark, w.id, w.state, withoutToken(w.uri), strings.Join(w.events, " "))
	for _, at := range until {
		fmt.Fprintf(inv.Out, "    the API also signs with an old secret until %s\n", inv.when(at))
	}
}

// withoutToken returns a URL for output. It replaces the query, which may hold a token,
// with "…".
func withoutToken(url string) string {
	if short := webhook.WithoutQuery(url); short != url {
		return short + "?…"
	}
	return url
}

// Enable enables the webhook, unless it is enabled already.
func (inv *Invocation) Enable(ctx context.Context) error {
	api, w, err := inv.webhook(ctx)
	if err != nil {
		return err
	}
	if w.state == enabled {
		inv.say("enabled", "webhook %s was enabled already; nothing was changed", w.id)
		return nil
	}
	after, err := api.enable(ctx, w.id)
	if err == nil && after.state != enabled {
		err = fmt.Errorf("webhook %s is still %s", w.id, after.state)
	}
	if err != nil {
		return err
	}
	inv.say("enabled", "webhook %s, which was %s", w.id, w.state)
	inv.sayNext()
	return nil
}

// Delete deletes the webhook. Without Yes, it fails and names the webhook that it would
// delete.
func (inv *Invocation) Delete(ctx context.Context) error {
	api, w, err := inv.webhook(ctx)
	if err != nil {
		return err
	}
	if !inv.Yes {
		return &failure{
			err:   fmt.Errorf("webhook %s for %s would be deleted", w.id, withoutToken(w.uri)),
			state: "nothing was changed",
			next:  terminal.Command("delete --yes --id " + w.id),
		}
	}
	if err := api.delete(ctx, w.id); err != nil {
		return err
	}
	inv.say("deleted", "webhook %s for %s", w.id, withoutToken(w.uri))
	return nil
}
