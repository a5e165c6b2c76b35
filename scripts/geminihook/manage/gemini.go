package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"google.golang.org/genai"
	"google.golang.org/genai/interactions/models/apierrors"
	"google.golang.org/genai/interactions/models/operations"
	"google.golang.org/genai/interactions/models/webhooks"
	"google.golang.org/genai/interactions/retry"
)

const (
	// geminiURL is always passed to the client. Otherwise the client would take a URL
	// from the environment and send the key there.
	geminiURL = "https://generativelanguage.googleapis.com/"

	// callTimeout bounds a call, including the client's retries.
	callTimeout = time.Minute

	listPage = 1000 // webhooks per page, the API's maximum
	maxPages = 100  // pages of webhooks, a bound against an endless list

	// createAttempts bounds the attempts to create a webhook if the API answers 429.
	createAttempts = 4
)

// enabled is the state of a webhook that receives deliveries.
const enabled = string(webhooks.WebhookStateEnabled)

// A geminiWebhook is a webhook in the Gemini API. (The package name webhook is taken by
// shared/webhook.)
type geminiWebhook struct {
	id, uri, state string
	events         []string
	keys           []key
}

// A key is the part of a signing secret that the API shows.
type key struct {
	ending  string    // the secret's last characters
	expires time.Time // when the API stops signing with it; zero for the current secret
}

// current reports whether the webhook's current secret has the ending of secret. If the
// API shows no endings, any secret may be current.
func (w *geminiWebhook) current(secret string) bool {
	return len(w.keys) == 0 || slices.ContainsFunc(w.keys, func(k key) bool {
		return k.expires.IsZero() && strings.HasSuffix(secret, k.ending)
	})
}

// inForce reports whether the webhook signs with secret at all: it is the current one,
// or an old one that has not expired. If the API shows no endings, any secret may be.
func (w *geminiWebhook) inForce(secret string) bool {
	return len(w.keys) == 0 || slices.ContainsFunc(w.keys, func(k key) bool { return strings.HasSuffix(secret, k.ending) })
}

// newGeminiWebhook converts the API's answer.
func newGeminiWebhook(shown *webhooks.Webhook) *geminiWebhook {
	w := &geminiWebhook{id: value(shown.ID), uri: shown.URI, state: string(value(shown.State))}
	for _, event := range shown.SubscribedEvents {
		w.events = append(w.events, string(event))
	}
	for _, s := range shown.SigningSecrets {
		// The form is "whsec_...MnM=". Other forms are ignored.
		if _, ending, ok := strings.Cut(value(s.TruncatedSecret), "..."); ok && len(ending) >= 3 {
			w.keys = append(w.keys, key{ending, value(s.ExpireTime)})
		}
	}
	return w
}

// value returns the value that p points to, or the zero value if p is nil.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// A gemini is a client of the Gemini API for webhooks and batches.
type gemini struct {
	client *genai.Client
	pause  func(context.Context, time.Duration) error
}

// gemini returns a client with the invocation's API key.
func (inv *Invocation) gemini(ctx context.Context) (*gemini, error) {
	key, err := inv.apiKey(ctx)
	if err != nil {
		return nil, err
	}
	// If this variable were set, the client would log that it uses this key and not
	// GEMINI_API_KEY. That would be wrong.
	os.Unsetenv("GOOGLE_API_KEY")
	timeout := callTimeout
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		APIKey:      key,
		Backend:     genai.BackendGeminiAPI,
		HTTPOptions: genai.HTTPOptions{BaseURL: inv.GeminiURL, Timeout: &timeout},
	})
	if err != nil {
		return nil, errors.New("gemini client: cannot be created") // err is left out, because it holds the key
	}
	return &gemini{client, inv.Pause}, nil
}

// apiKey returns the Gemini API key: the newest version of the secret APIKeySecret, or
// if that is empty, the environment variable's.
func (inv *Invocation) apiKey(ctx context.Context) (string, error) {
	if inv.APIKeySecret == "" {
		if key := strings.TrimSpace(os.Getenv(keyVariable)); key != "" {
			return key, nil
		}
		return "", errors.New("no Gemini API key: set " + keyVariable + ", or give --api-key-secret-name SECRET")
	}
	s, err := inv.secretStore(ctx, inv.APIKeySecret)
	if err != nil {
		return "", err
	}
	versions, err := s.versions(ctx)
	if err == nil && len(versions) == 0 {
		err = fmt.Errorf("%s has no enabled version", s)
	}
	if err != nil {
		return "", fmt.Errorf("--api-key-secret-name: %w", err)
	}
	return strings.TrimSpace(versions[0].text), nil
}

// list returns all webhooks of the API key's project.
func (g *gemini) list(ctx context.Context) ([]*geminiWebhook, error) {
	var all []*geminiWebhook
	size := listPage
	request := operations.ListWebhooksRequest{PageSize: &size}
	for range maxPages {
		res, err := g.client.Webhooks.List(ctx, request)
		if err != nil {
			return nil, fmt.Errorf("list the webhooks: %w", describe(err))
		}
		for i := range res.GetWebhookListResponse().GetWebhooks() {
			all = append(all, newGeminiWebhook(&res.WebhookListResponse.Webhooks[i]))
		}
		request.PageToken = res.GetWebhookListResponse().GetNextPageToken()
		if value(request.PageToken) == "" {
			return all, nil
		}
	}
	return nil, fmt.Errorf("list the webhooks: too many, more than %d pages", maxPages)
}

