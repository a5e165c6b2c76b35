package proof

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const urlToken = "0123456789abcdef"

// newSigner adds the secrets to the project and returns a signer that uses them.
func newSigner(t *testing.T, p *functiontest.Project, function string) webhooktest.Signer {
	t.Helper()
	if function == shortDynamic || function == realDynamic {
		p.AddSecret(t, tokenSecret, urlToken)
		return webhooktest.SignV1a(p.Keys.Ed25519(1))
	}
	secret := webhooktest.NewSecret()
	p.AddSecret(t, signingSecret, secret)
	return webhooktest.SignV1(secret)
}

// newClient returns a client that reuses connections, as Gemini may.
func newClient() *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 1000}}
}

// post makes one attempt at a delivery, signed with the current time.
func post(ctx context.Context, client *http.Client, url string, sign webhooktest.Signer, id string, body []byte) (*http.Response, error) {
	m := webhooktest.Message{ID: id, Timestamp: webhooktest.Timestamp(time.Now()), Body: body, Sign: sign}
	return m.Post(ctx, client, url+"?token="+urlToken)
}

// backoff returns a function that returns the pause before each retry. The pauses grow
// like Gemini's, but start shorter. Retry-After is ignored, as the worst case.
func backoff() func() time.Duration {
	pause := 50 * time.Millisecond
	return func() time.Duration {
		defer func() { pause = min(2*pause, 400*time.Millisecond) }()
		return pause
	}
}
