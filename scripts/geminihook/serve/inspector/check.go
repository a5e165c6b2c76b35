package inspector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/explain"
	"github.com/geminihook/geminihook/scripts/internal/reverify"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
)

// checkTimeout bounds the wait for the public keys.
const checkTimeout = 2 * time.Second

// A check is one of those that a delivery goes through, in their order.
type check struct {
	Name string
	Mark string // pass, fail or open: not reached
	Text string
}

// Checks verify a delivery once more, by the functions' own code and with their keys, so
// as to show each step and the one that decided.
type Checks struct {
	Static  *Keys[webhook.SigningKey]
	Tokens  *Keys[webhook.URLToken]
	Dynamic *Keys[webhook.PublicKey]

	Audiences []string
}

// of returns the checks of a delivery, and what it was refused for: nil if it passed all
// of them, was for no function, or the keys could not be had. They are made when it
// arrives, since a timestamp's age is of that moment.
func (c *Checks) of(ctx context.Context, d *delivery) ([]check, *webhook.Refusal) {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	r := new(report)
	for _, step := range []func(context.Context, *delivery, *report) error{function, method, c.urlToken, wholeBody, c.signed} {
		if err := step(ctx, d, r); err != nil {
			r.open(d)
			return r.checks, webhook.AsRefusal(err)
		}
	}
	return r.checks, nil
}

