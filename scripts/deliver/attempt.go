package main

import (
	"encoding/json"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// An attempt is one attempt at a delivery, before it is signed.
type attempt struct {
	scheme webhook.Scheme
	url    string
	keys   *keys

	id        string
	timestamp string
	body      []byte
	claims    func(map[string]any)             // changes those of a token; may be nil
	sign      func(a *attempt) (string, error) // of its scheme, unless changed
}

// request signs the attempt.
func (a *attempt) request() (*request, error) {
	signature, err := a.sign(a)
	if err != nil {
		return nil, err
	}
	header := webhooktest.Header(a.id, time.Time{}, signature)
	header.Set("Webhook-Timestamp", a.timestamp)
	return &request{method: "POST", url: a.url, header: header, body: a.body}, nil
}

func signV1(a *attempt) (string, error) {
	return webhook.SignV1(a.keys.secret, a.id, a.timestamp, a.body), nil
}

func signV1a(a *attempt) (string, error) {
	return webhook.SignV1a(a.keys.ed25519, a.id, a.timestamp, a.body), nil
}

func signJWT(a *attempt) (string, error) {
	return webhook.SignJWT(a.keys.token, a.keys.tokenID, a.tokenClaims())
}

// tokenClaims returns claims that carry the body's event. A body that is no event
// has none to carry.
func (a *attempt) tokenClaims() map[string]any {
	event := a.body
	if !isObject(event) {
		event = []byte("{}")
	}
	claims := webhooktest.Claims(a.keys.audience, time.Now(), event)
	if a.claims != nil {
		a.claims(claims)
	}
	return claims
}

// signIn returns how a scheme signs.
func signIn(scheme webhook.Scheme) func(*attempt) (string, error) {
	switch scheme {
	case webhook.V1a:
		return signV1a
	case webhook.JWT:
		return signJWT
	}
	return signV1
}

// endpoint is the kind of endpoint that a scheme is for.
func endpoint(scheme webhook.Scheme) string {
	if scheme == webhook.V1 {
		return webhook.StaticEndpoint
	}
	return webhook.DynamicEndpoint
}

// eventType is what a body says it is, "-" where it says nothing.
func eventType(body []byte) string {
	if t := webhook.ParseEvent(body).Type; t != "" {
		return t
	}
	return "-"
}

func isObject(body []byte) bool {
	var object map[string]json.RawMessage
	return json.Unmarshal(body, &object) == nil && object != nil
}
