package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"google.golang.org/genai/interactions/models/webhooks"

	"github.com/geminihook/geminihook/shared/refresh"
)

// overlap is how long the API goes on signing with a secret that was rotated away.
const overlap = 24 * time.Hour

var rotate = &subcommand{
	name: "rotate",
	does: "give the webhook a new signing secret",
	usage: `Usage: go run ./scripts/webhooks rotate [-finish | -immediately] [flags]

Has the API make a new signing secret, and stores it as a new version beside the old
one. For 24 hours both are in force, at the API and in the functions, which accept
every enabled version: nothing is deployed again, and nothing is lost. When that is
over, rotate -finish disables the old version; before, it refuses to.

-immediately is for a secret that has leaked: the API revokes it now, and the old
versions are disabled now. Instances that hold them in memory accept them for up to
` + minutes(refresh.FreshFor) + ` more. Deliveries under way may be refused, and are sent again.

Examples:
  go run ./scripts/webhooks rotate
  go run ./scripts/webhooks rotate -finish
  go run ./scripts/webhooks rotate -immediately
`,
	values: []string{"project", "static_url", "signing_secret_name"},
	gemini: true,
	flags: func(flags *flag.FlagSet, o *options) {
		flags.BoolVar(&o.finish, "finish", false, "disable the old versions, once the overlap is over")
		flags.BoolVar(&o.immediately, "immediately", false, "revoke and disable the old versions at once")
		idFlag(flags, o)
	},
	run: (*errand).rotate,
}

func (e *errand) rotate(ctx context.Context) error {
	if e.finish && e.immediately {
		return errors.New("-finish and -immediately do not go together")
	}
	k, err := e.keeper(ctx)
	if err != nil {
		return err
	}
	needed := []string{mayAdd, mayList, mayAccess}
	if e.finish || e.immediately {
		needed = append(needed, mayDisable)
	}
	if err := k.check(ctx, needed...); err != nil {
		return err
	}
	h, err := k.find(ctx)
	switch {
	case err != nil:
		return err
	case e.finish:
		return k.finishRotation(ctx, h)
	case e.immediately:
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
	k.say("next", "after that, %s", typed("rotate -finish"))
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
			next:  fmt.Sprintf("disable %s of %s, or %s", numbers(old), k.vault, typed("rotate -immediately")+" again"),
		}
	}
	k.say("disabled", "%s; instances that hold it in memory accept it for up to %s more", numbers(old), minutes(refresh.FreshFor))
	return nil
}

// renew has the API make a new secret, and stores it. The API never shows it again:
// where it is lost, another takes its place.
func (k *keeper) renew(ctx context.Context, h *hook, behaviour webhooks.RevocationBehavior) (version, error) {
	again := typed("rotate")
	state := "the webhook signs with a secret that nobody has, beside the old one until " + k.when(k.now().Add(overlap))
	if behaviour == webhooks.RevocationBehaviorRevokePreviousSecretsImmediately {
		again, state = typed("rotate -immediately"), "the webhook signs with a secret that nobody has: its deliveries are refused, and sent again for a day"
	}
	secret, err := k.api.rotate(ctx, h.id, behaviour)
	switch {
	case refused(err):
		return version{}, &failure{err, "nothing was changed", "mend that, and " + again}
	case err != nil:
		return version{}, &failure{err, "it may not have happened; if it has, " + state, again}
	}
	fresh, err := k.store(ctx, secret)
	if err != nil {
		return version{}, &failure{fmt.Errorf("the new secret could not be stored: %w", err), state, "mend that, and " + again}
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
		return &failure{errNotStored(h), "nothing was changed", typed("rotate")}
	case len(old) == 0:
		k.say("finished", "only the current secret is enabled, %s of %s", numbers(current), k.vault)
		return nil
	}
	if over := overlapEnd(h, current); k.now().Before(over) {
		return &failure{
			err:   fmt.Errorf("the overlap is not over: until %s deliveries may be signed with the old secret", k.when(over)),
			state: "nothing was changed",
			next:  fmt.Sprintf("after that, %s; if the old secret has leaked, %s", typed("rotate -finish"), typed("rotate -immediately")),
		}
	}
	if err := k.disable(ctx, old...); err != nil {
		return &failure{err, "the rest is as it was", typed("rotate -finish")}
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
