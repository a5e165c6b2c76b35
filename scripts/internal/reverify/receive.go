package reverify

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"

	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A Request is a request as a function receives it.
type Request struct {
	Method string // empty means POST
	URL    *url.URL
	Header http.Header
	Length int64 // the Content-Length header, in bytes; -1 if it is missing
	Body   []byte
	Broken bool // the connection was closed before the body's end
}

// An Answer is a function's response to a request, with the reason.
type Answer struct {
	Result              // the verifier's result, or the error of an earlier step
	Token  Result       // the result of the URL token's check; zero if it was not checked
	Status int          // the response's status code
	Step   webhook.Step // the step that rejected the request; empty if it was accepted
}

// Receive runs the functions' receiver on a request, with its limits and with the
// endpoint's verifier. It neither records nor publishes a delivery that the receiver
// accepts. If tokens is not nil, Receive checks the URL token too.
func (e *Endpoint) Receive(ctx context.Context, r *Request, tokens *Keys[webhook.URLToken]) Answer {
	var answer Answer
	var log bytes.Buffer
	to := receiver.Receiver{Verifier: &answering{e, &answer.Result}, Ledger: accepted{}, Log: slog.New(slog.NewJSONHandler(&log, nil))}
	var gate *recorder[webhook.URLToken]
	if tokens != nil {
		gate = &recorder[webhook.URLToken]{keys: tokens}
		to.Gate = &webhook.URLTokenGate{Tokens: gate}
	}
	w := httptest.NewRecorder()
	to.ServeHTTP(w, r.http(ctx))
	var logged line
	_ = json.Unmarshal(log.Bytes(), &logged) // the handler writes valid JSON
	answer.Status, answer.Step = w.Code, logged.Step
	if answer.Err == nil && logged.Error != "" { // a step before the verifier rejected it
		answer.Refusal, answer.Err = logged.err()
	}
	if gate != nil {
		answer.Token = gate.Result
	}
	return answer
}

// http returns the request in the form that a handler gets.
func (r *Request) http(ctx context.Context) *http.Request {
	method, at := r.Method, r.URL
	if method == "" {
		method = http.MethodPost
	}
	if at == nil {
		at = new(url.URL)
	}
	var body io.Reader = bytes.NewReader(r.Body)
	if r.Broken {
		body = io.MultiReader(body, broken{})
	}
	req := &http.Request{Method: method, URL: at, Header: r.Header, ContentLength: r.Length, Body: io.NopCloser(body)}
	return req.WithContext(ctx)
}

// broken is the end of a body after which the connection was closed too early.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// answering is a verifier that keeps its result.
type answering struct {
	*Endpoint
	result *Result
}

// Verify implements [receiver.Verifier].
func (a *answering) Verify(ctx context.Context, header http.Header, body []byte) (*webhook.Delivery, error) {
	*a.result = a.Endpoint.Verify(ctx, header, body)
	return &webhook.Delivery{Body: body}, a.result.Err
}

// accepted is a ledger that treats every delivery as already published.
type accepted struct{}

// Once implements [receiver.Ledger].
func (accepted) Once(context.Context, *webhook.Delivery, func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
	return webhook.Receipt{}, nil
}

// A line holds the fields of the receiver's log line that Receive needs.
type line struct {
	Step   webhook.Step
	Reason webhook.Reason
	Error  string
}

// err returns the line's error, and the same as a refusal if the line has a reason.
func (l *line) err() (*webhook.Refusal, error) {
	if l.Reason == "" {
		return nil, errors.New(l.Error)
	}
	refusal := webhook.Refuse(l.Reason, "")
	refusal.Detail = strings.TrimPrefix(strings.TrimPrefix(l.Error, refusal.Kind.Error()), ": ")
	return refusal, refusal
}
