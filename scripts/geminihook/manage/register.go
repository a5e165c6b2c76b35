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

// Subscribable are the events that the API accepts in a webhook's subscription. The
// documentation lists two more, batch.cancelled and interaction.cancelled, which the
// API rejects.
var Subscribable = []string{
	"batch.succeeded", "batch.failed", "batch.expired",
	"interaction.completed", "interaction.requires_action", "interaction.failed", "video.generated",
}

// Register creates the webhook for the static function's URL and stores its signing
// secret. If the webhook exists, Register makes sure that its secret is stored.
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

// A registrar changes the webhook and its stored secret together.
type registrar struct {
	*Invocation
	*secretStore
	api *gemini
}

// registrar returns the registrar of the invocation.
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

// create creates a webhook and stores its secret. It ignores interrupts once the
// webhook may exist, so that no webhook is left without a stored secret.
func (r *registrar) create(ctx context.Context) error {
	uri := r.Values["static_url"]
	w, secret, err := r.api.create(ctx, uri, r.Events)
	ctx = context.WithoutCancel(ctx)
	switch {
	case refused(err):
		return &failure{err, "no webhook was created", "fix the cause, then " + terminal.Command("register")}
	case err != nil:
		return r.afterLostReply(ctx, err)
	}
	all, err := r.api.list(ctx)
	if err == nil && slices.ContainsFunc(all, func(other *geminiWebhook) bool { return other.uri == uri && other.id != w.id }) {
		return r.withdraw(ctx, w, errors.New("another webhook for this URL was created at the same time"))
	}
	stored, err := r.store(ctx, secret)
	if err != nil {
		return r.withdraw(ctx, w, fmt.Errorf("the signing secret could not be stored: %w", err))
	}
	r.say("registered", "webhook %s for %s", w.id, w.uri)
	r.say("events", "%s", strings.Join(w.events, " "))
	r.say("secret", "%s of %s, the only copy, verified by reading it back", stored, r.secretStore)
	r.sayNext()
	return nil
}

// afterLostReply looks for a webhook that was created although the reply, with its
// secret, was lost.
func (r *registrar) afterLostReply(ctx context.Context, lost error) error {
	w, err := r.find(ctx)
	switch {
	case err == nil:
		r.say("found", "the webhook was created in spite of the error: %v", lost)
		return r.adopt(ctx, w)
	case errors.Is(err, errNoWebhook):
		return &failure{lost, "the API lists no webhook for this URL", "wait a minute, then " + terminal.Command("register")}
	}
	return &failure{
		err:   fmt.Errorf("%w; then %w", lost, err),
		state: "a webhook may have been created, whose secret is lost",
		next:  terminal.Command("register") + ", which gives it a new secret",
	}
}

// withdraw deletes a webhook whose secret is not stored. It returns why, with the
// resulting state.
func (r *registrar) withdraw(ctx context.Context, w *geminiWebhook, why error) error {
	if err := r.api.delete(ctx, w.id); err != nil {
		return &failure{
			err:   fmt.Errorf("%w; then %w", why, err),
			state: fmt.Sprintf("webhook %s is registered, but its secret is lost: its deliveries are rejected", w.id),
			next:  fmt.Sprintf("%s, which gives it a new secret, or %s", terminal.Command("register"), terminal.Command("delete --yes --id "+w.id)),
		}
	}
	return &failure{why, fmt.Sprintf("webhook %s was deleted again", w.id), "fix the cause, then " + terminal.Command("register")}
}

// adopt makes sure that the secret of an existing webhook is stored. If it is stored
// already, adopt only reports it.
func (r *registrar) adopt(ctx context.Context, w *geminiWebhook) error {
	stored, err := r.versions(ctx)
	if err != nil {
		return err
	}
	if current, _ := split(w, stored); len(current) > 0 {
		r.say("registered", "webhook %s for %s was registered already; nothing was changed", w.id, w.uri)
		r.say("secret", "%s of %s", current[0], r.secretStore)
		return r.remind(w)
	}
	fresh, err := r.renew(ctx, w, revocation(w, stored))
	if err != nil {
		return err
	}
	r.say("registered", "webhook %s for %s was registered already, but its secret was not stored: it has a new one", w.id, w.uri)
	r.say("secret", "%s of %s, the only copy, verified by reading it back", fresh, r.secretStore)
	return r.remind(w)
}

// revocation returns when the API must revoke a webhook's old secrets after a rotation,
// if the current secret is not stored. If an old secret is stored and still in use, the
// API keeps the old secrets for 24 hours. If not, the functions would reject deliveries
// that are signed with them, so the API must stop using them at once.
func revocation(w *geminiWebhook, stored []version) webhooks.RevocationBehavior {
	for _, v := range stored {
		if w.inForce(v.text) {
			return webhooks.RevocationBehaviorRevokePreviousSecretsAfterH24
		}
	}
	return webhooks.RevocationBehaviorRevokePreviousSecretsImmediately
}

// remind prints the next step for a webhook. It fails if the webhook is not enabled.
func (r *registrar) remind(w *geminiWebhook) error {
	if w.state != enabled {
		return &failure{
			err:   fmt.Errorf("webhook %s is %s", w.id, w.state),
			state: "the API delivers no events to it",
			next:  fmt.Sprintf("%s, until no other check fails; then %s", terminal.Command("doctor"), terminal.Command("enable")),
		}
	}
	r.sayNext()
	return nil
}
