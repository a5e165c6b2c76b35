// Package delivery is the sender's side of one delivery: where it goes, what it is
// signed with, and the answer to it.
package delivery

import (
	"net/http"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// An Attempt is one attempt at a delivery, before it is signed.
type Attempt struct {
	webhooktest.Message
	Scheme webhook.Scheme
	URL    string
	Keys   *Keys // of the target; Sign has one of them unless it is changed
}

// Request signs the attempt.
func (a *Attempt) Request() (*Request, error) {
	header, err := a.Header()
	if err != nil {
		return nil, err
	}
	return &Request{Method: http.MethodPost, URL: a.URL, Header: header, Body: a.Body}, nil
}

// Endpoint returns the kind of endpoint that a scheme is for.
func Endpoint(scheme webhook.Scheme) string {
	if scheme == webhook.V1 {
		return webhook.StaticEndpoint
	}
	return webhook.DynamicEndpoint
}

// EventType returns the type that a body states, "-" if it states none.
func EventType(body []byte) string {
	if t := webhook.ParseEvent(body).Type; t != "" {
		return t
	}
	return "-"
}
