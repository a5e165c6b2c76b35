package geminitest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// pingEvent stands in for the body of a ping, which nobody has published.
const pingEvent = `{"type":"webhook.ping","version":"v1","data":{}}`

const deliverTimeout = 15 * time.Second

// A ping that is refused is sent again, sooner and less often than Gemini would.
const (
	pingAttempts = 8
	pingPause    = 50 * time.Millisecond // after the first, doubling
)

// Signing says which of the secrets in force sign a delivery. What Gemini does
// while a rotation lasts is not known: a receiver must do with any of these.
type Signing int

// The choices of secrets.
const (
	All Signing = iota // as Standard Webhooks asks
	Newest
	Oldest
)

// Deliver sends an event to a webhook, once, and returns how it was answered. It
// fails where the webhook is not there, not enabled, or not on this machine.
func (a *API) Deliver(ctx context.Context, id string, body []byte, by Signing) (status int, err error) {
	return a.deliver(ctx, id, webhooktest.NewID(), body, by)
}

// deliver makes one attempt at a message.
func (a *API) deliver(ctx context.Context, id, msg string, body []byte, by Signing) (status int, err error) {
	uri, secrets, err := a.target(id, by)
	if err != nil {
		return 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	m := webhooktest.Message{ID: msg, Timestamp: webhooktest.Timestamp(time.Now()), Body: body, Sign: webhooktest.SignV1(texts(secrets)...)}
	resp, err := m.Post(ctx, http.DefaultClient, uri)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
}

func (a *API) deliverPing(id string) {
	msg := webhooktest.NewID()
	for wait, attempt := pingPause, 1; attempt <= pingAttempts; attempt++ {
		status, err := a.deliver(context.Background(), id, msg, []byte(pingEvent), All)
		if err != nil || status/100 == 2 {
			return
		}
		time.Sleep(wait)
		wait *= 2
	}
}

// target returns where a webhook's deliveries go, and what signs them.
func (a *API) target(id string, by Signing) (uri string, secrets []secret, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.find(id)
	if w == nil {
		return "", nil, notFound(id)
	}
	if w.state != enabled {
		return "", nil, fmt.Errorf("webhook %s is %s", id, w.state)
	}
	if u, err := url.Parse(w.uri); err != nil || !loopback(u) {
		return "", nil, errors.New("only this machine is ever contacted")
	}
	secrets = w.inForce(a.Now())
	switch by {
	case Newest:
		secrets = secrets[:1]
	case Oldest:
		secrets = secrets[len(secrets)-1:]
	}
	return w.uri, secrets, nil
}

func texts(secrets []secret) []string {
	texts := make([]string, len(secrets))
	for i, s := range secrets {
		texts[i] = s.text
	}
	return texts
}

func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
