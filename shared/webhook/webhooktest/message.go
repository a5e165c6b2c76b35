package webhooktest

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// maxAnswer is the maximum number of bytes read from a response body. Responses to
// deliveries are empty or a few words.
const maxAnswer = 64 << 10

// A Signer returns the webhook-signature of a delivery. It signs the arguments as
// given, even if a receiver would reject them. It is safe for concurrent use.
type Signer func(id, timestamp string, body []byte) (signature string, err error)

// SignV1 returns a signer of scheme v1. It makes one entry for each secret, as Gemini
// does during a rotation. SignV1 panics if a secret cannot be parsed.
func SignV1(secrets ...string) Signer {
	keys := make([]webhook.SigningKey, len(secrets))
	for i, secret := range secrets {
		key, err := webhook.ParseSigningKey([]byte(secret))
		if err != nil {
			panic(err)
		}
		keys[i] = key
	}
	return func(id, timestamp string, body []byte) (string, error) {
		entries := make([]string, len(keys))
		for i, key := range keys {
			entries[i] = webhook.SignV1(key, id, timestamp, body)
		}
		return strings.Join(entries, " "), nil
	}
}

// SignV1a returns a signer of scheme v1a.
func SignV1a(key ed25519.PrivateKey) Signer {
	return func(id, timestamp string, body []byte) (string, error) {
		return webhook.SignV1a(key, id, timestamp, body), nil
	}
}

// SignJWT returns a signer that makes a JWT with the claims of [JWTClaims], after
// calling changes on them in order. If kid is empty, the JWT has none.
func SignJWT(key crypto.Signer, kid, audience string, changes ...func(claims map[string]any)) Signer {
	return func(_, timestamp string, body []byte) (string, error) {
		claims := JWTClaims(audience, timestamp, body)
		for _, change := range changes {
			change(claims)
		}
		return webhook.SignJWT(key, kid, claims)
	}
}

// JWTClaims returns [Claims] for any timestamp and body. If the timestamp is not in
// Unix seconds, it uses the current time. If body is not a JSON object, the claims
// carry no event.
func JWTClaims(audience, timestamp string, body []byte) map[string]any {
	at := time.Now()
	if seconds, err := strconv.ParseInt(timestamp, 10, 64); err == nil {
		at = time.Unix(seconds, 0)
	}
	if !IsObject(body) {
		body = []byte("{}")
	}
	return Claims(audience, at, body)
}

// A Message is a delivery to be sent. Its fields may be changed before it is signed.
type Message struct {
	ID        string // the webhook-id header
	Timestamp string // the webhook-timestamp header: Unix seconds
	Body      []byte // the request body
	Sign      Signer // makes the webhook-signature header
}

// NewMessage returns a message with a new id, the current time and a new event.
func NewMessage(eventType string, sign Signer) *Message {
	return &Message{ID: NewID(), Timestamp: Timestamp(time.Now()), Body: NewEvent(eventType), Sign: sign}
}

// Header signs the message and returns the headers of its delivery. It fails only if
// Sign does.
func (m *Message) Header() (http.Header, error) {
	signature, err := m.Sign(m.ID, m.Timestamp, m.Body)
	if err != nil {
		return nil, err
	}
	return header(m.ID, m.Timestamp, signature), nil
}

// Request signs the message and returns the request that delivers it. The error does
// not contain the URL, which may contain a URL token.
func (m *Message) Request(ctx context.Context, url string) (*http.Request, error) {
	header, err := m.Header()
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(m.Body))
	if err != nil {
		return nil, errors.New("the receiver's address is not a URL") // err contains the URL
	}
	req.Header = header
	return req, nil
}

// Post signs the message and delivers it once, without retries. It reads and closes
// the response body, so the response has only its status and headers. The error does
// not contain the URL, which may contain a URL token.
func (m *Message) Post(ctx context.Context, client *http.Client, url string) (*http.Response, error) {
	req, err := m.Request(ctx, url)
	if err != nil {
		return nil, err
	}
	return Do(client, req)
}

// Do sends a request like [Message.Post]: the response has only its status and headers,
// and the error does not contain the URL.
func Do(client *http.Client, req *http.Request) (*http.Response, error) {
	resp, err := client.Do(req)
	var at *url.Error
	if errors.As(err, &at) {
		return nil, at.Err
	}
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // so that the connection can be reused
	return resp, nil
}
