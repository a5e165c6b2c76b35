package manage

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/genai/interactions/models/webhooks"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/refresh"
)

// overlap is how long the API continues to sign with an old secret after a rotation.
const overlap = 24 * time.Hour

// Rotate creates a new signing secret for the webhook and stores it. With Immediately,
// it also revokes and disables the old ones. With Finish, it only disables the old
// versions, and fails during the overlap.
func (inv *Invocation) Rotate(ctx context.Context) error {
	r, err := inv.registrar(ctx)
	if err != nil {
		return err
	}
	needed := []string{mayAdd, mayList, mayAccess}
	if inv.Finish || inv.Immediately {
		needed = append(needed, mayDisable)
	}
	if err := r.check(ctx, needed...); err != nil {
		return err
	}
	w, err := r.find(ctx)
	switch {
	case err != nil:
		return err
	case inv.Finish:
		return r.finishRotation(ctx, w)
	case inv.Immediately:
		return r.rotateNow(ctx, w)
	}
	return r.rotateWithOverlap(ctx, w)
}

// rotateWithOverlap creates a new secret; the old one stays valid for the overlap.
func (r *registrar) rotateWithOverlap(ctx context.Context, w *geminiWebhook) error {
	fresh, err := r.renew(ctx, w, webhooks.RevocationBehaviorRevokePreviousSecretsAfterH24)
	if err != nil {
		return err
	}
	r.say("rotated", "webhook %s has a new secret, %s of %s", w.id, fresh, r.secretStore)
	r.say("overlap", "the old secret stays valid until %s", r.when(fresh.created.Add(overlap)))
	r.say("next", "after that, %s", terminal.Command("rotate --finish"))
	return nil
}

// rotateNow creates a new secret and disables all old versions.
func (r *registrar) rotateNow(ctx context.Context, w *geminiWebhook) error {
	old, err := r.versions(ctx)
	if err != nil {
		return err
	}
	fresh, err := r.renew(ctx, w, webhooks.RevocationBehaviorRevokePreviousSecretsImmediately)
	if err != nil {
		return err
	}
	r.say("rotated", "webhook %s has a new secret, %s of %s; the API has revoked all others", w.id, fresh, r.secretStore)
	if len(old) == 0 {
		return nil
	}
	if err := r.disable(context.WithoutCancel(ctx), old...); err != nil {
		return &failure{
			err:   err,
			state: "the API signs only with the new secret, but the functions still accept the old one",
			next:  fmt.Sprintf("disable %s of %s, or %s", numbers(old), r.secretStore, "run "+terminal.Command("rotate --immediately")+" again"),
		}
	}
	r.say("disabled", "%s; running instances accept it for up to %s more", numbers(old), minutes(refresh.TTL))
	return nil
}

// renew makes the API create a new secret, and stores it. The API shows a secret only
// once: a secret that is lost must be replaced by another.
func (r *registrar) renew(ctx context.Context, w *geminiWebhook, behaviour webhooks.RevocationBehavior) (version, error) {
	again := terminal.Command("rotate")
	state := "the webhook signs with a lost secret, and until " + r.when(r.Now().Add(overlap)) + " also with the old one"
	if behaviour == webhooks.RevocationBehaviorRevokePreviousSecretsImmediately {
		again, state = terminal.Command("rotate --immediately"), "the webhook signs with a lost secret: its deliveries are rejected, and Gemini retries them for 24 hours"
	}
	secret, err := r.api.rotate(ctx, w.id, behaviour)
	switch {
	case refused(err):
		return version{}, &failure{err, "nothing was changed", "fix the cause, then " + again}
	case err != nil:
		return version{}, &failure{err, "the secret may have changed; if it has, " + state, again}
	}
	fresh, err := r.store(ctx, secret)
	if err != nil {
		return version{}, &failure{fmt.Errorf("the new secret could not be stored: %w", err), state, "fix the cause, then " + again}
	}
	return fresh, nil
}

// finishRotation disables the versions that the webhook no longer signs with.
func (r *registrar) finishRotation(ctx context.Context, w *geminiWebhook) error {
	stored, err := r.versions(ctx)
	if err != nil {
		return err
	}
	current, old := split(w, stored)
	switch {
	case len(current) == 0:
		return &failure{errNotStored(w), "nothing was changed", terminal.Command("rotate")}
	case len(old) == 0:
		r.say("finished", "no old secret is enabled, only %s of %s", numbers(current), r.secretStore)
		return nil
	}
	if over := overlapEnd(w, current); r.Now().Before(over) {
		return &failure{
			err:   fmt.Errorf("the overlap is not over: deliveries may be signed with the old secret until %s", r.when(over)),
			state: "nothing was changed",
			next:  fmt.Sprintf("after that, %s; if the old secret has leaked, %s", terminal.Command("rotate --finish"), terminal.Command("rotate --immediately")),
		}
	}
	if err := r.disable(ctx, old...); err != nil {
		return &failure{err, "not all old versions are disabled", terminal.Command("rotate --finish")}
	}
	r.say("disabled", "%s of %s; %s is the current secret", numbers(old), r.secretStore, numbers(current))
	return nil
}

// errNotStored returns the error if the webhook's current secret is not stored.
func errNotStored(w *geminiWebhook) error {
	return fmt.Errorf("no enabled version is the current secret of webhook %s", w.id)
}

// split separates the current version from the old ones, which the webhook no longer
// signs with or only during the overlap. If the API does not show the secrets' endings,
// the newest version is the current one.
func split(w *geminiWebhook, stored []version) (current, old []version) {
	for i, v := range stored {
		if len(w.keys) == 0 && i > 0 || !w.current(v.text) {
			old = append(old, v)
		} else {
			current = append(current, v)
		}
	}
	return current, old
}

// overlapEnd returns the time at which the webhook stops signing with old secrets: 24
// hours after the current one was stored, or the latest expiry that the API shows,
// whichever is later. The API created the secret before it was stored, so the overlap
// cannot end later. Both times come from Google, so this machine keeps no state.
func overlapEnd(w *geminiWebhook, current []version) time.Time {
	over := current[0].created.Add(overlap)
	for _, k := range w.keys {
		if k.expires.After(over) {
			over = k.expires
		}
	}
	return over
}

// minutes formats a duration in whole minutes.
func minutes(d time.Duration) string { return fmt.Sprintf("%.0f minutes", d.Minutes()) }
