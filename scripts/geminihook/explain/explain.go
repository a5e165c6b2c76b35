// Package explain says whether a captured request is a genuine delivery, and if it
// is not, why: what is at fault, and what to do about it.
//
// What counts is the verdict of the verifiers in shared/webhook, those of the
// functions. All that is tried beside them only looks for the cause.
package explain

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/reverify"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A Cause is why a request is refused.
type Cause string

// The causes, by the part of the request that shows them: headers and method, the kind
// of signature, the secret or the body, the token.
const (
	HeaderMissing    Cause = "header-missing"
	HeaderRenamed    Cause = "header-renamed"
	HeaderDuplicated Cause = "header-duplicated"
	HeaderMalformed  Cause = "header-malformed"
	Milliseconds     Cause = "timestamp-milliseconds"
	Method           Cause = "method"

	V1AtDynamic   Cause = "v1-at-dynamic"
	V1aAtStatic   Cause = "v1a-at-static"
	JWTAtStatic   Cause = "jwt-at-static"
	SignatureForm Cause = "signature-form"

	SecretForm  Cause = "secret-form"
	SecretRaw   Cause = "secret-raw"
	WrongSecret Cause = "wrong-secret"
	KeyNotInSet Cause = "key-not-in-set"
	Rewritten   Cause = "body-rewritten"
	Incomplete  Cause = "body-incomplete"

	Token    Cause = "token"
	Audience Cause = "token-audience"
	Expired  Cause = "token-expired"
	Event    Cause = "token-event"

	Stale   Cause = "stale"
	Ahead   Cause = "ahead"
	Refused Cause = "refused" // whatever else the verifier says
)

// A Receiver is the endpoint that the request was for, with what it verifies by. It
// is a dynamic one where there are Keys, else a static one.
type Receiver struct {
	Secret string

	Keys      []webhook.PublicKey
	Audiences []string
}

// A Report is what came out.
type Report struct {
	Genuine bool     `json:"genuine"` // a function would take it now
	Causes  []Cause  `json:"causes"`  // what is at fault, the first thing first
	Checks  []Check  `json:"checks"`
	Verdict string   `json:"verdict"`
	Do      []string `json:"do"`
}

// A Check is one step.
type Check struct {
	Mark Mark   `json:"mark"`
	What string `json:"what"`
	Says string `json:"says"`
}

// A Mark is how a check ended.
type Mark string

// The marks.
const (
	Pass Mark = "pass"
	Fail Mark = "fail"
	Note Mark = "note" // neither: to be known
)

// A finding is a cause with what it means and what to do.
type finding struct {
	cause Cause
	why   string
	do    string
}

// An examination is of one request at one receiver.
type examination struct {
	to       Receiver
	capture  *Capture
	now      time.Time
	header   headers // what is left to verify with when the names are put right
	findings []finding
	report   Report
}

// Explain examines a request.
func (to Receiver) Explain(c *Capture) *Report {
	x := &examination{to: to, capture: c, now: c.At}
	if c.At.IsZero() {
		x.now = time.Now()
	}
	x.request()
	x.headers()
	x.body()
	if x.scheme() {
		x.signature()
	}
	x.age()
	x.conclude()
	return &x.report
}

func (x *examination) say(mark Mark, what, format string, args ...any) {
	x.report.Checks = append(x.report.Checks, Check{mark, what, fmt.Sprintf(format, args...)})
}

// find reports a check that failed, and why.
func (x *examination) find(f finding, what, format string, args ...any) {
	x.say(Fail, what, format, args...)
	x.findings = append(x.findings, f)
}

// has reports whether a cause was found.
func (x *examination) has(c Cause) bool {
	return slices.ContainsFunc(x.findings, func(f finding) bool { return f.cause == c })
}

// dynamic reports whether the receiver is a dynamic endpoint.
func (x *examination) dynamic() bool { return x.to.Keys != nil }

// request looks at the request line, where there is one.
func (x *examination) request() {
	where, token := x.capture.where()
	switch {
	case where == "":
		return
	case x.capture.Method != "" && x.capture.Method != http.MethodPost:
		x.find(finding{Method, "deliveries are POST requests", "post it"}, "request", "%s: not a POST", printable(where))
	default:
		x.say(Pass, "request", "%s", printable(where))
	}
	if x.dynamic() && !token {
		x.say(Note, "URL token", "none in the URL: where one is required, the answer is 401 before anything else is looked at")
	} else if x.dynamic() {
		x.say(Note, "URL token", "there is one; whether it is yours is not checked here")
	}
}

