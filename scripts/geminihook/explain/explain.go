// Package explain reports whether a captured request is a genuine delivery, and if it
// is not, the cause and the remedy.
//
// The verdict is that of the functions' own code in shared/receiver and shared/webhook.
// The other checks in this package only look for the cause.
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

// A Cause is the reason for which a request is rejected.
type Cause string

// The causes, grouped by the part of the request: headers and method, scheme,
// signature, secret or key, body, JWT, time. Their values are part of the JSON output
// and must not change.
const (
	HeaderMissing    Cause = "header-missing"
	HeaderRenamed    Cause = "header-renamed"
	HeaderDuplicated Cause = "header-duplicated"
	HeaderMalformed  Cause = "header-malformed"
	HeaderSpace      Cause = "header-space" // white space that is not ASCII
	Milliseconds     Cause = "timestamp-milliseconds"
	Method           Cause = "method"

	V1AtDynamic   Cause = "v1-at-dynamic"
	V1aAtStatic   Cause = "v1a-at-static"
	JWTAtStatic   Cause = "jwt-at-static"
	OtherScheme   Cause = "other-scheme" // another service's scheme
	SignatureForm Cause = "signature-form"

	SignatureEncoding Cause = "signature-encoding" // hex, base64url, unpadded

	SecretForm    Cause = "secret-form"
	SecretMark    Cause = "secret-mark"          // a byte order mark, or UTF-16
	SecretLine    Cause = "secret-line"          // a line of a dotenv file
	SecretDecoded Cause = "secret-decoded"       // decoded before it was stored
	SecretTwice   Cause = "secret-encoded-twice" // base64 of the secret was stored
	SecretRaw     Cause = "secret-raw"           // the signer did not decode the secret
	WrongSecret   Cause = "wrong-secret"
	KeyNotInSet   Cause = "key-not-in-set"

	BodyMissing    Cause = "body-missing"
	BodyTooLarge   Cause = "body-too-large"
	BodyCompressed Cause = "body-compressed"
	BodyChunks     Cause = "body-chunks"
	BodyParsed     Cause = "body-parsed" // the capture has a parsed value, not the bytes
	Rewritten      Cause = "body-rewritten"
	Incomplete     Cause = "body-incomplete"

	Token    Cause = "token"
	Audience Cause = "token-audience"
	Expired  Cause = "token-expired"
	TokenOld Cause = "token-issued-long-ago"
	Event    Cause = "token-event"

	Stale       Cause = "stale"
	SenderClock Cause = "sender-clock"
	Refused     Cause = "refused" // any other rejection
)

// A Receiver is the endpoint that the request was sent to, with its keys. It is a
// dynamic endpoint if Keys is not nil, else a static one.
type Receiver struct {
	Secrets []string // signing secrets as stored; only for a static endpoint

	Keys      []webhook.PublicKey // only for a dynamic endpoint
	Audiences []string            // accepted JWT audiences; empty: all JWTs are rejected
}

// A Report is the result of Explain.
type Report struct {
	Genuine bool           `json:"genuine"`          // the function accepts the request at Capture.At
	Verdict string         `json:"verdict"`          // one sentence
	Status  int            `json:"status"`           // the function's HTTP status
	Step    webhook.Step   `json:"step,omitempty"`   // the step that rejects; empty if Genuine
	Reason  webhook.Reason `json:"reason,omitempty"` // the reason for it; empty if Genuine

	// The causes, most important first. An accepted capture can have causes, too:
	// faults that other receivers reject, and data that the capture lost.
	Cause  Cause    `json:"cause,omitempty"` // the first of Causes
	Causes []Cause  `json:"causes"`
	Why    []string `json:"why"`    // explains each cause
	Do     []string `json:"advice"` // a remedy for each cause
	Checks []Check  `json:"checks"`
}

// A Check is one step of the examination.
type Check struct {
	Mark Mark   `json:"mark"`
	What string `json:"what"` // the part of the request or the setting that is checked
	Says string `json:"says"` // the result
}

// A Mark is the result of a check.
type Mark string

