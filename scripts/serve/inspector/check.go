package inspector

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
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
	r := new(report)
	for _, step := range []func(context.Context, *delivery, *report) error{function, method, c.urlToken, wholeBody, c.signed} {
		if step(ctx, d, r) != nil {
			r.open(d)
			break
		}
	}
	return r.checks
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
		token := name == "Audience" || name == "Claims"
		if token && d.claimedScheme() != webhook.JWT || name == "URL token" && d.endpoint != webhook.DynamicEndpoint {
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
	verifier := webhook.Dynamic{Keys: keys, Audiences: c.Audiences, JWTWithoutEvent: true} // as serve sets it
	_, err := verifier.Verify(ctx, d.header, d.body)
	return r.verified(d, &keys.attempt, err)
}

func (r *report) verified(d *delivery, keys *attempt, err error) error {
	if errors.Is(err, webhook.ErrMalformed) {
		return r.fail("Headers", err, "")
	}
	r.pass("Headers", "webhook-id, webhook-timestamp and webhook-signature, each once and well-formed")
	switch {
	case !keys.wasAsked:
		return r.fail("Signature", err, "")
	case keys.matched == "":
		return r.fail("Signature", err, ": held against "+keys.tried())
	}
	r.pass("Signature", "made with %s", keys.matched)
	if d.endpoint == webhook.DynamicEndpoint && d.claimedScheme() == webhook.JWT && r.token(err) {
		return err
	}
	if err != nil {
		return r.fail("Timestamp", err, fmt.Sprintf("; at most %v either way", webhook.DefaultTolerance))
	}
	r.pass("Timestamp", "%s, of at most %v either way", age(d), webhook.DefaultTolerance)
	return nil
}

// token adds the checks of a token's claims, and reports whether one of them
// decided. What a stale one is stale by, only its text says.
func (r *report) token(err error) (decided bool) {
	if errors.Is(err, webhook.ErrAudience) {
		_ = r.fail("Audience", err, "")
		return true
	}
	if errors.Is(err, webhook.ErrForged) { // before the audience was looked at, or after
		_ = r.fail("Claims", err, "")
		return true
	}
	r.pass("Audience", "one of ours")
	if err != nil && !strings.Contains(err.Error(), "webhook-timestamp") {
		_ = r.fail("Claims", err, "")
		return true
	}
	r.pass("Claims", "in force now, and about this body")
	return false
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
