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

// How long attempts at a delivery are repeated.
const (
	keepTrying  = 24 * time.Hour        // after the first attempt
	pingTrying  = 7 * time.Second       // likewise, for a ping: less than Gemini does
	pingBackoff = 50 * time.Millisecond // after the first attempt, doubling
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
// fails if the webhook does not exist, is not enabled, or
// is not on this machine while Deliveries is nil.
func (a *API) Deliver(ctx context.Context, id string, body []byte, by Signing) (status int, err error) {
	uri, secrets, err := a.target(id, by)
	if err != nil {
		return 0, err
	}
	return a.post(ctx, uri, webhooktest.NewID(), body, webhooktest.SignV1(texts(secrets)...))
}

// A delivery is a message to a webhook, or to a URL of a job's config.
type delivery struct {
	job  *job   // nil for a ping
	hook string // id of a webhook; empty for a URL of a config
	uri  string // of a config
	msg  string
	body []byte

	again bool          // a second copy follows a success
	pause time.Duration // to the next attempt, doubling
	until time.Time     // no attempt later than this
}

// An Attempt is one try to deliver the event of a job.
type Attempt struct {
	At        time.Time // when the answer came
	URL       string
	WebhookID string // the header of that name
	Status    int    // zero if there was no answer
	Err       error  // why there was none
}

// try makes an attempt, and has the next one made if it is refused.
func (a *API) try(d *delivery) {
	if a.context.Err() != nil || d.job != nil && a.isLost(d.job) {
		return
	}
	attempt := Attempt{WebhookID: d.msg}
	if attempt.URL = d.uri; d.hook == "" {
		attempt.Status, attempt.Err = a.post(a.context, d.uri, d.msg, d.body, webhooktest.SignV1a(a.Keys.Ed25519(0)))
	} else {
		uri, secrets, err := a.target(d.hook, All)
		if err != nil {
			return // deleted or disabled: its deliveries end
		}
		attempt.URL = uri
		attempt.Status, attempt.Err = a.post(a.context, uri, d.msg, d.body, webhooktest.SignV1(texts(secrets)...))
	}
	if attempt.At = time.Now(); a.context.Err() == nil {
		a.tried(d, attempt)
	}
}

func (a *API) isLost(j *job) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return j.Delivery.Never
}

// tried notes an attempt and schedules the next one.
func (a *API) tried(d *delivery, attempt Attempt) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ok := attempt.Status/100 == 2
	if d.job != nil {
		d.job.attempts = append(d.job.attempts, attempt)
		a.judge(a.find(d.hook), ok)
	}
	switch {
	case ok && d.again:
		d.again = false
		a.after(0, func() { a.try(d) })
	case !ok && !attempt.At.Add(d.pause).After(d.until):
		a.after(d.pause, func() { a.try(d) })
		d.pause *= 2
	}
}

// judge disables a webhook after too many failures in a row. It accepts nil. The caller
// holds the lock.
func (a *API) judge(w *hook, ok bool) {
	switch {
	case w == nil:
	case ok:
		w.failures = 0
	default:
		if w.failures++; w.failures == a.DisableAfter && w.state == enabled {
			w.state = failed
		}
	}
}

// post makes one attempt at a message. It follows no redirect.
func (a *API) post(ctx context.Context, uri, msg string, body []byte, sign webhooktest.Signer) (status int, err error) {
	if u, err := url.Parse(uri); err != nil || a.Deliveries == nil && !loopback(u) {
		return 0, errors.New("only this machine is ever contacted")
	}
	client := &http.Client{
		Transport:     a.Deliveries,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	ctx, cancel := context.WithTimeout(ctx, deliverTimeout)
	defer cancel()
	m := webhooktest.Message{ID: msg, Timestamp: webhooktest.Timestamp(time.Now()), Body: body, Sign: sign}
	resp, err := m.Post(ctx, client, uri)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, nil
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
