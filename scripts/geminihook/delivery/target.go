package delivery

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// SecretVariable is the environment variable that may hold the signing secret.
const SecretVariable = "GEMINIHOOK_SECRET"

// Schemes are all there are to sign in.
var Schemes = []webhook.Scheme{webhook.V1, webhook.V1a, webhook.JWT}

// Options say where to deliver to, and what to sign with. The zero value stands for
// the newest serve that runs on this machine, and its keys.
type Options struct {
	URL           string // of an endpoint, or of a serve
	Secret        string // whsec_…, signs v1
	DefaultSecret string // the same, if Secret is empty and URL leads to no serve
	Key           []byte // a private key in PEM, signs v1a or JWTs
	Audience      string // of JWTs; empty: that of the serve, else the URL
	Scheme        webhook.Scheme
	AllSchemes    bool // if Scheme is empty, sign in jwt too, which Gemini does not send
}

// A Target is where deliveries go, in which schemes, and signed with what.
type Target struct {
	Schemes []webhook.Scheme
	Serve   bool // it is a serve that runs on this machine

	urls map[webhook.Scheme]string
	keys *Keys
}

// Attempt returns one at a new delivery.
func (t *Target) Attempt(scheme webhook.Scheme, body []byte) *Attempt {
	a := &Attempt{Scheme: scheme, URL: t.urls[scheme], Keys: t.keys}
	a.Message = webhooktest.Message{ID: webhooktest.NewID(), Timestamp: webhooktest.Timestamp(time.Now()), Body: body, Sign: t.keys.Signer(scheme)}
	return a
}

// A destination is what options name, and the serve that is there.
type destination struct {
	Options
	at    *url.URL       // of URL; nil if that is empty
	serve *running.Serve // nil if none is there
}

// Find returns the target that o describes: URL, which may be that of a serve, or
// the newest serve. A key that is given counts before the serve's.
func Find(ctx context.Context, o Options) (*Target, error) {
	d := &destination{Options: o}
	var err error
	if o.URL != "" {
		if d.at, err = ParseURL(o.URL); err != nil {
			return nil, err
		}
	}
	if d.serve, err = d.findServe(ctx); err != nil {
		return nil, err
	}
	t := &Target{Serve: d.serve != nil}
	if t.keys, err = d.keys(); err != nil {
		return nil, err
	}
	if t.urls, err = d.urls(); err != nil {
		return nil, err
	}
	t.Schemes, err = d.schemes(t)
	return t, err
}

// findServe returns the serve at URL, nil if there is none, or without URL the newest.
func (d *destination) findServe(ctx context.Context) (*running.Serve, error) {
	if d.at == nil {
		return running.Newest(ctx, "--url and how to sign")
	}
	found, _ := running.Local(ctx) // URL does without
	root := "http://" + strings.Replace(d.at.Host, "localhost:", "127.0.0.1:", 1) + "/"
	for _, s := range found {
		if strings.HasPrefix(s.StaticURL, root) {
			return s, nil
		}
	}
	return nil, nil
}

func (d *destination) keys() (k *Keys, err error) {
	k = Strangers(d.audience())
	secret := d.Secret
	if d.serve != nil {
		err = k.useServe(d.serve)
	} else {
		secret = cmp.Or(secret, d.DefaultSecret)
	}
	if err == nil && secret != "" {
		err = k.useSecret(secret)
	}
	if err == nil && d.Key != nil {
		delete(k.given, webhook.JWT) // the serve's key
		err = k.useKey(d.Key)
	}
	return k, err
}

// urls returns the URL of each scheme. The root of a serve stands for both of its
// endpoints; any other URL is one, to which a serve adds its token if there is none.
func (d *destination) urls() (map[webhook.Scheme]string, error) {
	s := d.serve
	switch {
	case s == nil:
		return map[webhook.Scheme]string{webhook.V1: d.URL, webhook.V1a: d.URL, webhook.JWT: d.URL}, nil
	case d.at == nil || d.at.Path == "" || d.at.Path == "/":
		return map[webhook.Scheme]string{webhook.V1: s.StaticURL, webhook.V1a: s.DynamicURL, webhook.JWT: s.DynamicURL}, nil
	case strings.HasSuffix(s.StaticURL, d.at.Path):
		return map[webhook.Scheme]string{webhook.V1: d.URL}, nil
	case strings.HasSuffix(webhook.WithoutQuery(s.DynamicURL), d.at.Path) && d.at.RawQuery == "":
		return map[webhook.Scheme]string{webhook.V1a: s.DynamicURL, webhook.JWT: s.DynamicURL}, nil
	case strings.HasSuffix(webhook.WithoutQuery(s.DynamicURL), d.at.Path):
		return map[webhook.Scheme]string{webhook.V1a: d.URL, webhook.JWT: d.URL}, nil
	}
	return nil, errors.New("--url: the serve there has /StaticWebhook and /DynamicWebhook only")
}

// schemes returns those to sign in: Scheme, or else those that the URL and the keys
// leave open. Of v1a and jwt, Gemini sends only v1a.
func (d *destination) schemes(t *Target) ([]webhook.Scheme, error) {
	var chosen []webhook.Scheme
	for _, scheme := range Schemes {
		_, possible := t.urls[scheme]
		wanted := scheme == d.Scheme || d.Scheme == "" && (d.AllSchemes || scheme != webhook.JWT)
		switch {
		case !possible || !wanted || !t.Serve && d.Scheme == "" && !t.keys.given[scheme]:
		case !t.keys.given[scheme]:
			return nil, d.noKey(scheme)
		default:
			chosen = append(chosen, scheme)
		}
	}
	switch {
	case len(chosen) == 0 && d.Scheme != "":
		return nil, fmt.Errorf("--scheme %s: not for the endpoint that --url names", d.Scheme)
	case len(chosen) == 0 && t.keys.given[webhook.JWT]:
		return []webhook.Scheme{webhook.JWT}, nil // all that the key can sign
	case len(chosen) == 0:
		return nil, errors.New("--url is no serve that runs here: say how to sign, with --secret-file, " + SecretVariable + " or --key-file (--help)")
	case !t.Serve && len(chosen) > 1 && chosen[0] == webhook.V1:
		return nil, errors.New("--url is one endpoint: give a secret for a static one, --key-file for a dynamic one, or --scheme")
	}
	return chosen, nil
}

func (d *destination) noKey(scheme webhook.Scheme) error {
	switch {
	case scheme == webhook.V1:
		return errors.New("v1 needs a secret: --secret-file or " + SecretVariable)
	case d.serve != nil:
		return fmt.Errorf("%s needs a private key, and this serve takes its public keys from elsewhere: give --key-file FILE, or --scheme v1", scheme)
	}
	return fmt.Errorf("%s needs a private key whose public half the receiver knows: --key-file FILE", scheme)
}

func (d *destination) audience() string {
	switch {
	case d.Audience != "":
		return d.Audience
	case d.serve == nil:
		return webhook.WithoutQuery(d.URL)
	}
	audience, _, _ := strings.Cut(d.serve.Audience, ",")
	return audience
}

// ParseURL parses the URL of a receiver: http or https, with a host.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("--url: not an http or https URL")
	}
	return u, nil
}
