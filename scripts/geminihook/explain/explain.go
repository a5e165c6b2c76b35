// Package explain says whether a captured request is a genuine delivery, and if it
// is not, why: what is at fault, and what to do about it.
//
// What counts is the verdict of the verifiers in shared/webhook, those of the
// functions. All that is tried beside them only looks for the cause.
package explain

import (
	"context"
	"crypto"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/reverify"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A Cause is why a request is refused.
type Cause string

// The causes, by the part of the request that shows them: headers and method, the kind
// of signature, the secret, the body, the token, the time. Once released, a cause keeps
// its name.
const (
	HeaderMissing    Cause = "header-missing"
	HeaderRenamed    Cause = "header-renamed"
	HeaderDuplicated Cause = "header-duplicated"
	HeaderMalformed  Cause = "header-malformed"
	HeaderSpace      Cause = "header-space" // other than ASCII's
	Milliseconds     Cause = "timestamp-milliseconds"
	Method           Cause = "method"

	V1AtDynamic   Cause = "v1-at-dynamic"
	V1aAtStatic   Cause = "v1a-at-static"
	JWTAtStatic   Cause = "jwt-at-static"
	OtherScheme   Cause = "other-scheme" // of another service
	SignatureForm Cause = "signature-form"

	SignatureEncoding Cause = "signature-encoding" // hex, base64url, unpadded

	SecretForm    Cause = "secret-form"
	SecretMark    Cause = "secret-mark" // a byte order mark, UTF-16
	SecretLine    Cause = "secret-line" // of a dotenv file
	SecretDecoded Cause = "secret-decoded"
	SecretTwice   Cause = "secret-encoded-twice"
	SecretRaw     Cause = "secret-raw"
	WrongSecret   Cause = "wrong-secret"
	KeyNotInSet   Cause = "key-not-in-set"

	BodyMissing    Cause = "body-missing"
	BodyTooLarge   Cause = "body-too-large"
	BodyCompressed Cause = "body-compressed"
	BodyChunks     Cause = "body-chunks"
	BodyParsed     Cause = "body-parsed" // in the capture: the bytes are lost
	Rewritten      Cause = "body-rewritten"
	Incomplete     Cause = "body-incomplete"

	Token    Cause = "token"
	Audience Cause = "token-audience"
	Expired  Cause = "token-expired"
	TokenOld Cause = "token-issued-long-ago"
	Event    Cause = "token-event"

	Stale       Cause = "stale"
	SenderClock Cause = "sender-clock"
	Refused     Cause = "refused" // whatever else the verifier says
)

// A Receiver is the endpoint that the request was for, with what it verifies by. It
// is a dynamic one if Keys is not nil, else a static one.
type Receiver struct {
	Secrets []string // as stored

	Keys      []webhook.PublicKey
	Audiences []string
}

// A Report is what came out.
type Report struct {
	Genuine bool           `json:"genuine"`          // a function would accept it now
	Verdict string         `json:"verdict"`          // the receiver's own
	Status  int            `json:"status"`           // that it answers with
	Step    webhook.Step   `json:"step,omitempty"`   // at which it refuses; empty if it accepts
	Reason  webhook.Reason `json:"reason,omitempty"` // likewise

	// A capture that is accepted can have causes, too: of what others refuse, and of what
	// the capture lost.
	Cause  Cause    `json:"cause,omitempty"` // the first of Causes
	Causes []Cause  `json:"causes"`          // what is at fault, the first thing first
	Why    []string `json:"why"`             // one for each cause
	Do     []string `json:"advice"`          // likewise
	Checks []Check  `json:"checks"`
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
	capture  Capture
	now      time.Time
	header   headers // to verify with: with its names and its white space put right
	findings []finding
	tried    string // by search
	report   Report
}

// Explain examines a request.
func (to Receiver) Explain(c *Capture) *Report {
	x := &examination{to: to, capture: *c, now: c.At}
	if c.At.IsZero() {
		x.now = time.Now()
	}
	x.request()
	x.size()
	if x.otherSender() {
		x.body()
		x.conclude()
		return &x.report
	}
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

// size holds the body against the receiver's bound, which comes before any header.
func (x *examination) size() {
	if n := x.capture.length(receiver.MaxBody); n > receiver.MaxBody {
		x.find(finding{BodyTooLarge, fmt.Sprintf("the body has %d bytes, and a function takes %d at most", n, receiver.MaxBody),
			"send less: Gemini's events have a few hundred bytes and name where the results are; a sender of your own should, too"},
			"size", "%d bytes, of at most %d", n, receiver.MaxBody)
	}
}

func (x *examination) body() {
	c := &x.capture
	n, event := len(c.Body), webhook.ParseEvent(c.Body)
	text := fmt.Sprintf("%d bytes", n)
	if event.Type != "" {
		text += ", " + printable(event.Type)
	}
	if c.note != "" {
		text += ", " + c.note
	}
	switch {
	case c.parsed != nil:
		x.find(parsedBody, "body", "parsed; written again in %s", text)
	case c.cut != "":
		x.say(Fail, "body", "its chunk framing is cut: %s", c.cut)
	case c.short != "":
		x.say(Fail, "body", "%s", c.short)
	default:
		x.say(Pass, "body", "%s", text)
	}
}

// conclude has the receiver receive the request. It knows nothing of the findings.
func (x *examination) conclude() {
	answer, r := x.answer(), &x.report
	r.Genuine, r.Status, r.Step, r.Reason = answer.Err == nil, answer.Status, answer.Step, answer.Reason()
	switch {
	case answer.Err != nil:
		r.Verdict = fmt.Sprintf("Refused with %d at step %s: %s.", r.Status, r.Step, printable(answer.Err.Error()))
	case x.dynamic():
		r.Verdict = "Genuine: the function takes it, if its URL token is right."
	default:
		r.Verdict = "Genuine: the function takes it."
	}
	if !r.Genuine && len(x.findings) == 0 {
		x.findings = []finding{{Refused, printable(answer.Err.Error()), "compare the request with what the sender sent"}}
	}
	r.Causes, r.Why, r.Do = []Cause{}, []string{}, []string{}
	for _, f := range x.findings {
		if !slices.Contains(r.Causes, f.cause) {
			r.Causes, r.Why, r.Do = append(r.Causes, f.cause), append(r.Why, f.why), append(r.Do, f.do)
		}
	}
	if len(r.Causes) > 0 {
		r.Cause = r.Causes[0]
	}
}

// answer is the receiver's.
func (x *examination) answer() reverify.Answer {
	c := &x.capture
	if c.Answer != nil {
		return *c.Answer
	}
	return x.endpoint(0).Receive(context.Background(), &reverify.Request{Method: c.Method, Header: c.Header, Length: c.length(receiver.MaxBody), Body: c.Body}, nil)
}

// anyAge is a tolerance within which every time is.
const anyAge = 200 * 365 * 24 * time.Hour

// verify verifies a body under other headers, by the verifier of the receiver's
// endpoint.
func (x *examination) verify(h http.Header, body []byte, tolerance time.Duration) reverify.Result {
	return x.endpoint(tolerance).Verify(context.Background(), h, body)
}

func (x *examination) endpoint(tolerance time.Duration) *reverify.Endpoint {
	e := &reverify.Endpoint{Audiences: x.to.Audiences, Tolerance: tolerance}
	if x.dynamic() {
		e.Dynamic = &reverify.Keys[webhook.PublicKey]{Ring: reverify.Fixed[webhook.PublicKey](x.to.Keys), Name: x.keyName}
		return e
	}
	var keys reverify.Fixed[webhook.SigningKey]
	names := make(map[webhook.SigningKey]string)
	for i, text := range x.to.Secrets {
		name := "this secret"
		if n := len(x.to.Secrets); n > 1 {
			name = fmt.Sprintf("secret %d of %d", i+1, n)
		}
		if key, err := webhook.ParseSigningKey([]byte(text)); err == nil {
			keys, names[key] = append(keys, key), name
		}
	}
	e.Static = &reverify.Keys[webhook.SigningKey]{Ring: keys, Name: func(key webhook.SigningKey) string { return names[key] }}
	return e
}

// keyName is a key's place in the set.
func (x *examination) keyName(key webhook.PublicKey) string {
	n := slices.IndexFunc(x.to.Keys, func(k webhook.PublicKey) bool {
		public, ok := k.Key.(interface{ Equal(crypto.PublicKey) bool })
		return ok && k.ID == key.ID && public.Equal(key.Key)
	})
	return fmt.Sprintf("key %d of %d in the set", n+1, len(x.to.Keys))
}
