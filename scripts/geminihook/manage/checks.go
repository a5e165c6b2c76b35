package manage

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"google.golang.org/api/firestore/v1"
	"google.golang.org/api/serviceusage/v1"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/webhook"
)

// checks returns the checks of doctor, in the order in which a delivery passes the
// parts.
func (inv *Invocation) checks(ctx context.Context) []check {
	d := inv.deployment(ctx)
	const accessor = "roles/secretmanager.viewer and roles/secretmanager.secretAccessor on the secret"
	static := []check{
		{"webhook", "", d.registered},
		{"signing secret", accessor, d.signingSecret},
		{"rotation", accessor, d.rotation},
		{"static function", "", d.static},
	}
	if d.Values["static_webhook"] == "false" {
		static = []check{{"webhook", "", func(context.Context) (string, error) { return "none expected: static_webhook is false", nil }}}
	}
	return slices.Concat([]check{{"services", "roles/serviceusage.serviceUsageViewer", d.services}}, static, []check{
		{"URL token", accessor, d.urlToken},
		{"dynamic function", accessor, d.dynamic},
		{"ledger's TTL", "roles/datastore.viewer", d.ttl},
		{"topics", "roles/pubsub.viewer", d.topics},
		{"subscriptions", "roles/pubsub.viewer", d.subscriptions},
		{"dead letters", "roles/monitoring.viewer", d.deadLetters},
		{"clock", "", d.clock},
	})
}

// services checks that the Google Cloud services are enabled.
func (d *deployment) services(ctx context.Context) (string, error) {
	client, err := serviceusage.NewService(ctx, d.Google...)
	if err != nil {
		return "", err
	}
	parent := "projects/" + d.Values["project"]
	names := d.Values.list("services")
	for i, name := range names {
		names[i] = parent + "/services/" + name
	}
	res, err := client.Services.BatchGet(parent).Names(names...).Context(ctx).Do()
	if err != nil {
		return "", err
	}
	on := map[string]bool{}
	for _, service := range res.Services {
		on[path.Base(service.Name)] = service.State == "ENABLED"
	}
	off := slices.DeleteFunc(d.Values.list("services"), func(name string) bool { return on[name] })
	if len(off) > 0 {
		return "", errTodo("terraform apply", "disabled: %s", strings.Join(off, ", "))
	}
	return fmt.Sprintf("%d enabled", len(on)), nil
}

// registered checks that a webhook for the static function's URL exists and is enabled.
func (d *deployment) registered(context.Context) (string, error) {
	w, err := d.webhook()
	switch {
	case err != nil:
		return "", err
	case w.state != enabled:
		return "", errTodo(terminal.Command("enable")+" when all other checks are ✓", "%s is %s", w.id, w.state)
	}
	finding := fmt.Sprintf("%s, enabled, %d events", w.id, len(w.events))
	for _, event := range Subscribable {
		if !slices.Contains(w.events, event) {
			finding += ", not " + event
		}
	}
	return finding, nil
}

// signingSecret checks that the webhook's current signing secret is an enabled version.
func (d *deployment) signingSecret(context.Context) (string, error) {
	stored, err := usable(d.signing, webhook.ParseSigningKey, "register")
	if err != nil {
		return "", err
	}
	w, err := d.webhook()
	if err != nil {
		return "", errTodo("fix the webhook first", "%s is enabled, but the webhook's secret is unknown", numbers(stored))
	}
	current, _ := split(w, stored)
	if len(current) == 0 {
		return "", errTodo(terminal.Command("rotate"), "%v: its deliveries are rejected", errNotStored(w))
	}
	return fmt.Sprintf("%s is the webhook's current secret", numbers(current)), nil
}

// usable returns the enabled versions of a secret. It fails if no version is enabled,
// and then names the command that adds one, or if a function could not parse a version.
func usable[T any](enabled func() ([]version, error), parse func([]byte) (T, error), command string) ([]version, error) {
	stored, err := enabled()
	switch {
	case err != nil:
		return nil, err
	case len(stored) == 0:
		return nil, errTodo(terminal.Command(command), "no enabled version: all deliveries are answered 503")
	}
	for _, v := range stored {
		if _, err := parse([]byte(v.text)); err != nil {
			return nil, errTodo("disable this version", "%s is %v", v, err)
		}
	}
	return stored, nil
}

// rotation checks that no old signing secret is enabled after the overlap.
func (d *deployment) rotation(context.Context) (string, error) {
	stored, err := d.signing()
	if err != nil {
		return "", err
	}
	w, err := d.webhook()
	if err != nil {
		return "", errTodo("fix the webhook first", "unknown without the webhook")
	}
	current, old := split(w, stored)
	switch {
	case len(current) == 0:
		return "", errTodo("fix the signing secret first", "the current secret is not stored")
	case len(old) == 0:
		return "none in progress", nil
	}
	if over := overlapEnd(w, current); d.Now().Before(over) {
		return fmt.Sprintf("%s is accepted until %s; then %s", numbers(old), d.when(over), terminal.Command("rotate --finish")), nil
	}
	return "", errTodo(terminal.Command("rotate --finish"), "%s is still enabled, but no longer needed", numbers(old))
}

// urlToken checks that a URL token is enabled, and no old one for longer than jobs use
// it.
func (d *deployment) urlToken(context.Context) (string, error) {
	if d.Values["url_token_required"] == "false" {
		return "not required", nil
	}
	tokens, err := usable(d.tokens, webhook.ParseURLToken, "dynamic-url")
	if err != nil {
		return "", err
	}
	over := tokens[0].created.Add(urlUsedFor)
	switch {
	case len(tokens) == 1:
		return numbers(tokens) + " is enabled", nil
	case d.Now().Before(over):
		return fmt.Sprintf("running jobs may use %s until %s; then %s", numbers(tokens[1:]), d.when(over), terminal.Command("dynamic-url --finish")), nil
	}
	return "", errTodo(terminal.Command("dynamic-url --finish"), "%s is still enabled, but no longer needed", numbers(tokens[1:]))
}

// ttl checks that Firestore's TTL policy deletes expired records.
func (d *deployment) ttl(ctx context.Context) (string, error) {
	client, err := firestore.NewService(ctx, d.Google...)
	if err != nil {
		return "", err
	}
	field := fmt.Sprintf("projects/%s/databases/%s/collectionGroups/%s/fields/expire_at",
		d.Values["project"], d.Values["firestore_database"], d.Values["firestore_collection"])
	res, err := client.Projects.Databases.CollectionGroups.Fields.Get(field).Context(ctx).Do()
	switch {
	case err != nil:
		return "", err
	case res.TtlConfig == nil:
		return "", errTodo("terraform apply", "no TTL policy on expire_at: records are never deleted")
	case res.TtlConfig.State == "CREATING":
		return "", errTodo("check again in a few minutes", "the TTL policy is being created")
	case res.TtlConfig.State != "ACTIVE":
		return "", errTodo("terraform apply", "the TTL policy is %s", res.TtlConfig.State)
	}
	return "active", nil
}
