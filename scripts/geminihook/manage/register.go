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
func (inv *Invocation) Register(ctx context.Context) error {
	r, err := inv.registrar(ctx)
	if err != nil {
		return err
	}
	if err := r.check(ctx, mayAdd, mayList, mayAccess); err != nil {
		return err
	}
	w, err := r.find(ctx)
	switch {
	case errors.Is(err, errNoWebhook):
		return r.create(ctx)
	case err != nil:
		return err
	}
	return r.adopt(ctx, w)
}

// A registrar holds both the API and the secret, and keeps the webhook and its stored
// secret in step.
type registrar struct {
	*Invocation
	*secretStore
	api *gemini
}

func (inv *Invocation) registrar(ctx context.Context) (*registrar, error) {
	s, err := inv.secretStore(ctx, inv.Values["signing_secret_name"])
	if err != nil {
		return nil, err
	}
	api, err := inv.gemini(ctx)
	if err != nil {
		return nil, err
	}
	return &registrar{inv, s, api}, nil
}

// create makes a webhook and stores its secret. From then on an interrupt must not
// leave one without the other.
func (r *registrar) create(ctx context.Context) error {
	uri := r.Values["static_url"]
	w, secret, err := r.api.create(ctx, uri, r.Events)
	ctx = context.WithoutCancel(ctx)
	switch {
	case refused(err):
		return &failure{err, "nothing was registered", "fix that, then " + terminal.Command("register")}
	case err != nil:
		return r.afterLostReply(ctx, err)
	}
	all, err := r.api.list(ctx)
	if err == nil && slices.ContainsFunc(all, func(other *geminiWebhook) bool { return other.uri == uri && other.id != w.id }) {
		return r.withdraw(ctx, w, errors.New("another webhook for this URL was made at the same time"))
	}
	stored, err := r.store(ctx, secret)
	if err != nil {
		return r.withdraw(ctx, w, fmt.Errorf("the signing secret could not be stored: %w", err))
	}
	r.say("registered", "webhook %s for %s", w.id, w.uri)
	r.say("events", "%s", strings.Join(w.events, " "))
	r.say("secret", "%s of %s; it was read back, and is nowhere else", stored, r.secretStore)
	r.sayNext()
	return nil
}

// afterLostReply looks whether a webhook was made whose secret nobody has seen.
func (r *registrar) afterLostReply(ctx context.Context, lost error) error {
	w, err := r.find(ctx)
	switch {
	case err == nil:
		r.say("found", "%v; the webhook was made all the same", lost)
		return r.adopt(ctx, w)
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
func (r *registrar) withdraw(ctx context.Context, w *geminiWebhook, why error) error {
	if err := r.api.delete(ctx, w.id); err != nil {
		return &failure{
			err:   fmt.Errorf("%w; then %w", why, err),
			state: fmt.Sprintf("webhook %s is registered, and signs with a secret that nobody has: its deliveries are refused", w.id),
			next:  fmt.Sprintf("%s, which gives it a new secret, or %s", terminal.Command("register"), terminal.Command("delete --yes --id "+w.id)),
		}
	}
	return &failure{why, fmt.Sprintf("webhook %s was deleted again", w.id), "fix that, then " + terminal.Command("register")}
}

// adopt sees to it that the secret of a webhook that is there is stored. Where it
// is, nothing is changed.
func (r *registrar) adopt(ctx context.Context, w *geminiWebhook) error {
	stored, err := r.versions(ctx)
	if err != nil {
		return err
	}
	if current, _ := split(w, stored); len(current) > 0 {
		r.say("registered", "webhook %s for %s was already; nothing was changed", w.id, w.uri)
		r.say("secret", "%s of %s", current[0], r.secretStore)
		return r.remind(w)
	}
	fresh, err := r.renew(ctx, w, revocation(w, stored))
	if err != nil {
		return err
	}
	r.say("registered", "webhook %s for %s was already, but its secret was not stored: it has a new one", w.id, w.uri)
	r.say("secret", "%s of %s; it was read back, and is nowhere else", fresh, r.secretStore)
	return r.remind(w)
}

// revocation returns how the webhook's secrets are to be revoked once it has a new one,
// where the current one is not stored. If an older one is, and still signs, it goes
// on for its time. If none is, nobody verifies by any of them: none must go on
// signing beside the new one, or instead of it.
func revocation(w *geminiWebhook, stored []version) webhooks.RevocationBehavior {
	for _, v := range stored {
		if w.inForce(v.text) {
			return webhooks.RevocationBehaviorRevokePreviousSecretsAfterH24
		}
	}
	return webhooks.RevocationBehaviorRevokePreviousSecretsImmediately
}

// remind says what else is to be done about a webhook.
func (r *registrar) remind(w *geminiWebhook) error {
	if w.state != enabled {
		return &failure{
			err:   fmt.Errorf("webhook %s is %s", w.id, w.state),
			state: "nothing is delivered",
			next:  fmt.Sprintf("%s, until only that is left; then %s", terminal.Command("doctor"), terminal.Command("enable")),
		}
	}
	r.sayNext()
	return nil
}
