package manage

import (
	"context"
	"fmt"
	"time"

	"google.golang.org/genai/interactions/models/webhooks"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/refresh"
)

// overlap is how long the API goes on signing with a secret that was rotated away.
const overlap = 24 * time.Hour

// Rotate gives the webhook a new signing secret, or with Finish disables the old ones.
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

func (r *registrar) rotateWithOverlap(ctx context.Context, w *geminiWebhook) error {
	fresh, err := r.renew(ctx, w, webhooks.RevocationBehaviorRevokePreviousSecretsAfterH24)
	if err != nil {
		return err
	}
	r.say("rotated", "webhook %s has a new secret, %s of %s", w.id, fresh, r.secretStore)
	r.say("overlap", "the old one is in force beside it until %s", r.when(fresh.created.Add(overlap)))
	r.say("next", "after that, %s", terminal.Command("rotate --finish"))
	return nil
}

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
			state: "the API signs with the new secret alone, but the functions still accept the old one",
			next:  fmt.Sprintf("disable %s of %s, or %s", numbers(old), r.secretStore, terminal.Command("rotate --immediately")+" again"),
		}
	}
	r.say("disabled", "%s; instances that hold it in memory accept it for up to %s more", numbers(old), minutes(refresh.TTL))
	return nil
}

// renew has the API make a new secret, and stores it. The API never shows it again: a
// secret that is lost is replaced by another one.
func (r *registrar) renew(ctx context.Context, w *geminiWebhook, behaviour webhooks.RevocationBehavior) (version, error) {
	again := terminal.Command("rotate")
	state := "the webhook signs with a secret that nobody has, beside the old one until " + r.when(r.Now().Add(overlap))
	if behaviour == webhooks.RevocationBehaviorRevokePreviousSecretsImmediately {
		again, state = terminal.Command("rotate --immediately"), "the webhook signs with a secret that nobody has: its deliveries are refused, and sent again for a day"
	}
	secret, err := r.api.rotate(ctx, w.id, behaviour)
	switch {
	case refused(err):
		return version{}, &failure{err, "nothing was changed", "fix that, then " + again}
	case err != nil:
		return version{}, &failure{err, "it may not have happened; if it has, " + state, again}
	}
	fresh, err := r.store(ctx, secret)
	if err != nil {
		return version{}, &failure{fmt.Errorf("the new secret could not be stored: %w", err), state, "fix that, then " + again}
	}
	return fresh, nil
}

// finishRotation disables the versions that are no longer in force.
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
		r.say("finished", "only the current secret is enabled, %s of %s", numbers(current), r.secretStore)
		return nil
	}
	if over := overlapEnd(w, current); r.Now().Before(over) {
		return &failure{
			err:   fmt.Errorf("the overlap is not over: until %s deliveries may be signed with the old secret", r.when(over)),
			state: "nothing was changed",
			next:  fmt.Sprintf("after that, %s; if the old secret has leaked, %s", terminal.Command("rotate --finish"), terminal.Command("rotate --immediately")),
		}
	}
	if err := r.disable(ctx, old...); err != nil {
		return &failure{err, "the rest is as it was", terminal.Command("rotate --finish")}
	}
	r.say("disabled", "%s of %s; %s is in force", numbers(old), r.secretStore, numbers(current))
	return nil
}

func errNotStored(w *geminiWebhook) error {
	return fmt.Errorf("no enabled version is the current secret of webhook %s", w.id)
}

// split tells the versions that the webhook signs with from those that it does not,
// or not for long. Where the API shows no secrets, the newest is the current one.
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

// overlapEnd is when the old secrets have stopped signing: a day after the current
// one was stored, which was after it was made, or whenever the API says, if later.
// Nothing has to be remembered on this machine.
func overlapEnd(w *geminiWebhook, current []version) time.Time {
	over := current[0].created.Add(overlap)
	for _, k := range w.keys {
		if k.expires.After(over) {
			over = k.expires
		}
	}
	return over
}

func minutes(d time.Duration) string { return fmt.Sprintf("%.0f minutes", d.Minutes()) }
