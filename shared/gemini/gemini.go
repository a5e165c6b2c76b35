// Package gemini is a client for the few Gemini API calls that a deployed function
// makes. It reads the project's webhooks and jobs, and enables a webhook.
//
// It does not use the Gemini SDK. A deployed function needs a client that sends its API
// key to one host only, follows no redirects, ignores the environment, bounds the size
// of each answer, and reports the reason why a batch failed. The SDK does none of
// these.
package gemini

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"
	"unicode/utf8"

	"github.com/geminihook/geminihook/shared/loopback"
)

// DefaultURL is the URL of the Gemini API.
const DefaultURL = "https://generativelanguage.googleapis.com"

const (
	// MaxBody is the maximum size of an answer, in bytes. A page of 100 batches takes
	// about 50 kB if the API honours the query parameter "fields" (see Client.Batches).
	// If the API does not, a page without the results of inline batches takes less than
	// 1 MB. It is unknown whether the list then contains these results. If it does,
	// Batches may fail with ErrTooLarge. The answer of Client.Interaction may contain
	// the interaction's results, so it may fail with ErrTooLarge too.
	MaxBody = 16 << 20

	// callTimeout is the timeout of one call, from the lookup of the API key to the
	// last byte of the answer. It leaves time for other calls in the same pass.
	callTimeout = 15 * time.Second

	// maxKey is the maximum length of an API key, in bytes. Google's have 39.
	maxKey = 512

	// maxMessage is the maximum length of the API's code and message in an error, in
	// bytes each. It keeps log lines short.
	maxMessage = 200

	// maxError is the number of bytes that are read of an answer that is not 200. If
	// the body is longer, its code and message are lost.
	maxError = 64 << 10
)

// ErrTooLarge means that an answer has more than MaxBody bytes.
var ErrTooLarge = errors.New("answer too large")

// A StatusError means that the API answered with an HTTP status other than 200.
type StatusError struct {
	Status  int    // HTTP status
	Code    string // "NOT_FOUND" or "not_found", depending on the part of the API; may be empty
	Message string // the API's message, at most 200 bytes on one line; may be empty
}

