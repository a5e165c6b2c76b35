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

// SecretVariable is the name of the environment variable with the signing secret.
// Commands use it if they have no --secret-file.
const SecretVariable = "GEMINIHOOK_SECRET"

// Schemes are all signature schemes.
var Schemes = []webhook.Scheme{webhook.V1, webhook.V1a, webhook.JWT}

// Options select the receiver and the keys. The zero value selects the newest serve
// that runs on this machine, and its keys.
type Options struct {
	URL           string         // an endpoint's URL, or a serve's root; empty: the newest serve
	Secret        string         // signs v1; whsec_…
	DefaultSecret string         // used if Secret is empty and URL is not a serve
	Key           []byte         // a private key in PEM; signs v1a or JWTs
	Audience      string         // a JWT's aud; empty: the serve's audience, or URL
	Scheme        webhook.Scheme // empty: all schemes that URL and the keys allow
	AllSchemes    bool           // if Scheme is empty, include JWTs, which Gemini does not send
}

// A Target is a receiver, with the keys and the schemes to sign deliveries with.
type Target struct {
	Schemes []webhook.Scheme
	Serve   bool // the receiver is a serve on this machine

	urls map[webhook.Scheme]string
	keys *Keys
}

// Attempt returns the first attempt at a new delivery: a new id, the current time, and
// the target's URL and key for the scheme, which must be one of t.Schemes.
func (t *Target) Attempt(scheme webhook.Scheme, body []byte) *Attempt {
	a := &Attempt{Scheme: scheme, URL: t.urls[scheme], Keys: t.keys}
	a.Message = webhooktest.Message{ID: webhooktest.NewID(), Timestamp: webhooktest.Timestamp(time.Now()), Body: body, Sign: t.keys.Signer(scheme)}
	return a
}

// A destination is the options, with the serve found at their URL.
type destination struct {
	Options
	at    *url.URL       // URL, parsed; nil if it is empty
	serve *running.Serve // nil if no serve is at URL
}

// Find returns the target that o describes. Keys in o take precedence over the keys of
// a serve. Find fails if URL is not http or https, if URL is empty and no serve runs
// here, if a key is malformed, or if a key is missing for the schemes asked for.
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

// findServe returns the serve at URL, or nil if no serve is there. If URL is empty, it
// returns the newest serve, and fails if no serve runs.
func (d *destination) findServe(ctx context.Context) (*running.Serve, error) {
	if d.at == nil {
		return running.Newest(ctx, "--url and how to sign")
	}
	found, _ := running.Local(ctx) // if this fails, URL is used as a plain receiver
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
		delete(k.given, webhook.JWT) // so that Key replaces the serve's key
		err = k.useKey(d.Key)
	}
	return k, err
}

// urls returns the URL for each scheme. A serve's root URL selects both of its
// endpoints. Any other URL is one endpoint. If it is a serve's dynamic endpoint and has
// no query, urls adds the serve's token.
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
	return nil, errors.New("--url: not an endpoint of the serve there; use /StaticWebhook or /DynamicWebhook")
}

// schemes returns the schemes to sign with: Scheme, or if it is empty every scheme that
// the URL and the keys allow. JWTs are left out unless asked for, because Gemini signs
// dynamic deliveries with v1a only.
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
		return nil, fmt.Errorf("--scheme %s: the endpoint in --url does not accept it", d.Scheme)
	case len(chosen) == 0 && t.keys.given[webhook.JWT]:
		return []webhook.Scheme{webhook.JWT}, nil // the only scheme that the key can sign
	case len(chosen) == 0:
		return nil, errors.New("--url: no serve runs there, so say how to sign: give --secret-file, " + SecretVariable + " or --key-file")
	case !t.Serve && len(chosen) > 1 && chosen[0] == webhook.V1:
		return nil, errors.New("--url is one endpoint, but there are keys for both kinds: give --scheme v1 for a static endpoint, --scheme v1a for a dynamic one")
	}
	return chosen, nil
}

func (d *destination) noKey(scheme webhook.Scheme) error {
	switch {
	case scheme == webhook.V1:
		return errors.New("v1 needs a secret: give --secret-file FILE or set " + SecretVariable)
	case d.serve != nil:
		return fmt.Errorf("%s needs a private key, and this serve has none because of its --jwks-url: give --key-file FILE, or --scheme v1", scheme)
	}
	return fmt.Errorf("%s needs a private key that matches one of the receiver's public keys: give --key-file FILE", scheme)
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

// ParseURL parses the URL of a receiver. It fails unless the scheme is http or https
// and there is a host.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("--url: not an http or https URL")
	}
	return u, nil
}
