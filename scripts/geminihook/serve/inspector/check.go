package inspector

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/geminihook/geminihook/scripts/geminihook/explain"
	"github.com/geminihook/geminihook/scripts/internal/reverify"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
)

// checkTimeout bounds the fetch of the public keys.
const checkTimeout = 2 * time.Second

// A check is one step of a delivery's verification, with its result.
type check struct {
	Name string
	Mark string // pass, fail, or open: not reached
	Text string
}

// Checks verify a delivery again, with the functions' own code and keys, to show each
// step and the step that decided. They are safe for concurrent use.
type Checks struct {
	Static  *Keys[webhook.SigningKey] // of the static endpoint
	Tokens  *Keys[webhook.URLToken]   // of the dynamic endpoint
	Dynamic *Keys[webhook.PublicKey]  // of the dynamic endpoint

	Audiences []string // accepted JWT audiences; empty: all JWTs are rejected
}

// of returns the checks of a delivery and the refusal. The refusal is nil if the
// delivery passed all checks, if it was for no function, or if the keys are
// unavailable. Watch calls of when the delivery arrives, because the timestamp is
// compared with the current time.
func (c *Checks) of(ctx context.Context, d *delivery) ([]check, *webhook.Refusal) {
	r := new(report)
	if d.endpoint == NoFunction {
		r.fail("Path", errors.New("no function is at "+shorten(d.path, 200)), "")
		r.open(d)
		return r.checks, nil
	}
	answer := c.receive(ctx, d)
	r.received(d, &answer)
	r.open(d)
	return r.checks, answer.Refusal
}

// receive runs the delivery through the receiver of its function again.
func (c *Checks) receive(ctx context.Context, d *delivery) reverify.Answer {
	request := &reverify.Request{
		Method: d.method, URL: &url.URL{RawQuery: d.query}, Header: d.header, Length: d.length, Body: d.body,
		Broken: !d.whole() && len(d.body) <= receiver.MaxBody,
	}
	if d.endpoint == webhook.DynamicEndpoint {
		return (&reverify.Endpoint{Dynamic: &c.Dynamic.Keys, Audiences: c.Audiences}).Receive(ctx, request, &c.Tokens.Keys)
	}
	return (&reverify.Endpoint{Static: &c.Static.Keys}).Receive(ctx, request, nil)
}

// explain returns the cause of a refusal, as `geminihook explain` finds it. It returns
// nil if there was no refusal, or if it was for the URL token, which the checks show in
// full.
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
	keys := []webhook.PublicKey{} // not nil: nil means a static endpoint
	// If fetching the keys fails, Find passes the cached ones, which is enough here.
	_, _ = c.Dynamic.Ring.Find(ctx, func(k webhook.PublicKey) bool {
		keys = append(keys, k)
		return false
	})
	return explain.Receiver{Keys: keys, Audiences: c.Audiences}.Explain(capture)
}

// order is the order of all checks. A failed check is the last one reached.
var order = []string{"Path", "Method", "URL token", "Body", "Headers", "Signature", "Audience", "Claims", "Timestamp"}

// A report collects checks.
type report struct {
	checks []check
}

func (r *report) pass(name, format string, args ...any) {
	r.checks = append(r.checks, check{name, "pass", fmt.Sprintf(format, args...)})
}

// fail adds the check that failed, with its error and more text.
func (r *report) fail(name string, err error, more string) {
	r.checks = append(r.checks, check{name, "fail", err.Error() + more})
}

// open adds the checks that apply to the delivery and were not reached.
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

// received adds the receiver's checks: method, URL token and body.
func (r *report) received(d *delivery, answer *reverify.Answer) {
	if answer.Step == webhook.StepMethod {
		r.fail("Method", answer.Err, ": "+shorten(d.method, 20))
		return
	}
	r.pass("Method", "POST")
	if d.endpoint == webhook.DynamicEndpoint {
		switch {
		case answer.Step != webhook.StepGate:
			r.pass("URL token", "matches %s", answer.Token.Matched)
		case answer.Reason() == webhook.URLTokenMissing:
			r.fail("URL token", answer.Err, ": the URL has no token")
			return
		default:
			r.fail("URL token", answer.Err, ": compared with "+keyNames(answer.Token.Tried))
			return
		}
	}
	if answer.Step == webhook.StepBody {
		more := ""
		if answer.Reason() == webhook.BodyIncomplete {
			more = fmt.Sprintf(" after %d bytes", len(d.body))
		}
		r.fail("Body", answer.Err, more)
		return
	}
	r.pass("Body", "%d bytes, at most %d are allowed", len(d.body), receiver.MaxBody)
	r.verified(d, &answer.Result)
}

// verified adds the verifier's checks: headers, signature, JWT and timestamp.
func (r *report) verified(d *delivery, result *reverify.Result) {
	if !result.Passed(webhook.StepHeaders) {
		r.fail("Headers", result.Err, "")
		return
	}
	r.pass("Headers", "webhook-id, webhook-timestamp and webhook-signature are present and well-formed")
	switch {
	case !result.Passed(webhook.StepScheme):
		r.fail("Signature", result.Err, "")
		return
	case !result.Passed(webhook.StepSignature):
		r.fail("Signature", result.Err, ": compared with "+keyNames(result.Tried))
		return
	}
	r.pass("Signature", "matches %s", result.Matched)
	if d.endpoint == webhook.DynamicEndpoint && d.claimedScheme() == webhook.JWT {
		r.claims(result)
	}
	switch {
	case result.Passed(webhook.StepTimestamp):
		r.pass("Timestamp", "%s, at most ±%v is allowed", age(d), webhook.DefaultTolerance)
	case result.Passed(webhook.StepJWT):
		r.fail("Timestamp", result.Err, fmt.Sprintf("; at most ±%v is allowed", webhook.DefaultTolerance))
	}
}

// claims adds the checks of a JWT's claims. The verifier checks the form of the claims
// before the audience.
func (r *report) claims(result *reverify.Result) {
	switch {
	case result.Passed(webhook.StepJWT):
		r.pass("Audience", "a configured audience")
		r.pass("Claims", "not expired, and they match the body")
	case errors.Is(result.Err, webhook.ErrAudience):
		r.fail("Audience", result.Err, "")
	case result.Reason() == webhook.JWTClaimsForm:
		r.fail("Claims", result.Err, "")
	default:
		r.pass("Audience", "a configured audience")
		r.fail("Claims", result.Err, "")
	}
}

// age describes the difference between the timestamp and the arrival.
func age(d *delivery) string {
	seconds, _ := strconv.ParseInt(d.header.Get("Webhook-Timestamp"), 10, 64) // the verifier has parsed it
	if age := d.received.Sub(time.Unix(seconds, 0)).Truncate(time.Second); age >= 0 {
		return fmt.Sprintf("%v old", age)
	} else {
		return fmt.Sprintf("%v ahead", -age)
	}
}