// create creates a webhook and returns its signing secret, which the API never shows
// again. The client's own retries are off: if a create is answered 500, the webhook may
// exist, and a retry would create a second one.
func (g *gemini) create(ctx context.Context, uri string, events []string) (w *geminiWebhook, secret string, err error) {
	request := operations.CreateWebhookRequest{Body: webhooks.WebhookInput{URI: uri}}
	for _, event := range events {
		request.Body.SubscribedEvents = append(request.Body.SubscribedEvents, webhooks.WebhookSubscribedEvent(event))
	}
	for attempt := 1; ; attempt++ {
		res, err := g.client.Webhooks.Create(ctx, request, operations.WithRetries(retry.Config{}))
		again, wait := tooMany(err)
		switch {
		case err == nil && value(res.GetWebhook().GetNewSigningSecret()) == "":
			return nil, "", errors.New("create the webhook: the answer lacks a signing secret")
		case err == nil:
			return newGeminiWebhook(res.Webhook), *res.Webhook.NewSigningSecret, nil
		case !again || attempt == createAttempts || wait > callTimeout || g.pause(ctx, wait) != nil:
			return nil, "", fmt.Errorf("create the webhook: %w", describe(err))
		}
	}
}

// tooMany reports whether err is a 429, and how long to wait before a retry. After a
// 429, the API has not processed the request.
func tooMany(err error) (bool, time.Duration) {
	var answer *apierrors.APIError
	if !errors.As(err, &answer) || answer.StatusCode != http.StatusTooManyRequests {
		return false, 0
	}
	wait := time.Second
	var asked *retry.TemporaryError
	if errors.As(retry.TemporaryFromResponse("", answer.RawResponse), &asked) && asked.RetryAfter() > 0 {
		wait = asked.RetryAfter()
	}
	return true, wait
}

// rotate creates a new signing secret for the webhook and returns it. The client may
// retry the call: the secret in the last answer is the current one.
func (g *gemini) rotate(ctx context.Context, id string, behaviour webhooks.RevocationBehavior) (secret string, err error) {
	res, err := g.client.Webhooks.RotateSigningSecret(ctx, operations.RotateSigningSecretRequest{
		ID:   id,
		Body: webhooks.RotateSigningSecretRequest{RevocationBehavior: &behaviour},
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("rotate the signing secret: %w", describe(err))
	case value(res.GetWebhookRotateSigningSecretResponse().GetSecret()) == "":
		return "", errors.New("rotate the signing secret: the answer lacks a signing secret")
	}
	return *res.WebhookRotateSigningSecretResponse.Secret, nil
}

// enable enables a webhook and returns its new state.
func (g *gemini) enable(ctx context.Context, id string) (*geminiWebhook, error) {
	state := webhooks.WebhookUpdateStateEnabled
	res, err := g.client.Webhooks.Update(ctx, operations.UpdateWebhookRequest{ID: id, Body: webhooks.WebhookUpdate{State: &state}})
	if err != nil {
		return nil, fmt.Errorf("enable the webhook: %w", describe(err))
	}
	return newGeminiWebhook(res.Webhook), nil
}

// delete deletes a webhook.
func (g *gemini) delete(ctx context.Context, id string) error {
	_, err := g.client.Webhooks.Delete(ctx, operations.DeleteWebhookRequest{ID: id})
	if err != nil {
		return fmt.Errorf("delete the webhook: %w", describe(err))
	}
	return nil
}

// ping makes the API send a test event to a webhook. It succeeds even if the webhook's
// URL cannot be reached.
func (g *gemini) ping(ctx context.Context, id string) error {
	_, err := g.client.Webhooks.Ping(ctx, operations.PingWebhookRequest{ID: id})
	if err != nil {
		return fmt.Errorf("request a ping: %w", describe(err))
	}
	return nil
}

// An answerError is an error response of the API.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return fmt.Sprintf("answered %d: %s", e.status, e.text) }

// describe returns the client's error without the response body, which may hold a
// secret. It keeps the status, and the message of an error response.
func describe(err error) error {
	if other := (genai.APIError{}); errors.As(err, &other) { // from calls for batches
		return &answerError{other.Code, other.Message}
	}
	var answer *apierrors.APIError
	if !errors.As(err, &answer) {
		return err
	}
	described := &answerError{answer.StatusCode, "the answer cannot be parsed"}
	var body struct{ Error struct{ Message string } }
	if answer.StatusCode >= 400 && json.Unmarshal([]byte(answer.Body), &body) == nil && body.Error.Message != "" {
		described.text = body.Error.Message
	}
	return described
}

// refused reports whether err means that the API has rejected the request without any
// effect. After any other error, the request may have taken effect.
func refused(err error) bool {
	var answer *answerError
	return errors.As(err, &answer) && answer.status/100 == 4 && answer.status != http.StatusRequestTimeout
}
