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
	// geminiURL is always given to the client: by itself it would take another from
	// the environment, and send the key there.
	geminiURL = "https://generativelanguage.googleapis.com/"

	// callTimeout bounds a call, and its repetitions by the client.
	callTimeout = time.Minute

	listPage = 1000 // webhooks, the most that the API gives out at once
	maxPages = 100

	// createAttempts are those at a create that is answered 429.
	createAttempts = 4
)

const enabled = string(webhooks.WebhookStateEnabled)

// A geminiWebhook is a webhook as the API shows it. The package webhook is shared/webhook.
type geminiWebhook struct {
	id, uri, state string
	events         []string
	keys           []key
}

// A key is what the API shows of a signing secret.
type key struct {
	ending  string    // its last characters
	expires time.Time // zero for the current one
}

// current reports whether a secret is the one that the webhook goes on signing with,
// as far as its ending tells. Where the API shows none, any may be.
func (w *geminiWebhook) current(secret string) bool {
	return len(w.keys) == 0 || slices.ContainsFunc(w.keys, func(k key) bool {
		return k.expires.IsZero() && strings.HasSuffix(secret, k.ending)
	})
}

// inForce reports whether a secret signs at all: for now, or for good.
func (w *geminiWebhook) inForce(secret string) bool {
	return len(w.keys) == 0 || slices.ContainsFunc(w.keys, func(k key) bool { return strings.HasSuffix(secret, k.ending) })
}

func newGeminiWebhook(shown *webhooks.Webhook) *geminiWebhook {
	w := &geminiWebhook{id: value(shown.ID), uri: shown.URI, state: string(value(shown.State))}
	for _, event := range shown.SubscribedEvents {
		w.events = append(w.events, string(event))
	}
	for _, s := range shown.SigningSecrets {
		// "whsec_...MnM=". What is of another form tells nothing.
		if _, ending, ok := strings.Cut(value(s.TruncatedSecret), "..."); ok && len(ending) >= 3 {
			w.keys = append(w.keys, key{ending, value(s.ExpireTime)})
		}
	}
	return w
}

// value returns what p points to, or zero.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// gemini is the API that webhooks are registered with.
type gemini struct {
	client *genai.Client
	pause  func(context.Context, time.Duration) error
}

func (inv *Invocation) gemini(ctx context.Context) (*gemini, error) {
	key, err := inv.apiKey(ctx)
	if err != nil {
		return nil, err
	}
	// The client would say that it takes this key instead of the other, which it
	// does not.
	os.Unsetenv("GOOGLE_API_KEY")
	timeout := callTimeout
	client, err := genai.NewClient(ctx, &genai.ClientConfig{
		APIKey:      key,
		Backend:     genai.BackendGeminiAPI,
		HTTPOptions: genai.HTTPOptions{BaseURL: inv.GeminiURL, Timeout: &timeout},
	})
	if err != nil {
		return nil, errors.New("gemini client: not made") // its errors hold the key
	}
	return &gemini{client, inv.Pause}, nil
}

func (inv *Invocation) apiKey(ctx context.Context) (string, error) {
	if inv.APIKeySecret == "" {
		if key := strings.TrimSpace(os.Getenv(keyVariable)); key != "" {
			return key, nil
		}
		return "", errors.New("no Gemini API key: set " + keyVariable + ", or say --api-key-secret-name SECRET")
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

// list returns all webhooks of the project that the API key is of.
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
	return nil, fmt.Errorf("list the webhooks: more than %d pages", maxPages)
}

// create makes a webhook, and returns the secret that is never shown again. The
// client's own repetitions are off: a create that is answered 500 may have happened,
// and another would make a second webhook.
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
			return nil, "", errors.New("create the webhook: an answer without a signing secret")
		case err == nil:
			return newGeminiWebhook(res.Webhook), *res.Webhook.NewSigningSecret, nil
		case !again || attempt == createAttempts || wait > callTimeout || g.pause(ctx, wait) != nil:
			return nil, "", fmt.Errorf("create the webhook: %w", describe(err))
		}
	}
}

// tooMany reports whether err says that nothing was done for now, and how long to
// wait.
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

// rotate gives the webhook a new secret. It may be repeated, as the client does: the
// secret of the last answer is the current one.
func (g *gemini) rotate(ctx context.Context, id string, behaviour webhooks.RevocationBehavior) (secret string, err error) {
	res, err := g.client.Webhooks.RotateSigningSecret(ctx, operations.RotateSigningSecretRequest{
		ID:   id,
		Body: webhooks.RotateSigningSecretRequest{RevocationBehavior: &behaviour},
	})
	switch {
	case err != nil:
		return "", fmt.Errorf("rotate the signing secret: %w", describe(err))
	case value(res.GetWebhookRotateSigningSecretResponse().GetSecret()) == "":
		return "", errors.New("rotate the signing secret: an answer without one")
	}
	return *res.WebhookRotateSigningSecretResponse.Secret, nil
}

func (g *gemini) enable(ctx context.Context, id string) (*geminiWebhook, error) {
	state := webhooks.WebhookUpdateStateEnabled
	res, err := g.client.Webhooks.Update(ctx, operations.UpdateWebhookRequest{ID: id, Body: webhooks.WebhookUpdate{State: &state}})
	if err != nil {
		return nil, fmt.Errorf("enable the webhook: %w", describe(err))
	}
	return newGeminiWebhook(res.Webhook), nil
}

func (g *gemini) delete(ctx context.Context, id string) error {
	_, err := g.client.Webhooks.Delete(ctx, operations.DeleteWebhookRequest{ID: id})
	if err != nil {
		return fmt.Errorf("delete the webhook: %w", describe(err))
	}
	return nil
}

func (g *gemini) ping(ctx context.Context, id string) error {
	_, err := g.client.Webhooks.Ping(ctx, operations.PingWebhookRequest{ID: id})
	if err != nil {
		return fmt.Errorf("ask for a ping: %w", describe(err))
	}
	return nil
}

// An answerError is an answer of the API that is an error.
type answerError struct {
	status int
	text   string
}

func (e *answerError) Error() string { return fmt.Sprintf("answered %d: %s", e.status, e.text) }

// describe returns an error of the client without the body of the answer, which may
// hold a secret: of a refusal only its message.
func describe(err error) error {
	if other := (genai.APIError{}); errors.As(err, &other) { // of batches
		return &answerError{other.Code, other.Message}
	}
	var answer *apierrors.APIError
	if !errors.As(err, &answer) {
		return err
	}
	described := &answerError{answer.StatusCode, "an answer that cannot be read"}
	var body struct{ Error struct{ Message string } }
	if answer.StatusCode >= 400 && json.Unmarshal([]byte(answer.Body), &body) == nil && body.Error.Message != "" {
		described.text = body.Error.Message
	}
	return described
}

// refused reports whether err says that the API looked at the request and did
// nothing. After any other error it may have been done.
func refused(err error) bool {
	var answer *answerError
	return errors.As(err, &answer) && answer.status/100 == 4 && answer.status != http.StatusRequestTimeout
}
