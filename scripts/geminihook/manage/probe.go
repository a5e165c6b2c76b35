package manage

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/http"
	"time"

	"google.golang.org/api/googleapi"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// maxSkew is how wrong this machine's clock may be.
const maxSkew = time.Second

// A probe is a request to a function, and the status of the answer that shows it well.
type probe struct {
	what   string
	url    string
	header http.Header
	want   int
}

// static probes the static function without a delivery, and with one that somebody else
// signed.
func (d *deployment) static(ctx context.Context) (string, error) {
	forged, err := sign(webhooktest.SignV1(webhooktest.NewSecret()))
	if err != nil {
		return "", err
	}
	return probeAll(ctx,
		probe{"an empty POST", d.Values["static_url"], nil, http.StatusBadRequest},
		probe{"a forged delivery", d.Values["static_url"], forged, http.StatusUnauthorized},
	)
}

// dynamic probes the dynamic function in the same way, with the token and without.
func (d *deployment) dynamic(ctx context.Context) (string, error) {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		return "", err
	}
	forged, err := sign(webhooktest.SignV1a(key))
	if err != nil {
		return "", err
	}
	bare := d.Values["dynamic_url"]
	if d.Values["url_token_required"] == "false" {
		return probeAll(ctx,
			probe{"an empty POST", bare, nil, http.StatusBadRequest},
			probe{"a forged delivery", bare, forged, http.StatusUnauthorized},
		)
	}
	tokens, err := d.tokens()
	switch {
	case err != nil:
		return "", err
	case len(tokens) == 0:
		return "", errTodo("fix that first", "there is no token to call it with")
	}
	full := withToken(bare, tokens[0])
	return probeAll(ctx,
		probe{"an empty POST without the token", bare, nil, http.StatusUnauthorized},
		probe{"an empty POST", full, nil, http.StatusBadRequest},
		probe{"a forged delivery", full, forged, http.StatusUnauthorized},
	)
}

// sign returns the headers of a delivery without a body.
func sign(by webhooktest.Signer) (http.Header, error) {
	m := webhooktest.NewMessage("", by)
	m.Body = nil
	return m.Header()
}

func probeAll(ctx context.Context, probes ...probe) (string, error) {
	finding := ""
	for i, p := range probes {
		resp, err := ask(ctx, http.MethodPost, p.url, p.header)
		switch {
		case err != nil:
			return "", errTodo("terraform apply, if it is not deployed", "it cannot be reached: %v", err)
		case resp.StatusCode != p.want:
			return "", errTodo(advice(resp.StatusCode), "it answers %d to %s, not %d", resp.StatusCode, p.what, p.want)
		}
		if i > 0 {
			finding += ", "
		}
		finding += fmt.Sprintf("%d to %s", p.want, p.what)
	}
	return finding, nil
}

// advice is what an answer that should have been another points at.
func advice(status int) string {
	switch status {
	case http.StatusForbidden:
		return "the function must be open to all callers: terraform apply"
	case http.StatusNotFound:
		return "nothing is deployed at this URL: terraform apply"
	case http.StatusServiceUnavailable:
		return "terraform/runbooks/unavailable.md"
	}
	return "something else answers at this URL"
}

// ask sends a request without a body, and follows no redirect. Its errors are without
// the URL, which may hold a token.
func ask(ctx context.Context, method, to string, header http.Header) (*http.Response, error) {
	req, err := http.NewRequestWithContext(ctx, method, to, nil)
	if err != nil {
		return nil, errors.New("not a URL")
	}
	if header != nil {
		req.Header = header
	}
	return webhooktest.Do(&http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}, req)
}

// clock compares this machine's time with Google's, which is given in whole seconds.
func (d *deployment) clock(ctx context.Context) (string, error) {
	before := d.Now()
	resp, err := ask(ctx, http.MethodHead, d.GeminiURL, nil)
	if err != nil {
		return "", err
	}
	after := d.Now()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return "", errors.New("no date in the answer")
	}
	const next = "set this machine's clock: what it signs is refused as stale where it is off by minutes"
	switch {
	case after.Before(date.Add(-maxSkew)):
		return "", errTodo(next, "slow by %v", date.Sub(after).Round(time.Second))
	case before.After(date.Add(time.Second + maxSkew)):
		return "", errTodo(next, "fast by %v", before.Sub(date).Round(time.Second))
	}
	return "within a second of Google's", nil
}

func notFound(err error) bool {
	var answer *googleapi.Error
	return errors.As(err, &answer) && answer.Code == http.StatusNotFound
}
