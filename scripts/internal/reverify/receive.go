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
	Length int64 // as announced by the sender; -1 if it announced none
	Body   []byte
	Broken bool // the connection was closed before the body's end
}

// An Answer is what a function answers to a request, and why.
type Answer struct {
	Result              // of the verifier; its errors are also those of the steps before it
	Token  Result       // of the URL token, if it was checked
	Status int          // of the response
	Step   webhook.Step // at which a refused request ended; empty for an accepted one
}

// Receive has the receiver of the functions receive a request: with its bounds, and with
// the endpoint's verifier. A delivery that the receiver accepts is not recorded and not
// published. The URL token is checked if tokens is not nil.
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
	_ = json.Unmarshal(log.Bytes(), &logged) // it is JSON
	answer.Status, answer.Step = w.Code, logged.Step
	if answer.Err == nil && logged.Error != "" { // it ended before the verifier
		answer.Refusal, answer.Err = logged.err()
	}
	if gate != nil {
		answer.Token = gate.Result
	}
	return answer
}

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

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// answering is a verifier that keeps the result.
type answering struct {
	*Endpoint
	result *Result
}

// Verify implements [receiver.Verifier].
func (a *answering) Verify(ctx context.Context, header http.Header, body []byte) (*webhook.Delivery, error) {
	*a.result = a.Endpoint.Verify(ctx, header, body)
	return &webhook.Delivery{Body: body}, a.result.Err
}

// accepted is a ledger in which every delivery is done.
type accepted struct{}

// Once implements [receiver.Ledger].
func (accepted) Once(context.Context, *webhook.Delivery, func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
	return webhook.Receipt{}, nil
}

// A line is the receiver's log line.
type line struct {
	Step   webhook.Step
	Reason webhook.Reason
	Error  string
}

// err returns the error that the line tells of. It is a refusal if the line has a reason.
func (l *line) err() (*webhook.Refusal, error) {
	if l.Reason == "" {
		return nil, errors.New(l.Error)
	}
	refusal := webhook.Refuse(l.Reason, "")
	refusal.Detail = strings.TrimPrefix(strings.TrimPrefix(l.Error, refusal.Kind.Error()), ": ")
	return refusal, refusal
}