// The marks.
const (
	Pass Mark = "pass"
	Fail Mark = "fail"
	Note Mark = "note" // neither passed nor failed
)

// A finding is a cause with its explanation and its remedy.
type finding struct {
	cause Cause
	why   string
	do    string
}

// An examination is the state of one call to Explain.
type examination struct {
	to       Receiver
	capture  Capture
	now      time.Time
	header   headers // with names and white space corrected
	findings []finding
	tried    string // describes the guesses that search has tried
	report   Report
}

// Explain examines a request. It does not change the capture. The receiver's clock is
// at c.At, or if that is zero at the current time. Explain is safe for concurrent use.
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

// find adds a failed check and its finding.
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

// request checks the request line, if there is one.
func (x *examination) request() {
	where, token := x.capture.where()
	switch {
	case where == "":
		return
	case x.capture.Method != "" && x.capture.Method != http.MethodPost:
		x.find(finding{Method, "the request is not a POST", "send deliveries as POST requests"}, "request", "%s: not a POST", printable(where))
	default:
		x.say(Pass, "request", "%s", printable(where))
	}
	if x.dynamic() && !token {
		x.say(Note, "URL token", "missing from the URL: if the function requires one, it answers 401 before it checks the rest")
	} else if x.dynamic() {
		x.say(Note, "URL token", "present in the URL; explain does not compare it with yours")
	}
}

// size compares the body's length with the receiver's limit. The receiver checks it
// before the headers.
func (x *examination) size() {
	if n := x.capture.length(receiver.MaxBody); n > receiver.MaxBody {
		x.find(finding{BodyTooLarge, fmt.Sprintf("the body has %d bytes, more than a function's limit of %d", n, receiver.MaxBody),
			"send a smaller body: like Gemini, send a reference to the results instead of the results"},
			"size", "%d bytes, more than the limit of %d", n, receiver.MaxBody)
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
		x.find(parsedBody, "body", "a parsed value; encoded again in %s", text)
	case c.cut != "":
		x.say(Fail, "body", "its chunked encoding is incomplete: %s", c.cut)
	case c.short != "":
		x.say(Fail, "body", "%s", c.short)
	default:
		x.say(Pass, "body", "%s", text)
	}
}

// conclude sets the verdict to the receiver's own result, whatever was found before.
func (x *examination) conclude() {
	answer, r := x.answer(), &x.report
	r.Genuine, r.Status, r.Step, r.Reason = answer.Err == nil, answer.Status, answer.Step, answer.Reason()
	switch {
	case answer.Err != nil:
		r.Verdict = fmt.Sprintf("Rejected with %d at step %s: %s.", r.Status, r.Step, printable(answer.Err.Error()))
	case x.dynamic():
		r.Verdict = "Genuine: the function accepts it if the URL token is correct."
	default:
		r.Verdict = "Genuine: the function accepts it."
	}
	if !r.Genuine && len(x.findings) == 0 {
		x.findings = []finding{{Refused, printable(answer.Err.Error()), "compare the capture with the request that the sender sent"}}
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

// answer returns the receiver's answer: the one in the capture, or else a new one.
func (x *examination) answer() reverify.Answer {
	c := &x.capture
	if c.Answer != nil {
		return *c.Answer
	}
	return x.endpoint(0).Receive(context.Background(), &reverify.Request{Method: c.Method, Header: c.Header, Length: c.length(receiver.MaxBody), Body: c.Body}, nil)
}

// anyAge is a tolerance that accepts every timestamp.
const anyAge = 200 * 365 * 24 * time.Hour

// verify runs the endpoint's verifier on a body with the given headers.
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

// keyName names a key by its position in the set.
func (x *examination) keyName(key webhook.PublicKey) string {
	n := slices.IndexFunc(x.to.Keys, func(k webhook.PublicKey) bool {
		public, ok := k.Key.(interface{ Equal(crypto.PublicKey) bool })
		return ok && k.ID == key.ID && public.Equal(key.Key)
	})
	return fmt.Sprintf("key %d of %d in the set", n+1, len(x.to.Keys))
}