// explain looks for the cause of a refusal, as the command's explain does. It returns nil
// if there was none, or one of the URL token, which the checks show in full.
func (c *Checks) explain(ctx context.Context, d *delivery) *explain.Report {
	if d.refusal == nil || d.refusal.Step == webhook.StepGate {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	capture := &explain.Capture{
		At: d.received, Method: d.method, URL: (&url.URL{Path: d.path, RawQuery: d.query}).String(), Header: d.header, Body: d.body,
		Answer: &reverify.Answer{Result: reverify.Result{Err: d.refusal, Refusal: d.refusal}, Status: d.status, Step: d.refusal.Step},
	}
	if d.endpoint != webhook.DynamicEndpoint {
		return explain.Receiver{Secrets: c.Static.values}.Explain(capture)
	}
	keys := []webhook.PublicKey{} // nil would mean a static endpoint
	// If the keys can no longer be had, those in memory are passed all the same.
	_, _ = c.Dynamic.Ring.Find(ctx, func(k webhook.PublicKey) bool {
		keys = append(keys, k)
		return false
	})
	return explain.Receiver{Keys: keys, Audiences: c.Audiences}.Explain(capture)
}

// order is that of all checks. A failed one is the last that is reached.
var order = []string{"Path", "Method", "URL token", "Body", "Headers", "Signature", "Audience", "Claims", "Timestamp"}

// A report collects checks.
type report struct {
	checks []check
}

func (r *report) pass(name, format string, args ...any) {
	r.checks = append(r.checks, check{name, "pass", fmt.Sprintf(format, args...)})
}

// fail adds the check that decided, and returns err.
func (r *report) fail(name string, err error, more string) error {
	r.checks = append(r.checks, check{name, "fail", err.Error() + more})
	return err
}

// open adds the checks that were not reached, of those that this delivery has.
func (r *report) open(d *delivery) {
	last := slices.Index(order, r.checks[len(r.checks)-1].Name)
	for _, name := range order[last+1:] {
		jwt := name == "Audience" || name == "Claims"
		if jwt && d.claimedScheme() != webhook.JWT || name == "URL token" && d.endpoint != webhook.DynamicEndpoint {
			continue
		}
		r.checks = append(r.checks, check{name, "open", "not reached"})
	}
}

// function passes what is for one. Only of what is not it makes a check.
func function(_ context.Context, d *delivery, r *report) error {
	if d.endpoint == NoFunction {
		return r.fail("Path", errors.New("no function is at "+shorten(d.path, 200)), "")
	}
	return nil
}

func method(_ context.Context, d *delivery, r *report) error {
	if d.method != http.MethodPost {
		return r.fail("Method", webhook.Refuse(webhook.NotPOST, "%s", shorten(d.method, 20)), "")
	}
	r.pass("Method", "POST")
	return nil
}

func (c *Checks) urlToken(ctx context.Context, d *delivery, r *report) error {
	if d.endpoint != webhook.DynamicEndpoint {
		return nil
	}
	u := url.URL{RawQuery: d.query}
	result := reverify.URLToken(ctx, &c.Tokens.Keys, u.Query().Get("token"))
	switch {
	case result.Err == nil:
		r.pass("URL token", "it is %s", result.Matched)
		return nil
	case result.Reason() == webhook.URLTokenMissing:
		return r.fail("URL token", result.Err, ": the URL has none")
	}
	return r.fail("URL token", result.Err, ": compared with "+keyNames(result.Tried))
}

func wholeBody(_ context.Context, d *delivery, r *report) error {
	switch {
	case d.length > receiver.MaxBody:
		return r.fail("Body", webhook.Refuse(webhook.BodyTooLarge, "%d bytes, of at most %d", d.length, receiver.MaxBody), "")
	case len(d.body) > receiver.MaxBody:
		return r.fail("Body", webhook.Refuse(webhook.BodyTooLarge, "more than %d bytes", receiver.MaxBody), "")
	case !d.whole():
		return r.fail("Body", webhook.Refuse(webhook.BodyIncomplete, "body broke off after %d bytes", len(d.body)), "")
	}
	r.pass("Body", "%d bytes, of at most %d", len(d.body), receiver.MaxBody)
	return nil
}

// signed has the endpoint's own verifier decide, and shows the steps that it took.
func (c *Checks) signed(ctx context.Context, d *delivery, r *report) error {
	endpoint := reverify.Endpoint{Static: &c.Static.Keys}
	if d.endpoint == webhook.DynamicEndpoint {
		endpoint = reverify.Endpoint{Dynamic: &c.Dynamic.Keys, Audiences: c.Audiences}
	}
	result := endpoint.Verify(ctx, d.header, d.body)
	r.verified(d, &result)
	return result.Err
}

func (r *report) verified(d *delivery, result *reverify.Result) {
	if !result.Passed(webhook.StepHeaders) {
		_ = r.fail("Headers", result.Err, "")
		return
	}
	r.pass("Headers", "webhook-id, webhook-timestamp and webhook-signature, each once and well-formed")
	switch {
	case !result.Passed(webhook.StepScheme):
		_ = r.fail("Signature", result.Err, "")
		return
	case !result.Passed(webhook.StepSignature):
		_ = r.fail("Signature", result.Err, ": compared with "+keyNames(result.Tried))
		return
	}
	r.pass("Signature", "made with %s", result.Matched)
	if d.endpoint == webhook.DynamicEndpoint && d.claimedScheme() == webhook.JWT {
		r.claims(result)
	}
	switch {
	case result.Passed(webhook.StepTimestamp):
		r.pass("Timestamp", "%s, of at most %v either way", age(d), webhook.DefaultTolerance)
	case result.Passed(webhook.StepJWT):
		_ = r.fail("Timestamp", result.Err, fmt.Sprintf("; at most %v either way", webhook.DefaultTolerance))
	}
}

// claims adds the checks of a JWT's claims. Their form is looked at before the audience.
func (r *report) claims(result *reverify.Result) {
	switch {
	case result.Passed(webhook.StepJWT):
		r.pass("Audience", "one of ours")
		r.pass("Claims", "in force now, and about this body")
	case errors.Is(result.Err, webhook.ErrAudience):
		_ = r.fail("Audience", result.Err, "")
	case result.Reason() == webhook.JWTClaimsForm:
		_ = r.fail("Claims", result.Err, "")
	default:
		r.pass("Audience", "one of ours")
		_ = r.fail("Claims", result.Err, "")
	}
}

// age says how far the timestamp is from the arrival.
func age(d *delivery) string {
	seconds, _ := strconv.ParseInt(d.header.Get("Webhook-Timestamp"), 10, 64) // the verifier took it
	if age := d.received.Sub(time.Unix(seconds, 0)).Truncate(time.Second); age >= 0 {
		return fmt.Sprintf("%v old", age)
	} else {
		return fmt.Sprintf("%v ahead", -age)
	}
}
