package geminitest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// The states of a webhook.
const (
	enabled  = "enabled"
	disabled = "disabled"
	failed   = "disabled_due_to_failed_deliveries"
)

// hook is a registered webhook.
type hook struct {
	id, name, uri, state string
	events               []string
	secrets              []secret // the newest first
	failures             int      // failed deliveries since the last one that succeeded
}

// secret is a signing secret of a webhook.
type secret struct {
	text    string
	expires time.Time // zero for the current one
}

// newID returns a random id of 36 lower-case letters and digits, like the ids of the
// real API.
func newID() string { return strings.ToLower(rand.Text() + rand.Text())[:36] }

// renew adds a new secret in front. It sets the expiry of the secrets that have none.
func (w *hook) renew(expire time.Time) {
	secrets := []secret{{text: webhooktest.NewSecret()}}
	for _, s := range w.secrets {
		if s.expires.IsZero() {
			s.expires = expire
		}
		secrets = append(secrets, s)
	}
	w.secrets = secrets
}

// inForce returns the secrets that have not expired, the newest first.
func (w *hook) inForce(now time.Time) []secret {
	return slices.DeleteFunc(slices.Clone(w.secrets), func(s secret) bool {
		return !s.expires.IsZero() && !now.Before(s.expires)
	})
}

// public returns the webhook as the API shows it: without its secrets, and, as
// observed, without the times that the documentation lists.
func (w *hook) public(now time.Time) map[string]any {
	var secrets []map[string]any
	for _, s := range w.inForce(now) {
		shown := map[string]any{"truncated_secret": "whsec_..." + s.text[len(s.text)-4:]}
		if !s.expires.IsZero() {
			shown["expire_time"] = s.expires.UTC().Format(time.RFC3339Nano)
		}
		secrets = append(secrets, shown)
	}
	all := map[string]any{
		"id": w.id, "uri": w.uri, "state": w.state,
		"subscribed_events": w.events, "signing_secrets": secrets,
	}
	if w.name != "" {
		all["name"] = w.name
	}
	return all
}

// take sets the fields in body. It fails if body has a field that is not allowed.
func (w *hook) take(body fields, allowed ...string) error {
	if err := known(body, allowed...); err != nil {
		return err
	}
	for name, raw := range body {
		var err error
		switch name {
		case "name":
			err = text(raw, name, &w.name)
		case "uri":
			err = w.setURI(raw)
		case "state":
			err = w.setState(raw)
		case "subscribed_events":
			err = w.setEvents(raw)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// setURI accepts any https URL, reachable or not. Unlike the real API it also accepts
// http on a loopback address.
func (w *hook) setURI(raw json.RawMessage) error {
	if err := text(raw, "uri", &w.uri); err != nil {
		return err
	}
	if !callable(w.uri) {
		return invalid("Webhook URI must use https.")
	}
	return nil
}

// callable reports whether a webhook may have this URL.
func callable(uri string) bool {
	u, err := url.Parse(uri)
	return err == nil && (u.Scheme == "https" && u.Host != "" || loopback(u))
}

// setState sets the state, and resets the count of failures.
func (w *hook) setState(raw json.RawMessage) error {
	if err := text(raw, "state", &w.state); err != nil {
		return err
	}
	if !slices.Contains([]string{enabled, disabled, failed}, w.state) {
		return invalid(fmt.Sprintf("Invalid value %q for 'state'.", w.state))
	}
	w.failures = 0
	return nil
}

func (w *hook) setEvents(raw json.RawMessage) error {
	w.events = nil
	if json.Unmarshal(raw, &w.events) != nil {
		return invalid("Invalid value for 'subscribed_events'.")
	}
	for _, e := range w.events {
		if !slices.Contains(Events, e) {
			return invalid(fmt.Sprintf("Invalid value %q for 'subscribed_events'. Supported values are: '%s'.",
				e, strings.Join(Events, "', '")))
		}
	}
	return nil
}

func text(raw json.RawMessage, name string, to *string) error {
	if json.Unmarshal(raw, to) != nil {
		return invalid(fmt.Sprintf("Invalid value for '%s'.", name))
	}
	return nil
}

// known returns an error if body has a field that is not allowed. The API accepts
// snake_case only. If the name is the camelCase form of an allowed field, the error
// suggests that field.
func known(body fields, allowed ...string) error {
	for name := range body {
		if slices.Contains(allowed, name) {
			continue
		}
		message := fmt.Sprintf("Unknown parameter '%s'.", name)
		if snake := snakeCase(name); slices.Contains(allowed, snake) {
			message += fmt.Sprintf(" Did you mean '%s'?", snake)
		}
		return invalid(message)
	}
	return nil
}

// snakeCase returns a camelCase name in snake_case.
func snakeCase(name string) string {
	var b strings.Builder
	for _, r := range name {
		if unicode.IsUpper(r) {
			b.WriteByte('_')
			r = unicode.ToLower(r)
		}
		b.WriteRune(r)
	}
	return b.String()
}

// A refusal is an error answer of the API.
type refusal struct {
	code    int // HTTP status
	message string
}

func (r *refusal) Error() string { return r.message }

// statuses has the names of HTTP statuses in Google's APIs.
var statuses = map[int]string{
	400: "INVALID_ARGUMENT", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ABORTED",
	429: "RESOURCE_EXHAUSTED", 500: "INTERNAL", 501: "UNIMPLEMENTED", 503: "UNAVAILABLE",
}

// body returns the JSON of the error in most parts of the API.
func (r *refusal) body() any {
	status := or(statuses[r.code], "UNKNOWN")
	return object{"error": object{"code": r.code, "message": r.message, "status": status}}
}

// interactionBody returns the JSON of the error for interactions, in which the code
// is a word.
func (r *refusal) interactionBody() any {
	code := strings.ToLower(or(statuses[r.code], "UNKNOWN"))
	if r.code == http.StatusBadRequest {
		code = "invalid_request"
	}
	return object{"error": object{"message": r.message, "code": code}}
}

func invalid(message string) error { return &refusal{http.StatusBadRequest, message} }

func notFound(id string) error {
	return &refusal{http.StatusNotFound, "Webhook " + id + " not found."}
}

// refusalOf returns the refusal in err's chain. Any other error is answered 500.
func refusalOf(err error) *refusal {
	var r *refusal
	if errors.As(err, &r) {
		return r
	}
	return &refusal{http.StatusInternalServerError, err.Error()}
}
