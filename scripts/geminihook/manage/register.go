package manage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"google.golang.org/genai/interactions/models/webhooks"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

// Subscribable are the events that the API accepts. Two more are documented, the
// cancellations, and refused.
var Subscribable = []string{
	"batch.succeeded", "batch.failed", "batch.expired",
	"interaction.completed", "interaction.requires_action", "interaction.failed", "video.generated",
}

// Register makes the webhook, unless there is one.
func (e *Errand) Register(ctx context.Context) error {
	k, err := e.keeper(ctx)
	if err != nil {
		return err
	}
	if err := k.check(ctx, mayAdd, mayList, mayAccess); err != nil {
		return err
	}
	h, err := k.find(ctx)
	switch {
	case errors.Is(err, errNoWebhook):
		return k.create(ctx)
	case err != nil:
		return err
	}
	return k.adopt(ctx, h)
}

// A keeper has both the webhook and the secret in hand, and keeps them in step.
type keeper struct {
	*Errand
	*vault
	api *gemini
}

func (e *Errand) keeper(ctx context.Context) (*keeper, error) {
	v, err := e.vault(ctx, e.Values["signing_secret_name"])
	if err != nil {
		return nil, err
	}
	api, err := e.gemini(ctx)
	if err != nil {
		return nil, err
	}
	return &keeper{e, v, api}, nil
}

// create makes a webhook and stores its secret. From then on an interrupt must not
// leave one without the other.
func (k *keeper) create(ctx context.Context) error {
	uri := k.Values["static_url"]
	h, secret, err := k.api.create(ctx, uri, k.Events)
	ctx = context.WithoutCancel(ctx)
	switch {
	case refused(err):
		return &failure{err, "nothing was registered", "fix that, then " + terminal.Command("register")}
	case err != nil:
		return k.afterLostReply(ctx, err)
	}
	all, err := k.api.list(ctx)
	if err == nil && slices.ContainsFunc(all, func(other *hook) bool { return other.uri == uri && other.id != h.id }) {
		return k.withdraw(ctx, h, errors.New("another webhook for this URL was made at the same time"))
	}
	stored, err := k.store(ctx, secret)
	if err != nil {
		return k.withdraw(ctx, h, fmt.Errorf("the signing secret could not be stored: %w", err))
	}
	k.say("registered", "webhook %s for %s", h.id, h.uri)
	k.say("events", "%s", strings.Join(h.events, " "))
	k.say("secret", "%s of %s; it was read back, and is nowhere else", stored, k.vault)
	k.say("next", "%s", terminal.Command("ping"))
	return nil
}

// afterLostReply looks whether a webhook was made whose secret nobody has seen.
func (k *keeper) afterLostReply(ctx context.Context, lost error) error {
	h, err := k.find(ctx)
	switch {
	case err == nil:
		k.say("found", "%v; the webhook was made all the same", lost)
		return k.adopt(ctx, h)
	case errors.Is(err, errNoWebhook):
		return &failure{lost, "no webhook for this URL is listed", "in a minute, " + terminal.Command("register")}
	}
	return &failure{
		err:   fmt.Errorf("%w; then %w", lost, err),
		state: "a webhook may have been made, whose secret nobody has",
		next:  terminal.Command("register") + ", which gives it a new one",
	}
}

// withdraw deletes a webhook whose secret is about to be forgotten.
func (k *keeper) withdraw(ctx context.Context, h *hook, why error) error {
	if err := k.api.delete(ctx, h.id); err != nil {
		return &failure{
			err:   fmt.Errorf("%w; then %w", why, err),
			state: fmt.Sprintf("webhook %s is registered, and signs with a secret that nobody has: its deliveries are refused", h.id),
			next:  fmt.Sprintf("%s, which gives it a new secret, or %s", terminal.Command("register"), terminal.Command("delete --yes --id "+h.id)),
		}
	}
	return &failure{why, fmt.Sprintf("webhook %s was deleted again", h.id), "fix that, then " + terminal.Command("register")}
}

// adopt sees to it that the secret of a webhook that is there is stored. Where it
// is, nothing is changed.
func (k *keeper) adopt(ctx context.Context, h *hook) error {
	stored, err := k.versions(ctx)
	if err != nil {
		return err
	}
	if current, _ := split(h, stored); len(current) > 0 {
		k.say("registered", "webhook %s for %s was already; nothing was changed", h.id, h.uri)
		k.say("secret", "%s of %s", current[0], k.vault)
		return k.remind(h)
	}
	fresh, err := k.renew(ctx, h, revocation(h, stored))
	if err != nil {
		return err
	}
	k.say("registered", "webhook %s for %s was already, but its secret was not stored: it has a new one", h.id, h.uri)
	k.say("secret", "%s of %s; it was read back, and is nowhere else", fresh, k.vault)
	return k.remind(h)
}

// revocation returns how the webhook's secrets are to be revoked once it has a new one,
// where the current one is not stored. If an older one is, and still signs, it goes
// on for its time. If none is, nobody verifies by any of them: none must go on
// signing beside the new one, or instead of it.
func revocation(h *hook, stored []version) webhooks.RevocationBehavior {
	for _, v := range stored {
		if h.inForce(v.text) {
			return webhooks.RevocationBehaviorRevokePreviousSecretsAfterH24
		}
	}
	return webhooks.RevocationBehaviorRevokePreviousSecretsImmediately
}

// remind says what else is to be done about a webhook.
func (k *keeper) remind(h *hook) error {
	if h.state != enabled {
		return &failure{
			err:   fmt.Errorf("webhook %s is %s", h.id, h.state),
			state: "nothing is delivered",
			next:  fmt.Sprintf("%s, until only that is left; then %s", terminal.Command("doctor"), terminal.Command("enable")),
		}
	}
	k.say("next", "%s", terminal.Command("ping"))
	return nil
}