// Error returns the status, the code and the message on one line.
func (e *StatusError) Error() string {
	text := fmt.Sprintf("answered %d", e.Status)
	if e.Code != "" {
		text += " " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Status returns the HTTP status of the StatusError in err's chain, or 0 if the chain
// has no StatusError.
func Status(err error) int {
	if e := (*StatusError)(nil); errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// ParseURL parses the setting of the API's URL. If text is empty it returns
// DefaultURL. A slash at the end is ignored. ParseURL fails unless text is DefaultURL
// or an http or https URL of a loopback address: the API key must not reach another
// host. It also fails if the URL has a path, a query, a fragment or a user.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(cmp.Or(text, DefaultURL), "/"))
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("not a URL of the form SCHEME://HOST")
	case u.String() == DefaultURL:
		return u, nil
	case !loopback.Is(u.Hostname()) || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("neither %s nor a loopback address", DefaultURL)
	}
	return u, nil
}

// ParseKey returns the API key in the value of a secret, with white space around it
// removed. It fails unless the key is 1 to 512 printable ASCII characters without
// spaces. The error does not contain the value.
func ParseKey(value []byte) (string, error) {
	key := string(bytes.TrimSpace(value))
	if key == "" || len(key) > maxKey {
		return "", fmt.Errorf("api key must have 1 to %d characters", maxKey)
	}
	for _, c := range key {
		if c <= ' ' || c > '~' {
			return "", errors.New("api key must be printable ASCII without spaces")
		}
	}
	return key, nil
}

// Keys holds the enabled API keys, the newest first. The *refresh.Cache that
// secret.Open returns, with ParseKey as its parse function, implements it. It leaves
// out a version that ParseKey rejects.
type Keys interface {
	// Find calls match with each key until match returns true, and returns true if it
	// did. An error means that the keys could not be read.
	Find(ctx context.Context, match func(key string) bool) (bool, error)
}

// A Client calls the API with the first of its Keys, and does not try another if the
// API rejects that one. With a cache of secret.Open, the old key may be used until five
// minutes after Secret Manager lists a new one, which may itself take minutes, or for
// up to an hour if Secret Manager is unavailable. Do not revoke the old key during this
// time. Create one with [Open].
//
// The client repeats no request, except that Batches calls a second time after a 400.
// Each HTTP request has 15 seconds, which include finding the key and reading the
// answer; Webhooks may make several. A call fails with
//   - a *StatusError if the API answers with a status other than 200,
//   - ErrTooLarge if the answer has more than MaxBody bytes,
//   - another error if there is no answer in time, if the answer is not the expected
//     JSON, or if there is no key.
//
// No error contains the key. A Client is safe for concurrent use.
type Client struct {
	base  string
	keys  Keys
	http  *http.Client
	whole atomic.Bool // the API rejected the parameter fields: do not send it
	calls atomic.Int64
}

// Open returns a client of the API at base, which must come from ParseURL. It opens no
// connection yet. If transport is nil, the client uses a transport of its own, which
// ignores the proxy settings of the environment.
func Open(base *url.URL, keys Keys, transport http.RoundTripper) *Client {
	if transport == nil {
		// Connections are reused within a pass only. Between two passes a NAT or a
		// firewall may drop an idle connection without notice.
		transport = &http.Transport{
			TLSHandshakeTimeout: callTimeout,
			IdleConnTimeout:     30 * time.Second,
			MaxIdleConnsPerHost: 16,
			ForceAttemptHTTP2:   true,
		}
	}
	return &Client{
		base: base.String(),
		keys: keys,
		http: &http.Client{
			Transport: transport,
			// On a redirect, Go would send the header with the key to the new host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Calls returns the number of HTTP requests that the client has made since Open.
func (c *Client) Calls() int64 { return c.calls.Load() }

// CloseIdle closes the connections that are not in use. The client remains usable.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// revision is the version of the interactions API to which the types of this package
// correspond. It is sent in the header Api-Revision, as the SDK does.
const revision = "2026-05-20"

// call makes one call and decodes the answer into out. The path is relative to /v1beta/
// and must be escaped. If in is nil the call has no body.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var key string
	if ok, err := c.keys.Find(ctx, func(k string) bool { key = k; return true }); !ok {
		return fmt.Errorf("api key: %w", cmp.Or(err, errors.New("no key is enabled")))
	}
	req, err := c.request(ctx, method, path, query, in)
	if err != nil {
		return err
	}
	req.Header.Set("X-Goog-Api-Key", key)
	c.calls.Add(1)
	resp, err := c.http.Do(req)
	if err != nil {
		return redacted(err, key)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return statusError(resp, key)
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, resp.Body, MaxBody))
	switch {
	case errors.As(err, new(*http.MaxBytesError)):
		return fmt.Errorf("%w: more than %d bytes", ErrTooLarge, MaxBody)
	case err != nil:
		return redacted(err, key)
	}
	if err := json.Unmarshal(body, out); err != nil {
		return fmt.Errorf("answer of %d bytes: not the expected JSON", len(body))
	}
	return nil
}

// request returns the request of a call, without the API key.
func (c *Client) request(ctx context.Context, method, path string, query url.Values, in any) (*http.Request, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	target := c.base + "/v1beta/" + path
	if len(query) > 0 {
		target += "?" + query.Encode()
	}
	req, err := http.NewRequestWithContext(ctx, method, target, body)
	if err != nil {
		return nil, fmt.Errorf("%s %s: invalid URL", method, path)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Api-Revision", revision)
	req.Header.Set("User-Agent", "geminihook")
	return req, nil
}

// redacted returns err, or another error if the text of err contains the key. No error
// of net/http is known to contain a header; redacted makes sure of it.
func redacted(err error, key string) error {
	if strings.Contains(err.Error(), key) {
		return errors.New("call failed, and its error is hidden because it contains the API key")
	}
	return err
}

// statusError returns the StatusError for an answer. The API has two forms of errors:
//
//	{"error":{"code":404,"message":"…","status":"NOT_FOUND"}}
//	{"error":{"code":"not_found","message":"…"}}
//
// If the body has neither form, the error has the status only.
func statusError(resp *http.Response, key string) error {
	e := &StatusError{Status: resp.StatusCode}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, maxError))
	var answer struct {
		Error struct {
			Code    any    `json:"code"`
			Message string `json:"message"`
			Status  string `json:"status"`
		} `json:"error"`
	}
	if json.Unmarshal(body, &answer) != nil {
		return e
	}
	code, _ := answer.Error.Code.(string)
	e.Code = shortened(cmp.Or(answer.Error.Status, code), key)
	e.Message = shortened(answer.Error.Message, key)
	return e
}

// shortened returns the first maxMessage bytes of text, on one line, with the key
// replaced.
func shortened(text, key string) string {
	text = strings.Join(strings.Fields(strings.ReplaceAll(text, key, "[key]")), " ")
	if len(text) > maxMessage {
		text = text[:maxMessage]
		for !utf8.ValidString(text) && text != "" {
			text = text[:len(text)-1]
		}
	}
	return strings.ToValidUTF8(text, "?")
}
