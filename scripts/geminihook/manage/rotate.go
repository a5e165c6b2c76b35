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
func (e *Errand) Rotate(ctx context.Context) error {
	k, err := e.keeper(ctx)
	if err != nil {
		return err
	}
	needed := []string{mayAdd, mayList, mayAccess}
	if e.Finish || e.Immediately {
		needed = append(needed, mayDisable)
	}
	if err := k.check(ctx, needed...); err != nil {
		return err
	}
	h, err := k.find(ctx)
	switch {
	case err != nil:
		return err
	case e.Finish:
		return k.finishRotation(ctx, h)
	case e.Immediately:
		return k.rotateNow(ctx, h)
	}
	return k.rotateMildly(ctx, h)
}

func (k *keeper) rotateMildly(ctx context.Context, h *hook) error {
	fresh, err := k.renew(ctx, h, webhooks.RevocationBehaviorRevokePreviousSecretsAfterH24)
	if err != nil {
		return err
	}
	k.say("rotated", "webhook %s has a new secret, %s of %s", h.id, fresh, k.vault)
	k.say("overlap", "the old one is in force beside it until %s", k.when(fresh.created.Add(overlap)))
	k.say("next", "after that, %s", terminal.Command("rotate --finish"))
	return nil
}

func (k *keeper) rotateNow(ctx context.Context, h *hook) error {
	old, err := k.versions(ctx)
	if err != nil {
		return err
	}
	fresh, err := k.renew(ctx, h, webhooks.RevocationBehaviorRevokePreviousSecretsImmediately)
	if err != nil {
		return err
	}
	k.say("rotated", "webhook %s has a new secret, %s of %s; the API has revoked all others", h.id, fresh, k.vault)
	if len(old) == 0 {
		return nil
	}
	if err := k.disable(context.WithoutCancel(ctx), old...); err != nil {
		return &failure{
			err:   err,
			state: "the API signs with the new secret alone, but the functions still accept the old one",
			next:  fmt.Sprintf("disable %s of %s, or %s", numbers(old), k.vault, terminal.Command("rotate --immediately")+" again"),
		}
	}
	k.say("disabled", "%s; instances that hold it in memory accept it for up to %s more", numbers(old), minutes(refresh.TTL))
	return nil
}

// renew has the API make a new secret, and stores it. The API never shows it again:
// where it is lost, another takes its place.
func (k *keeper) renew(ctx context.Context, h *hook, behaviour webhooks.RevocationBehavior) (version, error) {
	again := terminal.Command("rotate")
	state := "the webhook signs with a secret that nobody has, beside the old one until " + k.when(k.Now().Add(overlap))
	if behaviour == webhooks.RevocationBehaviorRevokePreviousSecretsImmediately {
		again, state = terminal.Command("rotate --immediately"), "the webhook signs with a secret that nobody has: its deliveries are refused, and sent again for a day"
	}
	secret, err := k.api.rotate(ctx, h.id, behaviour)
	switch {
	case refused(err):
		return version{}, &failure{err, "nothing was changed", "fix that, then " + again}
	case err != nil:
		return version{}, &failure{err, "it may not have happened; if it has, " + state, again}
	}
	fresh, err := k.store(ctx, secret)
	if err != nil {
		return version{}, &failure{fmt.Errorf("the new secret could not be stored: %w", err), state, "fix that, then " + again}
	}
	return fresh, nil
}

// finishRotation disables the versions that are no longer in force.
func (k *keeper) finishRotation(ctx context.Context, h *hook) error {
	stored, err := k.versions(ctx)
	if err != nil {
		return err
	}
	current, old := split(h, stored)
	switch {
	case len(current) == 0:
		return &failure{errNotStored(h), "nothing was changed", terminal.Command("rotate")}
	case len(old) == 0:
		k.say("finished", "only the current secret is enabled, %s of %s", numbers(current), k.vault)
		return nil
	}
	if over := overlapEnd(h, current); k.Now().Before(over) {
		return &failure{
			err:   fmt.Errorf("the overlap is not over: until %s deliveries may be signed with the old secret", k.when(over)),
			state: "nothing was changed",
			next:  fmt.Sprintf("after that, %s; if the old secret has leaked, %s", terminal.Command("rotate --finish"), terminal.Command("rotate --immediately")),
		}
	}
	if err := k.disable(ctx, old...); err != nil {
		return &failure{err, "the rest is as it was", terminal.Command("rotate --finish")}
	}
	k.say("disabled", "%s of %s; %s is in force", numbers(old), k.vault, numbers(current))
	return nil
}

func errNotStored(h *hook) error {
	return fmt.Errorf("no enabled version is the current secret of webhook %s", h.id)
}

// split tells the versions that the webhook signs with from those that it does not,
// or not for long. Where the API shows no secrets, the newest is the current one.
func split(h *hook, stored []version) (current, old []version) {
	for i, v := range stored {
		if len(h.keys) == 0 && i > 0 || !h.current(v.text) {
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
func overlapEnd(h *hook, current []version) time.Time {
	over := current[0].created.Add(overlap)
	for _, k := range h.keys {
		if k.expires.After(over) {
			over = k.expires
		}
	}
	return over
}

func minutes(d time.Duration) string { return fmt.Sprintf("%.0f minutes", d.Minutes()) }
