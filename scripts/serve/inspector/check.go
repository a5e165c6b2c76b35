package inspector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

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

// Checks hold a delivery once more against what the functions hold it against, by
// the same code, so as to say which step it was that decided.
type Checks struct {
	Static  *Keys[webhook.SigningKey]
	Tokens  *Keys[webhook.URLToken]
	Dynamic *Keys[webhook.PublicKey]

	Audiences []string
}

// of returns the checks of a delivery. They are made when it arrives, since a
// timestamp's age is of that moment.
func (c *Checks) of(ctx context.Context, d *delivery) []check {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	steps := []func(context.Context, *delivery, *report) error{method, c.urlToken, wholeBody, c.signed}
	names := [][]string{{"Method"}, {"URL token"}, {"Body"}, {"Headers", "Signature", "Audience", "Claims", "Timestamp"}}
	r := new(report)
	failed := false
	for i, step := range steps {
		if failed {
			r.open(d, names[i]...)
			continue
		}
		failed = step(ctx, d, r) != nil
	}
	return r.checks
}

// A report collects checks.
type report struct {
	checks []check
}

func (r *report) pass(name, format string, args ...any) {
	r.checks = append(r.checks, check{name, "pass", fmt.Sprintf(format, args...)})
}

// fail adds the check that decided, and returns err.
func (r *report) fail(name string, err error, more string) error {
	r.checks = append(r.checks, check{name, "fail", strings.TrimSpace(err.Error() + more)})
	return err
}

// open adds checks that were not reached, of those that this delivery has.
func (r *report) open(d *delivery, names ...string) {
	for _, name := range names {
		token := name == "Audience" || name == "Claims"
		if token && d.claimedScheme() != string(webhook.JWT) || name == "URL token" && d.endpoint != webhook.DynamicEndpoint {
			continue
		}
		r.checks = append(r.checks, check{name, "open", "not reached"})
	}
}

func method(_ context.Context, d *delivery, r *report) error {
	if d.method != http.MethodPost {
		return r.fail("Method", webhook.ErrMethod, ": "+shorten(d.method, 20))
	}
	r.pass("Method", "POST")
	return nil
}

func (c *Checks) urlToken(ctx context.Context, d *delivery, r *report) error {
	if d.endpoint != webhook.DynamicEndpoint {
		return nil
	}
	u := url.URL{RawQuery: d.query}
	keys := c.Tokens.asked()
	gate := webhook.Token{Tokens: keys}
	if err := gate.Check(ctx, u.Query().Get("token")); err != nil {
		more := ": the URL has none"
		if u.Query().Get("token") != "" {
			more = ": held against " + keys.tried()
		}
		return r.fail("URL token", err, more)
	}
	r.pass("URL token", "it is %s", keys.matched)
	return nil
}

func wholeBody(_ context.Context, d *delivery, r *report) error {
	switch {
	case d.length > maxBody:
		return r.fail("Body", webhook.ErrTooLarge, fmt.Sprintf(": %d bytes, of at most %d", d.length, maxBody))
	case len(d.body) > maxBody:
		return r.fail("Body", webhook.ErrTooLarge, fmt.Sprintf(": more than %d bytes", maxBody))
	case !d.whole():
		return r.fail("Body", fmt.Errorf("%w: body broke off", webhook.ErrMalformed), fmt.Sprintf(" after %d bytes", len(d.body)))
	}
	r.pass("Body", "%d bytes, of at most %d", len(d.body), maxBody)
	return nil
}

// signed has the endpoint's own verifier decide, and splits what it says into the
// steps that it went through: they are told apart by whether it asked for a key,
// whether one matched, and the kind of error.
func (c *Checks) signed(ctx context.Context, d *delivery, r *report) error {
	if d.endpoint == webhook.StaticEndpoint {
		keys := c.Static.asked()
		_, err := (&webhook.Static{Keys: keys}).Verify(ctx, d.header, d.body)
		return r.verified(d, &keys.attempt, err)
	}
	keys := c.Dynamic.asked()
	verifier := webhook.Dynamic{Keys: keys, Audiences: c.Audiences, UnboundJWT: true} // as serve sets it
	_, err := verifier.Verify(ctx, d.header, d.body)
	return r.verified(d, &keys.attempt, err)
}

func (r *report) verified(d *delivery, keys *attempt, err error) error {
	if errors.Is(err, webhook.ErrMalformed) && !keys.wasAsked {
		defer r.open(d, "Signature", "Audience", "Claims", "Timestamp")
		return r.fail("Headers", err, "")
	}
	r.pass("Headers", "webhook-id, webhook-timestamp and webhook-signature, each once and well-formed")
	if keys.matched == "" {
		defer r.open(d, "Audience", "Claims", "Timestamp")
		more := ""
		if keys.wasAsked {
			more = ": held against " + keys.tried()
		}
		return r.fail("Signature", err, more)
	}
	r.pass("Signature", "made with %s", keys.matched)
	if d.claimedScheme() == string(webhook.JWT) {
		if done, err := r.token(d, err); done {
			return err
		}
	}
	if err != nil {
		return r.fail("Timestamp", err, "; at most "+webhook.DefaultTolerance.String()+" either way")
	}
	r.pass("Timestamp", "%s, of at most %v either way", age(d), webhook.DefaultTolerance)
	return nil
}

// token adds the checks of a token's claims, and reports whether one of them
// decided.
func (r *report) token(d *delivery, err error) (bool, error) {
	if errors.Is(err, webhook.ErrAudience) {
		defer r.open(d, "Claims", "Timestamp")
		return true, r.fail("Audience", err, "")
	}
	stale := errors.Is(err, webhook.ErrStale) && !strings.Contains(err.Error(), "webhook-timestamp")
	if errors.Is(err, webhook.ErrForged) { // before the audience was looked at, or after
		defer r.open(d, "Timestamp")
		return true, r.fail("Claims", err, "")
	}
	r.pass("Audience", "one of ours")
	if stale {
		defer r.open(d, "Timestamp")
		return true, r.fail("Claims", err, "")
	}
	r.pass("Claims", "in force now, and about this body")
	return false, nil
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
