package manage

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// maxSkew is the largest error of this machine's clock that is not reported.
const maxSkew = time.Second

// A probe is a request to a function with the status that a healthy function answers.
type probe struct {
	what   string // describes the request
	url    string
	header http.Header
	want   int // status
}

// static probes the static function.
func (d *deployment) static(ctx context.Context) (string, error) {
	return probeAll(ctx, d.Values["static_url"], webhooktest.SignV1(webhooktest.NewSecret()))
}

// dynamic probes the dynamic function, and if it requires a URL token, also without
// one.
func (d *deployment) dynamic(ctx context.Context) (string, error) {
	unknown := webhooktest.SignV1a(webhooktest.NewKeySet().Ed25519(0))
	bare := d.Values["dynamic_url"]
	if d.Values["url_token_required"] == "false" {
		return probeAll(ctx, bare, unknown)
	}
	tokens, err := d.tokens()
	switch {
	case err != nil:
		return "", err
	case len(tokens) == 0:
		return "", errTodo("fix the URL token first", "cannot be called without a URL token")
	}
	return probeAll(ctx, withToken(bare, tokens[0]), unknown,
		probe{"an empty POST without the token", bare, nil, http.StatusUnauthorized})
}

// probeAll makes probes of a function: the given ones, then an empty POST to url, and a
// delivery signed with a key that the function does not know.
func probeAll(ctx context.Context, url string, unknown webhooktest.Signer, probes ...probe) (string, error) {
	m := webhooktest.NewMessage("", unknown)
	m.Body = nil // ask sends no body
	forged, err := m.Header()
	if err != nil {
		return "", err
	}
	probes = append(probes,
		probe{"an empty POST", url, nil, http.StatusBadRequest},
		probe{"a forged delivery", url, forged, http.StatusUnauthorized})
	var findings []string
	for _, p := range probes {
		resp, err := ask(ctx, http.MethodPost, p.url, p.header)
		switch {
		case err != nil:
			return "", errTodo("terraform apply, if it is not deployed", "cannot be reached: %v", err)
		case resp.StatusCode != p.want:
			return "", errTodo(advice(resp.StatusCode, p.url), "answers %d to %s, not %d", resp.StatusCode, p.what, p.want)
		}
		findings = append(findings, fmt.Sprintf("%d to %s", p.want, p.what))
	}
	return strings.Join(findings, ", "), nil
}

// advice returns the next step after an unexpected status. The functions never answer
// 403: Cloud Run does, if it rejects callers.
func advice(status int, to string) string {
	switch status {
	case http.StatusForbidden:
		return "the function must be open to all callers: terraform apply. " + deployMode(to)
	case http.StatusNotFound:
		return "no function is deployed at this URL: terraform apply"
	case http.StatusServiceUnavailable:
		return "terraform/runbooks/unavailable.md"
	}
	return "another server answers at this URL: check the URL"
}

// deployMode returns the alternative if an organization forbids public access to a URL.
// A function is made public by a grant to allUsers, a service deployed from an image by
// disabling its invoker check.
func deployMode(to string) string {
	host := ""
	if u, err := url.Parse(to); err == nil {
		host = u.Hostname()
	}
	switch {
	case strings.HasSuffix(host, ".cloudfunctions.net"):
		return "If that fails at the grant to allUsers, your organization forbids it: deploy from images, see docs/deploy.md"
	case strings.HasSuffix(host, ".run.app"):
		return "If that fails at invoker_iam_disabled, the policy run.managed.requireInvokerIam forbids it: see docs/deploy.md"
	}
	return "If that fails at a grant to allUsers, deploy from images, see docs/deploy.md. If it succeeds, check the Cloud Armor policy of this address"
}

// ask sends a request without a body and does not follow redirects. Its errors do not
// include the URL, which may hold a token.
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

// clock compares this machine's time with Google's, which has a resolution of one
// second.
func (d *deployment) clock(ctx context.Context) (string, error) {
	before := d.Now()
	resp, err := ask(ctx, http.MethodHead, d.GeminiURL, nil)
	if err != nil {
		return "", err
	}
	after := d.Now()
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		return "", errors.New("the Gemini API's answer has no Date header")
	}
	const next = "set this machine's clock: if it is off by minutes, its signatures are rejected as stale"
	switch {
	case after.Before(date.Add(-maxSkew)):
		return "", errTodo(next, "slow by %v", date.Sub(after).Round(time.Second))
	case before.After(date.Add(time.Second + maxSkew)):
		return "", errTodo(next, "fast by %v", before.Sub(date).Round(time.Second))
	}
	return "within a second of Google's", nil
}

// notFound reports whether err is Google's 404.
func notFound(err error) bool {
	var answer *googleapi.Error
	return errors.As(err, &answer) && answer.Code == http.StatusNotFound || status.Code(err) == codes.NotFound
}