func (x *examination) body() {
	n, event := len(x.capture.Body), webhook.ParseEvent(x.capture.Body)
	text := fmt.Sprintf("%d bytes", n)
	if event.Type != "" {
		text += ", " + printable(event.Type)
	}
	switch {
	case x.capture.short != "":
		x.say(Fail, "body", "%s", x.capture.short)
		return
	case x.capture.note != "":
		text += ", " + x.capture.note
	}
	x.say(Pass, "body", "%s", text)
}

// age holds the timestamp against now. A capture is rarely read within the five
// minutes, so it is the cause only where there is no other.
func (x *examination) age() {
	if x.header.sent.IsZero() {
		return
	}
	age, limit := x.now.Sub(x.header.sent), fmt.Sprintf("%.0f minutes", webhook.DefaultTolerance.Minutes())
	at := utc(x.header.sent)
	says := fmt.Sprintf("%s, %s; up to %s either way are taken", at, from(age), limit)
	f := finding{Stale, fmt.Sprintf("the timestamp is %v old, and a receiver takes %s", round(age), limit),
		fmt.Sprintf("nothing, if it arrived within %s of %s: it was right at its time; else look for what held it up, a queue or a clock", limit, at)}
	if age < 0 {
		f = finding{Ahead, fmt.Sprintf("the timestamp is %v ahead of this machine's clock, and a receiver takes %s", round(-age), limit),
			"set the clocks: the sender's or this machine's"}
	}
	switch {
	case age.Abs() <= webhook.DefaultTolerance:
		x.say(Pass, "age", "%s", says)
	case len(x.findings) > 0:
		x.say(Note, "age", "%s", says)
	default:
		x.find(f, "age", "%s", says)
	}
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func from(age time.Duration) string {
	if age < 0 {
		return round(-age).String() + " ahead"
	}
	return round(age).String() + " ago"
}

// conclude asks the verifier, which knows nothing of the findings.
func (x *examination) conclude() {
	err := x.verify(x.capture.Header, webhook.DefaultTolerance).Err
	r := &x.report
	r.Genuine, r.Causes, r.Do = err == nil && !x.has(Method), []Cause{}, []string{}
	if r.Genuine {
		r.Verdict = "Genuine: the function takes it."
		if x.dynamic() {
			r.Verdict = "Genuine: the function takes it, if its URL token is right."
		}
		return
	}
	if len(x.findings) == 0 {
		x.findings = []finding{{Refused, err.Error(), "compare the request with what the sender sent"}}
	}
	var why []string
	for _, f := range x.findings {
		r.Causes, why, r.Do = append(r.Causes, f.cause), append(why, f.why), append(r.Do, f.do)
	}
	kind := "Refused"
	if errors.Is(err, webhook.ErrStale) && !x.has(Event) {
		kind = "Genuine, but refused now"
	}
	r.Verdict = kind + ": " + strings.Join(why, "; and ") + "."
}

// anyAge is a tolerance within which every time is.
const anyAge = 200 * 365 * 24 * time.Hour

// verify verifies the body under other headers, by the verifier of the receiver's
// endpoint.
func (x *examination) verify(h http.Header, tolerance time.Duration) reverify.Result {
	endpoint := reverify.Endpoint{Audiences: x.to.Audiences, Tolerance: tolerance}
	if x.dynamic() {
		endpoint.Dynamic = &reverify.Keys[webhook.PublicKey]{Ring: reverify.Fixed[webhook.PublicKey](x.to.Keys), Name: x.keyName}
	} else {
		var keys reverify.Fixed[webhook.SigningKey]
		if key, err := webhook.ParseSigningKey([]byte(x.to.Secret)); err == nil {
			keys = append(keys, key)
		}
		endpoint.Static = &reverify.Keys[webhook.SigningKey]{Ring: keys, Name: func(webhook.SigningKey) string { return "this secret" }}
	}
	return endpoint.Verify(context.Background(), h, x.capture.Body)
}

// keyName is a key's place in the set.
func (x *examination) keyName(key webhook.PublicKey) string {
	n := slices.IndexFunc(x.to.Keys, func(k webhook.PublicKey) bool {
		public, ok := k.Key.(interface{ Equal(crypto.PublicKey) bool })
		return ok && k.ID == key.ID && public.Equal(key.Key)
	})
	return fmt.Sprintf("key %d of %d in the set", n+1, len(x.to.Keys))
}
