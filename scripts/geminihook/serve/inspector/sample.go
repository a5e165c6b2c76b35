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

// sendTimeout bounds one delivery of the page's.
const sendTimeout = 15 * time.Second

// A Sender makes deliveries as Gemini does, and some as it never would.
type Sender struct {
	StaticURL  string
	DynamicURL string // with its token
	Secret     string
	Audience   string
	Keys       *webhooktest.KeySet // nil where the public keys come from elsewhere
}

// A sample is a button of the page.
type sample struct {
	Name, Label, Hint string

	scheme webhook.Scheme // the only one that it makes sense in; empty for any
	spoil  func(*outgoing)
	times  int // one after the other; 0 means 1
	copies int // at once; 0 means 1
}

// An outgoing delivery is one to be signed and sent.
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
	{Name: "types", Label: "Every type", Hint: "One genuine delivery of each type of event"},
	{Name: "duplicate", Label: "Duplicate", Hint: "The same id twice, signed anew: a retry", times: 2},
	{Name: "two", Label: "Two at once", Hint: "Two copies at the same moment: one is published", copies: 2},
	{Name: "stale", Label: "Stale", Hint: "Genuine, but signed ten minutes ago", spoil: func(a *outgoing) { a.at = a.at.Add(-10 * time.Minute) }},
	{Name: "forged", Label: "Forged", Hint: "Signed with a key of its own", spoil: forge},
	{Name: "audience", Label: "Wrong audience", Hint: "A token that Google signed for somebody else (dynamic)", scheme: webhook.JWT,
		spoil: func(a *outgoing) { a.Audience = "https://example.com/another-receiver" }},
	{Name: "token", Label: "Wrong URL token", Hint: "Google's signature, but not our URL (dynamic)", scheme: webhook.V1a,
		spoil: func(a *outgoing) { a.url = webhook.WithoutQuery(a.url) + "?token=a-guess-of-somebody-else" }},
	{Name: "unknown", Label: "Unknown type", Hint: "An event of a type that is not documented: published all the same",
		spoil: func(a *outgoing) { a.body = webhooktest.NewEvent("model.retired") }},
	{Name: "huge", Label: "Huge", Hint: "A body of one byte more than the limit",
		spoil: func(a *outgoing) {
			a.body = append(a.body, bytes.Repeat([]byte(" "), receiver.MaxBody+1-len(a.body))...)
		}},
}

// forge has it signed, in the right scheme, with keys that nobody knows.
func forge(a *outgoing) { a.Secret, a.Keys = webhooktest.NewSecret(), webhooktest.NewKeySet() }

// errNoKeys is why there are no samples of dynamic deliveries.
var errNoKeys = errors.New("the public keys are not serve's own (--jwks-url), so nothing can be signed for them")

// send sends a sample, with an event of a type, in a scheme.
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
	return fmt.Errorf("no sample is called %q", name)
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

// send signs the delivery and sends it in a number of copies at once.
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
		return nil, fmt.Errorf("no scheme is called %q", a.scheme)
	}
	return m.Header()
}

// client goes to serve itself, so through no proxy.
var client = &http.Client{Transport: &http.Transport{}, Timeout: sendTimeout}

// post sends a request. What the answer is, the list shows.
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

// again sends what was received once more: the same bytes, as somebody would who
// recorded it, or signed anew, as Gemini does when it repeats a delivery.
func (s *Sender) again(ctx context.Context, d *delivery, anew bool) error {
	if !d.whole() {
		return errors.New("its body is not kept in full, so it cannot be sent again")
	}
	if d.endpoint == NoFunction {
		return errors.New("it was for no function, so it cannot be sent again")
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
		header.Del("Host") // it goes by the URL
		return post(ctx, d.method, url, header, d.body)
	}
	if scheme == webhook.JWT && !webhooktest.IsObject(d.body) {
		return errors.New("a token carries its event, and this body is none")
	}
	a := outgoing{Sender: *s, scheme: scheme, url: url, id: d.header.Get("Webhook-Id"), at: time.Now(), body: d.body}
	return new(sample).send(ctx, &a)
}
