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

var errNoWebhook = errors.New("no webhook is registered for this URL")

// find returns the webhook that ID names, or the one for the static function's URL.
func (r *registrar) find(ctx context.Context) (*geminiWebhook, error) {
	return r.Invocation.find(ctx, r.api)
}

// webhook returns the webhook that the invocation is about, and the API that has it.
func (inv *Invocation) webhook(ctx context.Context) (*gemini, *geminiWebhook, error) {
	api, err := inv.gemini(ctx)
	if err != nil {
		return nil, nil, err
	}
	w, err := inv.find(ctx, api)
	return api, w, err
}

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
		return nil, &failure{fmt.Errorf("no webhook has the id %s", inv.ID), "", terminal.Command("list")}
	}
	return nil, &failure{fmt.Errorf("%w, %s", errNoWebhook, inv.Values["static_url"]), "", terminal.Command("register")}
}

// several is what is wrong where there are several webhooks for a URL.
func several(found []*geminiWebhook) error {
	var ids []string
	for _, w := range found {
		ids = append(ids, w.id)
	}
	return &failure{
		err:   fmt.Errorf("%d webhooks are registered for this URL: %s", len(ids), strings.Join(ids, ", ")),
		state: "each sends every event, signed with a secret of its own",
		next:  fmt.Sprintf("keep one, and %s for each of the others", terminal.Command("delete --yes --id ID")),
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
		fmt.Fprintf(inv.Out, "no webhooks; %s makes one\n", terminal.Command("register"))
	}
	return nil
}

// show writes a webhook of the list.
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
			Static        bool        `json:"static"` // it is for the static function
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
		fmt.Fprintf(inv.Out, "    a former secret signs until %s\n", inv.when(at))
	}
}

// withoutToken returns a URL for the output: of a query, which may hold a token, it shows
// only that there is one.
func withoutToken(url string) string {
	if short := webhook.WithoutQuery(url); short != url {
		return short + "?…"
	}
	return url
}

// Enable puts the webhook back in the state enabled.
func (inv *Invocation) Enable(ctx context.Context) error {
	api, w, err := inv.webhook(ctx)
	if err != nil {
		return err
	}
	if w.state == enabled {
		inv.say("enabled", "webhook %s was already; nothing was changed", w.id)
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

// Delete deletes the webhook.
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
