package reverify

import (
	"net/http"
	"net/url"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A rejected request has the status, the step and the reason of the function's log
// line, whether the receiver or the verifier rejects it.
func TestReceive(t *testing.T) {
	mine, token := key(t), "a-url-token-of-the-test"
	parsed, err := webhook.ParseURLToken([]byte(token))
	if err != nil {
		t.Fatal(err)
	}
	endpoint := &Endpoint{Static: &Keys[webhook.SigningKey]{Fixed[webhook.SigningKey]{mine}, func(webhook.SigningKey) string { return "mine" }}}
	down := &Endpoint{Static: &Keys[webhook.SigningKey]{outage{}, endpoint.Static.Name}}
	tokens := &Keys[webhook.URLToken]{Fixed[webhook.URLToken]{parsed}, func(webhook.URLToken) string { return "the one" }}
	now := time.Now()
	signed := func(body []byte) *Request {
		return &Request{Length: int64(len(body)), Body: body, Header: webhooktest.Header("msg_1", now, webhook.SignV1(mine, "msg_1", webhooktest.Timestamp(now), body))}
	}
	with := func(change func(*Request)) *Request {
		r := signed([]byte("{}"))
		change(r)
		return r
	}
	for name, test := range map[string]struct {
		endpoint *Endpoint
		request  *Request
		tokens   *Keys[webhook.URLToken]
		status   int
		step     webhook.Step
		reason   webhook.Reason
		detail   string
	}{
		"accepted":       {endpoint, signed([]byte("{}")), nil, 204, "", "", ""},
		"at the limit":   {endpoint, signed(make([]byte, receiver.MaxBody)), nil, 204, "", "", ""},
		"over the limit": {endpoint, signed(make([]byte, receiver.MaxBody+1)), nil, 413, "body", "body_too_large", "1048577 bytes, more than the maximum of 1048576"},
		"over the limit, length unknown": {endpoint, with(func(r *Request) { r.Body, r.Length = make([]byte, receiver.MaxBody+1), -1 }), nil,
			413, "body", "body_too_large", "more than 1048576 bytes"},
		"cut":                      {endpoint, with(func(r *Request) { r.Length++ }), nil, 400, "body", "body_incomplete", "connection closed mid-body"},
		"cut, length unknown":      {endpoint, with(func(r *Request) { r.Length, r.Broken = -1, true }), nil, 400, "body", "body_incomplete", "connection closed mid-body"},
		"not a POST":               {endpoint, with(func(r *Request) { r.Method = "GET" }), nil, 405, "method", "not_post", ""},
		"no token":                 {endpoint, signed([]byte("{}")), tokens, 401, "gate", "url_token_missing", ""},
		"right token":              {endpoint, with(func(r *Request) { r.URL = &url.URL{RawQuery: "token=" + token} }), tokens, 204, "", "", ""},
		"no headers":               {endpoint, with(func(r *Request) { r.Header = http.Header{} }), nil, 400, "headers", "id_missing", "no webhook-id header"},
		"another body":             {endpoint, with(func(r *Request) { r.Body = []byte("[]") }), nil, 401, "signature", "no_key_matches", ""},
		"the keys are unavailable": {down, signed([]byte("{}")), nil, 503, "signature", "", ""},
	} {
		got := test.endpoint.Receive(t.Context(), test.request, test.tokens)
		if test.tokens != nil && (got.Token.Matched == "the one") != (got.Status == 204) {
			t.Errorf("%s: result of the URL token: %+v", name, got.Token)
		}
		if got.Status != test.status || got.Step != test.step || got.Reason() != test.reason || (got.Err == nil) != (test.status == 204) ||
			test.detail != "" && got.Refusal.Detail != test.detail {
			t.Errorf("%s: %+v, want status %d, step %q, reason %q", name, got, test.status, test.step, test.reason)
		}
	}
}
