package geminitest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// interactionBody is the part of the body of a create call that affects the
// interaction.
type interactionBody struct {
	Model         string
	Agent         string
	Input         json.RawMessage
	Background    bool
	Store         *bool
	WebhookConfig *WebhookConfig `json:"-"`
}

func (a *API) createInteraction(_ *http.Request, body fields) (any, error) {
	asked, err := parseInteraction(body)
	if err != nil {
		return nil, err
	}
	as := a.jobLike(KindInteraction, "", asked.WebhookConfig)
	as.Model = strings.TrimPrefix(asked.Model, "models/")
	if !asked.Background {
		as = Job{Model: as.Model}
	}
	j := a.newInteraction(as)
	j.agent, j.quiet = asked.Agent, !asked.Background
	a.start(j)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.show(j, true), nil
}

// parseInteraction decodes the body of a create call, and checks the real API's rules
// for it.
func parseInteraction(body fields) (asked interactionBody, err error) {
	for name := range body {
		if strings.ContainsFunc(name, unicode.IsUpper) {
			return asked, invalid(fmt.Sprintf("Unknown parameter '%s'. Did you mean '%s'?", name, snakeCase(name)))
		}
	}
	if err := body.into(&asked); err != nil {
		return asked, err
	}
	if raw, ok := body["webhook_config"]; ok {
		if asked.WebhookConfig, err = parseWebhookConfig(raw); err != nil {
			return asked, err
		}
	}
	switch {
	case asked.Model == "" && asked.Agent == "" || asked.Input == nil:
		return asked, invalid("'input' and one of 'model' and 'agent' are required.")
	case asked.WebhookConfig != nil && !asked.Background:
		return asked, invalid("'webhook_config' requires 'background' to be true.")
	case asked.Background && asked.Store != nil && !*asked.Store:
		return asked, invalid("'background' requires 'store' to be true.")
	}
	return asked, nil
}

// parseWebhookConfig decodes a webhook_config with the field names of interactions.
func parseWebhookConfig(raw json.RawMessage) (*WebhookConfig, error) {
	var body fields
	if json.Unmarshal(raw, &body) != nil {
		return nil, invalid("Invalid value for 'webhook_config'.")
	}
	if err := known(body, "uris", "user_metadata"); err != nil {
		return nil, err
	}
	config := new(WebhookConfig)
	if json.Unmarshal(body["uris"], &config.URIs) != nil ||
		body["user_metadata"] != nil && json.Unmarshal(body["user_metadata"], &config.UserMetadata) != nil {
		return nil, invalid("Invalid value for 'webhook_config'.")
	}
	return config, config.check()
}

// check returns an error if a URL is not allowed or there are no URLs. c may be nil.
func (c *WebhookConfig) check() error {
	if c == nil {
		return nil
	}
	if len(c.URIs) == 0 || slices.ContainsFunc(c.URIs, func(uri string) bool { return !callable(uri) }) {
		return invalid("Webhook URIs must use https.")
	}
	return nil
}

// show returns the JSON of the config. metadata is the name of the field for
// UserMetadata, which differs between batches and interactions.
func (c *WebhookConfig) show(metadata string) object {
	shown := object{"uris": c.URIs}
	if c.UserMetadata != nil {
		shown[metadata] = c.UserMetadata
	}
	return shown
}

// onInteraction returns a method that calls do with the interaction in the path,
// under the lock.
func (a *API) onInteraction(do func(*job) object) method {
	return func(r *http.Request, _ fields) (any, error) {
		a.mu.Lock()
		defer a.mu.Unlock()
		j, err := a.findJob(KindInteraction, r.PathValue("id"))
		if err != nil {
			return nil, err
		}
		return do(j), nil
	}
}

func (a *API) cancelInteraction(j *job) object {
	a.cancel(j, InteractionCancelled)
	return a.show(j, true)
}

func (a *API) deleteInteraction(j *job) object {
	a.drop(j)
	return object{}
}

// showInteraction returns the API's JSON of an interaction.
func (j *job) showInteraction(now time.Time) object {
	shown := object{
		"object": "interaction", "id": j.name, "status": "in_progress", "service_tier": "standard",
		"created": wholeSeconds(j.created), "updated": wholeSeconds(j.created),
	}
	if j.agent != "" {
		shown["agent"] = j.agent
	} else {
		shown["model"] = or(j.Model, "gemini-3.5-flash")
	}
	if j.Webhook != nil {
		shown["webhook_config"] = j.Webhook.show("user_metadata")
	}
	if j.running(now) {
		return shown
	}
	shown["status"], shown["updated"] = j.End, wholeSeconds(j.ends)
	switch j.End {
	case InteractionCompleted:
		shown["steps"] = []any{object{"type": "model_output", "content": []any{object{"type": "text", "text": "Answer."}}}}
		shown["usage"] = object{"total_input_tokens": 4, "total_output_tokens": 2, "total_tokens": 6}
	case InteractionRequiresAction:
		shown["steps"] = []any{object{"type": "function_call", "id": "call_1", "name": "look_up", "arguments": object{}}}
	case InteractionFailed:
		shown["errors"] = []any{object{"code": strconv.Itoa(j.Error.Code), "message": j.Error.Message}}
	}
	return shown
}

func wholeSeconds(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
