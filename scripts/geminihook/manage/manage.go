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
func (k *keeper) find(ctx context.Context) (*hook, error) {
	return k.Errand.find(ctx, k.api)
}

// webhook returns the webhook that the errand is about, and the API that has it.
func (e *Errand) webhook(ctx context.Context) (*gemini, *hook, error) {
	api, err := e.gemini(ctx)
	if err != nil {
		return nil, nil, err
	}
	h, err := e.find(ctx, api)
	return api, h, err
}

func (e *Errand) find(ctx context.Context, api *gemini) (*hook, error) {
	all, err := api.list(ctx)
	if err != nil {
		return nil, err
	}
	var found []*hook
	for _, h := range all {
		if h.id == e.ID || e.ID == "" && h.uri == e.Values["static_url"] {
			found = append(found, h)
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1:
		return nil, several(found)
	case e.ID != "":
		return nil, &failure{fmt.Errorf("no webhook has the id %s", e.ID), "", terminal.Command("list")}
	}
	return nil, &failure{fmt.Errorf("%w, %s", errNoWebhook, e.Values["static_url"]), "", terminal.Command("register")}
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
		next:  fmt.Sprintf("keep one, and %s for each of the others", terminal.Command("delete --yes --id ID")),
	}
}

// List shows all webhooks of the API key's project.
func (e *Errand) List(ctx context.Context) error {
	api, err := e.gemini(ctx)
	if err != nil {
		return err
	}
	all, err := api.list(ctx)
	if err != nil {
		return err
	}
	for _, h := range all {
		e.show(h)
	}
	if len(all) == 0 && !e.JSON {
		fmt.Fprintf(e.Out, "no webhooks; %s makes one\n", terminal.Command("register"))
	}
	return nil
}

// show writes a webhook of the list.
func (e *Errand) show(h *hook) {
	ours := h.uri == e.Values["static_url"]
	var until []time.Time
	for _, k := range h.keys {
		if !k.expires.IsZero() {
			until = append(until, k.expires)
		}
	}
	if e.JSON {
		e.line(struct {
			ID            string      `json:"id"`
			State         string      `json:"state"`
			URL           string      `json:"url"`
			Static        bool        `json:"static"` // it is for the static function
			Events        []string    `json:"events"`
			FormerSecrets []time.Time `json:"former_secrets_until,omitempty"`
		}{h.id, h.state, webhook.WithoutQuery(h.uri), ours, h.events, until})
		return
	}
	mark := " "
	if ours {
		mark = "*"
	}
	fmt.Fprintf(e.Out, "%s %-36s  %-9s  %s\n    %s\n", mark, h.id, h.state, webhook.WithoutQuery(h.uri), strings.Join(h.events, " "))
	for _, at := range until {
		fmt.Fprintf(e.Out, "    a former secret signs until %s\n", e.when(at))
	}
}

// Enable puts the webhook back in the state enabled.
func (e *Errand) Enable(ctx context.Context) error {
	api, h, err := e.webhook(ctx)
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
	e.say("next", "%s", terminal.Command("ping"))
	return nil
}

// Delete deletes the webhook.
func (e *Errand) Delete(ctx context.Context) error {
	api, h, err := e.webhook(ctx)
	if err != nil {
		return err
	}
	if !e.Yes {
		return &failure{
			err:   fmt.Errorf("webhook %s for %s would be deleted", h.id, webhook.WithoutQuery(h.uri)),
			state: "nothing was changed",
			next:  terminal.Command("delete --yes --id " + h.id),
		}
	}
	if err := api.delete(ctx, h.id); err != nil {
		return err
	}
	e.say("deleted", "webhook %s for %s", h.id, webhook.WithoutQuery(h.uri))
	return nil
}
