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

// maxSkew is how wrong this machine's clock may be.
const maxSkew = time.Second

// A probe is a request to a function, and the status that a healthy one answers.
type probe struct {
	what   string
	url    string
	header http.Header
	want   int
}

// static probes the static function.
func (d *deployment) static(ctx context.Context) (string, error) {
	return probeAll(ctx, d.Values["static_url"], webhooktest.SignV1(webhooktest.NewSecret()))
}

// dynamic probes the dynamic function, without its URL token too if it requires one.
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
		return "", errTodo("fix that first", "there is no token to call it with")
	}
	return probeAll(ctx, withToken(bare, tokens[0]), unknown,
		probe{"an empty POST without the token", bare, nil, http.StatusUnauthorized})
}

// probeAll makes the probes of a function: those given, then an empty POST to its URL and
// a delivery with the signature of a key that it does not know.
func probeAll(ctx context.Context, url string, unknown webhooktest.Signer, probes ...probe) (string, error) {
	m := webhooktest.NewMessage("", unknown)
	m.Body = nil // as ask sends it
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
			return "", errTodo("terraform apply, if it is not deployed", "it cannot be reached: %v", err)
		case resp.StatusCode != p.want:
			return "", errTodo(advice(resp.StatusCode, p.url), "it answers %d to %s, not %d", resp.StatusCode, p.what, p.want)
		}
		findings = append(findings, fmt.Sprintf("%d to %s", p.want, p.what))
	}
	return strings.Join(findings, ", "), nil
}

// advice is what an answer that should have been another points at. No function answers
// 403: that is the platform's, which keeps callers out.
func advice(status int, to string) string {
	switch status {
	case http.StatusForbidden:
		return "the function must be open to all callers: terraform apply. " + deployMode(to)
	case http.StatusNotFound:
		return "nothing is deployed at this URL: terraform apply"
	case http.StatusServiceUnavailable:
		return "terraform/runbooks/unavailable.md"
	}
	return "something else answers at this URL"
}

// deployMode says what else to do if the platform keeps callers out of a URL, because the
// organization forbids to let them in: a function is open by a grant to allUsers, and a
// service that is made from an image by having no invoker check.
func deployMode(to string) string {
	host := ""
	if u, err := url.Parse(to); err == nil {
		host = u.Hostname()
	}
	switch {
	case strings.HasSuffix(host, ".cloudfunctions.net"):
		return "If that is refused at the grant to allUsers, your organization forbids it: deploy from images, see docs/deploy.md"
	case strings.HasSuffix(host, ".run.app"):
		return "If that is refused at invoker_iam_disabled, the policy run.managed.requireInvokerIam forbids it: see docs/deploy.md"
	}
	return "If that is refused at a grant to allUsers, deploy from images, see docs/deploy.md; or a Cloud Armor policy at this address refuses"
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
	return errors.As(err, &answer) && answer.Code == http.StatusNotFound || status.Code(err) == codes.NotFound
}
