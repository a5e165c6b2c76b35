// Package delivery sends webhook deliveries to a receiver, as Gemini does. It finds
// the receiver's URL and keys, signs a delivery, posts it and returns the answer.
package delivery

import (
	"net/http"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// An Attempt is one attempt to deliver a message. Its fields may be changed until
// Request signs it.
type Attempt struct {
	webhooktest.Message
	Scheme webhook.Scheme
	URL    string
	Keys   *Keys // the target's keys; Sign uses the one for Scheme unless it is replaced
}

// Request signs the attempt and returns the request to send. It fails if Sign fails.
func (a *Attempt) Request() (*Request, error) {
	header, err := a.Header()
	if err != nil {
		return nil, err
	}
	return &Request{Method: http.MethodPost, URL: a.URL, Header: header, Body: a.Body}, nil
}

// Endpoint returns the endpoint that accepts a scheme: webhook.StaticEndpoint or
// webhook.DynamicEndpoint.
func Endpoint(scheme webhook.Scheme) string {
	if scheme == webhook.V1 {
		return webhook.StaticEndpoint
	}
	return webhook.DynamicEndpoint
}

// EventType returns the event type in a body, or "-" if the body has no type.
func EventType(body []byte) string {
	if t := webhook.ParseEvent(body).Type; t != "" {
		return t
	}
	return "-"
}
