// Package delivery is the sender's side of one delivery: where it goes, what it is
// signed with, and the answer to it.
package delivery

import (
	"net/http"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// An Attempt is one attempt at a delivery, before it is signed.
type Attempt struct {
	Scheme webhook.Scheme
	URL    string
	Keys   *Keys

	ID        string
	Timestamp string
	Body      []byte
	Claims    func(map[string]any)             // changes those of a JWT; may be nil
	Sign      func(a *Attempt) (string, error) // of its scheme, unless changed
}

// Request signs the attempt.
func (a *Attempt) Request() (*Request, error) {
	m := webhooktest.Message{ID: a.ID, Timestamp: a.Timestamp, Body: a.Body}
	m.Sign = func(string, string, []byte) (string, error) { return a.Sign(a) }
	header, err := m.Header()
	if err != nil {
		return nil, err
	}
	return &Request{Method: http.MethodPost, URL: a.URL, Header: header, Body: a.Body}, nil
}

// SignV1 signs as the sender of a static webhook does.
func SignV1(a *Attempt) (string, error) {
	return webhook.SignV1(a.Keys.Secret, a.ID, a.Timestamp, a.Body), nil
}

// SignV1a signs as Gemini signs the webhook of a single request.
func SignV1a(a *Attempt) (string, error) {
	return webhook.SignV1a(a.Keys.Ed25519, a.ID, a.Timestamp, a.Body), nil
}

// SignJWT signs as the documentation describes the webhook of a single request.
func SignJWT(a *Attempt) (string, error) {
	return webhook.SignJWT(a.Keys.JWT, a.Keys.JWTKeyID, a.JWTClaims())
}

// JWTClaims returns claims that carry the body's event. A body that is no event
// has none to carry.
func (a *Attempt) JWTClaims() map[string]any {
	event := a.Body
	if !webhooktest.IsObject(event) {
		event = []byte("{}")
	}
	claims := webhooktest.Claims(a.Keys.Audience, time.Now(), event)
	if a.Claims != nil {
		a.Claims(claims)
	}
	return claims
}

// signer returns how a scheme signs.
func signer(scheme webhook.Scheme) func(*Attempt) (string, error) {
	switch scheme {
	case webhook.V1a:
		return SignV1a
	case webhook.JWT:
		return SignJWT
	}
	return SignV1
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
