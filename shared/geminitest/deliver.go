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

// pingEvent is the body of a ping. The real one has not been published.
const pingEvent = `{"type":"webhook.ping","version":"v1","data":{}}`

// deliverTimeout is the timeout of one attempt.
const deliverTimeout = 15 * time.Second

// The times of repeated attempts.
const (
	keepTrying  = 24 * time.Hour        // Gemini repeats a delivery for 24 hours after the first attempt
	pingTrying  = 7 * time.Second       // the same for a ping; shorter than Gemini's, so that an unanswered ping ends soon
	pingBackoff = 50 * time.Millisecond // pause before a ping's second attempt, doubling
)

// Signing selects the secrets that sign a delivery during a rotation. It is unknown
// which ones Gemini uses, so a receiver must accept each choice.
type Signing int

// The choices of secrets.
const (
	All    Signing = iota // all secrets that have not expired, as Standard Webhooks requires
	Newest                // only the newest secret
	Oldest                // only the oldest secret that has not expired
)

// Deliver makes one attempt to deliver an event to the webhook with this id, and
// returns the HTTP status of the answer. It fails if there is no answer, if the webhook
// does not exist or is not enabled, or if Deliveries is nil and the host of the
// webhook's URL is not a loopback IP address ("localhost" is not one).
func (a *API) Deliver(ctx context.Context, id string, body []byte, by Signing) (status int, err error) {
	uri, secrets, err := a.target(id, by)
	if err != nil {
		return 0, err
	}
	return a.post(ctx, uri, webhooktest.NewID(), body, webhooktest.SignV1(texts(secrets)...))
}

// A delivery is a message to a webhook, or to a URL in a job's webhook config.
type delivery struct {
	job  *job   // nil for a ping
	hook string // id of the webhook; empty if uri is set
	uri  string // URL in a webhook config
	msg  string
	body []byte

	again bool          // deliver it a second time after a success
	pause time.Duration // before the next attempt, doubling
	until time.Time     // time after which there are no attempts
}

// An Attempt is one attempt to deliver the event of a job.
type Attempt struct {
	At        time.Time // time of the answer, or of the failure
	URL       string
	WebhookID string // header webhook-id
	Status    int    // HTTP status; zero if there was no answer
	Err       error  // reason why there was no answer; else nil
}

// try makes an attempt, and schedules the next one if it fails.
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
			return // the webhook was deleted or disabled, which ends its deliveries
		}
		attempt.URL = uri
		attempt.Status, attempt.Err = a.post(a.context, uri, d.msg, d.body, webhooktest.SignV1(texts(secrets)...))
	}
	if attempt.At = time.Now(); a.context.Err() == nil {
		a.tried(d, attempt)
	}
}

// isLost reports whether no attempt may be made for a job's event.
func (a *API) isLost(j *job) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return j.Delivery.Never
}

// tried records an attempt, and schedules the next one if one is due.
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

// judge disables a webhook after DisableAfter consecutive failures. w may be nil. The
// caller holds the lock.
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

// post makes one attempt to deliver a message. It does not follow redirects.
func (a *API) post(ctx context.Context, uri, msg string, body []byte, sign webhooktest.Signer) (status int, err error) {
	if u, err := url.Parse(uri); err != nil || a.Deliveries == nil && !loopback(u) {
		return 0, errors.New("URL is not on this machine, and API.Deliveries is not set")
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

// target returns the URL of a webhook, and the secrets that sign its deliveries.
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

// loopback reports whether a URL has a loopback IP address as its host.
func loopback(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return ip != nil && ip.IsLoopback()
}
