package inspector

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// sendTimeout bounds one delivery that the page sends, answer included.
const sendTimeout = 15 * time.Second

// A Sender sends the page's samples to serve's own endpoints: genuine deliveries as
// Gemini sends them, and forged or malformed ones.
type Sender struct {
	StaticURL  string
	DynamicURL string              // with the URL token
	Secret     string              // signs v1; whsec_…
	Audience   string              // a JWT's aud
	Keys       *webhooktest.KeySet // sign v1a and JWTs; nil with --jwks-url
}

// A sample is a button on the page that sends deliveries.
type sample struct {
	Name, Label, Hint string

	scheme webhook.Scheme  // the only scheme that the sample applies to; empty: any
	spoil  func(*outgoing) // changes the delivery before it is signed; nil: no change
	times  int             // deliveries, one after the other; 0 means 1
	copies int             // concurrent copies of each; 0 means 1
}

// An outgoing is a delivery to sign and send.
type outgoing struct {
	Sender
	scheme webhook.Scheme
	url    string
	id     string
	at     time.Time
	body   []byte
}

var samples = []sample{
	{Name: "genuine", Label: "Send", Hint: "One genuine delivery"},
	{Name: "types", Label: "All types", Hint: "One genuine delivery of each event type"},
	{Name: "duplicate", Label: "Duplicate", Hint: "A delivery and its retry: the same id with a new signature", times: 2},
	{Name: "two", Label: "Concurrent", Hint: "Two copies at the same time: one is published", copies: 2},
	{Name: "stale", Label: "Stale", Hint: "A genuine signature from ten minutes ago", spoil: func(a *outgoing) { a.at = a.at.Add(-10 * time.Minute) }},
	{Name: "forged", Label: "Forged", Hint: "Signed with an unknown key", spoil: forge},
	{Name: "audience", Label: "Wrong audience", Hint: "A JWT that Google signed for another receiver (dynamic)", scheme: webhook.JWT,
		spoil: func(a *outgoing) { a.Audience = "https://example.com/another-receiver" }},
	{Name: "token", Label: "Wrong URL token", Hint: "Google's signature, but without this endpoint's URL token (dynamic)", scheme: webhook.V1a,
		spoil: func(a *outgoing) { a.url = webhook.WithoutQuery(a.url) + "?token=a-guess-of-somebody-else" }},
	{Name: "unknown", Label: "Unknown type", Hint: "An event type that is not documented: it is published",
		spoil: func(a *outgoing) { a.body = webhooktest.NewEvent("model.retired") }},
	{Name: "huge", Label: "Too large", Hint: "A body one byte over the limit of 1 MiB",
		spoil: func(a *outgoing) {
			a.body = append(a.body, bytes.Repeat([]byte(" "), receiver.MaxBody+1-len(a.body))...)
		}},
}

// forge replaces the keys by new ones, which the functions do not know.
func forge(a *outgoing) { a.Secret, a.Keys = webhooktest.NewSecret(), webhooktest.NewKeySet() }

// errNoKeys is returned for samples of dynamic deliveries with --jwks-url.
var errNoKeys = errors.New("with --jwks-url, serve has no private keys to sign with")

// send sends a sample with an event type and a scheme. The sample's own scheme takes
// precedence. send fails if the name or the scheme is unknown, if there is no key, or
// if serve does not answer. A rejection by the function is not an error.
func (s *Sender) send(ctx context.Context, name, eventType string, scheme webhook.Scheme) error {
	if name == "types" {
		for _, t := range webhooktest.Types {
			if err := s.send(ctx, "genuine", t, scheme); err != nil {
				return err
			}
		}
		return nil
	}
	for _, sample := range samples {
		if sample.Name == name {
			return sample.send(ctx, s.outgoing(cmp.Or(sample.scheme, scheme), eventType))
		}
	}
	return fmt.Errorf("unknown sample %q", name)
}

func (s *Sender) outgoing(scheme webhook.Scheme, eventType string) *outgoing {
	a := &outgoing{Sender: *s, scheme: scheme, url: s.DynamicURL, id: webhooktest.NewID(), at: time.Now(), body: webhooktest.NewEvent(eventType)}
	if scheme == webhook.V1 {
		a.url = s.StaticURL
	}
	return a
}

func (s *sample) send(ctx context.Context, a *outgoing) error {
	if a.scheme != webhook.V1 && a.Keys == nil {
		return errNoKeys
	}
	if s.spoil != nil {
		s.spoil(a)
	}
	for range max(s.times, 1) {
		if err := a.send(ctx, max(s.copies, 1)); err != nil {
			return err
		}
	}
	return nil
}

// send signs the delivery and sends concurrent copies of it.
func (a *outgoing) send(ctx context.Context, copies int) error {
	header, err := a.sign()
	if err != nil {
		return err
	}
	header.Set("User-Agent", "geminihook-inspector")
	errs := make([]error, copies)
	var all sync.WaitGroup
	for i := range errs {
		all.Go(func() { errs[i] = post(ctx, http.MethodPost, a.url, header, a.body) })
	}
	all.Wait()
	return errors.Join(errs...)
}

func (a *outgoing) sign() (http.Header, error) {
	m := webhooktest.Message{ID: a.id, Timestamp: webhooktest.Timestamp(a.at), Body: a.body}
	switch a.scheme {
	case webhook.V1:
		m.Sign = webhooktest.SignV1(a.Secret)
	case webhook.V1a:
		m.Sign = webhooktest.SignV1a(a.Keys.Ed25519(0))
	case webhook.JWT:
		m.Sign = webhooktest.SignJWT(a.Keys.RSA(), webhooktest.RSAKeyID, a.Audience)
	default:
		return nil, fmt.Errorf("unknown scheme %q", a.scheme)
	}
	return m.Header()
}

// client uses no proxy, because it connects only to serve itself.
var client = &http.Client{Transport: &http.Transport{}, Timeout: sendTimeout}

// post sends a request and discards the answer, which the page shows in its list.
func post(ctx context.Context, method, url string, header http.Header, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = header.Clone()
	if _, err := webhooktest.Do(client, req); err != nil {
		return fmt.Errorf("serve did not answer: %w", err)
	}
	return nil
}

// again replays a delivery: with the same bytes, as in a replay attack, or with a new
// timestamp and signature, as in a retry by Gemini. It fails if the body is incomplete
// or the path was not a function's.
func (s *Sender) again(ctx context.Context, d *delivery, anew bool) error {
	if !d.whole() {
		return errors.New("the delivery's body is incomplete, so it cannot be replayed")
	}
	if d.endpoint == NoFunction {
		return errors.New("no function is at the delivery's path, so it cannot be replayed")
	}
	scheme, url := webhook.V1a, webhook.WithoutQuery(s.DynamicURL)
	switch {
	case d.endpoint == webhook.StaticEndpoint:
		scheme, url = webhook.V1, s.StaticURL
	case d.claimedScheme() == webhook.JWT:
		scheme = webhook.JWT
	}
	if d.query != "" {
		url += "?" + d.query
	}
	if !anew {
		header := d.header.Clone()
		header.Del("Host") // net/http sets it from the URL
		return post(ctx, d.method, url, header, d.body)
	}
	if scheme == webhook.JWT && !webhooktest.IsObject(d.body) {
		return errors.New("a JWT contains its event, and the delivery's body is not a JSON object")
	}
	a := outgoing{Sender: *s, scheme: scheme, url: url, id: d.header.Get("Webhook-Id"), at: time.Now(), body: d.body}
	return new(sample).send(ctx, &a)
}
