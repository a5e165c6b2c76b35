package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A target is where deliveries go, in which schemes, and signed with what.
type target struct {
	schemes []webhook.Scheme
	urls    map[webhook.Scheme]string
	keys    *keys
}

// attempt returns one at a new delivery.
func (t *target) attempt(scheme webhook.Scheme, body []byte) *attempt {
	return &attempt{
		scheme:    scheme,
		url:       t.urls[scheme],
		keys:      t.keys,
		id:        webhooktest.NewID(),
		timestamp: webhooktest.Timestamp(time.Now()),
		body:      body,
		sign:      signIn(scheme),
	}
}

// target finds out where to send: to -url, which may be that of a serve, or to the
// newest serve. A key that was given counts before the serve's.
func (o *options) target(ctx context.Context) (*target, error) {
	s, err := o.findServe(ctx)
	if err != nil {
		return nil, err
	}
	t := &target{keys: strangerKeys(o.defaultAudience(s))}
	if s != nil {
		err = t.keys.takeServe(s)
	} else if o.secret == "" {
		o.secret = os.Getenv(secretVariable)
	}
	if err == nil {
		err = o.takeKeys(t.keys)
	}
	if err == nil {
		t.urls, err = o.urls(s)
	}
	if err == nil {
		t.schemes, err = o.schemes(t, s)
	}
	return t, err
}

// findServe returns the serve at -url, nil where there is none, or without -url the
// newest.
func (o *options) findServe(ctx context.Context) (*running.Serve, error) {
	var found []*running.Serve
	dir, err := running.Dir()
	if err == nil {
		found, err = running.Find(ctx, dir)
	}
	switch {
	case o.at != nil:
		root := "http://" + strings.Replace(o.at.Host, "localhost:", "127.0.0.1:", 1) + "/"
		i := slices.IndexFunc(found, func(s *running.Serve) bool { return strings.HasPrefix(s.StaticURL, root) })
		if i < 0 {
			return nil, nil
		}
		return found[i], nil
	case err != nil:
		return nil, fmt.Errorf("looking for a running serve: %w", err)
	case len(found) == 0:
		return nil, errors.New("no serve is running: start one with `go run ./scripts/serve`, or say -url and how to sign (-h)")
	}
	return found[0], nil
}

func (o *options) takeKeys(k *keys) error {
	if o.secret != "" {
		if err := k.takeSecret(o.secret); err != nil {
			return err
		}
	}
	if o.keyFile == "" {
		return nil
	}
	text, err := os.ReadFile(o.keyFile)
	if err != nil {
		return fmt.Errorf("-key: %w", err)
	}
	delete(k.given, webhook.JWT) // the serve's key
	return k.takeKey(text)
}

// urls returns where the schemes go. The root of a serve stands for both of its
// endpoints; any other -url is one, to which a serve adds its token where none is.
func (o *options) urls(s *running.Serve) (map[webhook.Scheme]string, error) {
	switch {
	case s == nil:
		return map[webhook.Scheme]string{webhook.V1: o.url, webhook.V1a: o.url, webhook.JWT: o.url}, nil
	case o.at == nil || o.at.Path == "" || o.at.Path == "/":
		return map[webhook.Scheme]string{webhook.V1: s.StaticURL, webhook.V1a: s.DynamicURL, webhook.JWT: s.DynamicURL}, nil
	case strings.HasSuffix(s.StaticURL, o.at.Path):
		return map[webhook.Scheme]string{webhook.V1: o.url}, nil
	case strings.HasSuffix(withoutQuery(s.DynamicURL), o.at.Path) && o.at.RawQuery == "":
		return map[webhook.Scheme]string{webhook.V1a: s.DynamicURL, webhook.JWT: s.DynamicURL}, nil
	case strings.HasSuffix(withoutQuery(s.DynamicURL), o.at.Path):
		return map[webhook.Scheme]string{webhook.V1a: o.url, webhook.JWT: o.url}, nil
	}
	return nil, errors.New("-url: the serve there has /StaticWebhook and /DynamicWebhook only")
}

// schemes returns those to send in: -scheme, or else what the URL and the keys
// leave open. Of v1a and jwt only v1a is what Gemini really sends.
func (o *options) schemes(t *target, s *running.Serve) ([]webhook.Scheme, error) {
	var chosen []webhook.Scheme
	for _, scheme := range schemes {
		_, possible := t.urls[scheme]
		wanted := scheme == o.scheme || o.scheme == "" && (o.hostile || scheme != webhook.JWT)
		switch {
		case !possible || !wanted || s == nil && o.scheme == "" && !t.keys.given[scheme]:
		case !t.keys.given[scheme]:
			return nil, noKey(scheme, s)
		default:
			chosen = append(chosen, scheme)
		}
	}
	switch {
	case len(chosen) == 0 && o.scheme != "":
		return nil, fmt.Errorf("-scheme %s: not for the endpoint that -url names", o.scheme)
	case len(chosen) == 0 && t.keys.given[webhook.JWT]:
		return []webhook.Scheme{webhook.JWT}, nil // what -key can do
	case len(chosen) == 0:
		return nil, errors.New("-url is no serve that runs here: say how to sign, with -secret, " + secretVariable + " or -key (-h)")
	case s == nil && len(chosen) > 1 && chosen[0] == webhook.V1:
		return nil, errors.New("-url is one endpoint: give -secret where it is a static one, -key where it is a dynamic one, or say -scheme")
	}
	return chosen, nil
}

func noKey(scheme webhook.Scheme, s *running.Serve) error {
	switch {
	case scheme == webhook.V1:
		return errors.New("v1 needs a secret: -secret, -secret-file or " + secretVariable)
	case s != nil:
		return fmt.Errorf("%s needs a private key, and this serve takes its public keys from elsewhere: say -key FILE, or -scheme v1", scheme)
	}
	return fmt.Errorf("%s needs a private key whose public half the receiver knows: -key FILE", scheme)
}

func (o *options) defaultAudience(s *running.Serve) string {
	switch {
	case o.audience != "":
		return o.audience
	case s == nil:
		return withoutQuery(o.url)
	}
	audience, _, _ := strings.Cut(s.Audience, ",")
	return audience
}

func withoutQuery(url string) string {
	url, _, _ = strings.Cut(url, "?")
	return url
}

func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, errors.New("-url: not an http or https URL")
	}
	return u, nil
}
