package proof

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const urlToken = "0123456789abcdef"

// A signer signs as the sender does: a delivery's header at a moment.
type signer func(id string, at time.Time, body []byte) http.Header

// newSigner gives the project its secrets, and signs with them.
func newSigner(t *testing.T, p *functiontest.Project, function string) signer {
	t.Helper()
	if function == shortDynamic || function == realDynamic {
		p.AddSecret(t, tokenSecret, urlToken)
		key := p.Keys.Ed25519(1)
		return func(id string, at time.Time, body []byte) http.Header {
			return webhooktest.Header(id, at, webhook.SignV1a(key, id, webhooktest.Timestamp(at), body))
		}
	}
	text := webhooktest.NewSecret()
	p.AddSecret(t, signingSecret, text)
	key, err := webhook.ParseSigningKey([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return func(id string, at time.Time, body []byte) http.Header {
		return webhooktest.Header(id, at, webhook.SignV1(key, id, webhooktest.Timestamp(at), body))
	}
}

// newClient returns a client that keeps its connections, as Gemini may.
func newClient() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
}

// post makes one attempt to hand a delivery over.
func post(ctx context.Context, client *http.Client, url string, header http.Header, body []byte) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"?token="+urlToken, strings.NewReader(string(body)))
	if err != nil {
		return nil, err
	}
	req.Header = header
	resp, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	resp.Body.Close()
	return resp, nil
}

// backoff returns the pause before each next attempt. It grows as Gemini's does,
// from less: nothing that the receiver says is honoured.
func backoff() func() time.Duration {
	pause := 50 * time.Millisecond
	return func() time.Duration {
		defer func() { pause = min(2*pause, 400*time.Millisecond) }()
		return pause
	}
}
