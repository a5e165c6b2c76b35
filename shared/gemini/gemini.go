// Package gemini makes the few calls of the Gemini API that a function makes: it reads
// the project's webhooks and jobs, and enables a webhook.
//
// It is not the SDK. A deployed function needs a client that sends its API key to one
// host only, follows no redirect, takes nothing from the environment, retries nothing,
// bounds each answer, and reports why a batch failed. The SDK does none of these.
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

// DefaultURL is where the Gemini API is.
const DefaultURL = "https://generativelanguage.googleapis.com"

const (
	// MaxBody bounds an answer, in bytes. A page of 100 batches takes about 50 kB if the
	// API heeds the parameter fields, and less than 1 MB otherwise. An interaction may
	// carry its results.
	MaxBody = 16 << 20

	// callTimeout bounds one call, from the connection to the last byte of the answer.
	callTimeout = 15 * time.Second

	// maxKey bounds an API key, in bytes. Google's have 39 characters.
	maxKey = 512

	// maxMessage bounds, in bytes, what an error repeats of the API's own message.
	maxMessage = 200

	// maxError bounds how much of an error's body is read.
	maxError = 64 << 10
)

// ErrTooLarge means that an answer has more than MaxBody bytes.
var ErrTooLarge = errors.New("answer too large")

// A StatusError is an answer that is not 200.
type StatusError struct {
	Status  int    // the HTTP status
	Code    string // "NOT_FOUND" or "not_found", by the part of the API that answered; may be empty
	Message string // the API's own words, at most 200 bytes; may be empty
}

// Error returns one line.
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

// Status returns the HTTP status that err reports, or 0 if the API did not answer.
func Status(err error) int {
	if e := (*StatusError)(nil); errors.As(err, &e) {
		return e.Status
	}
	return 0
}

// ParseURL returns the URL of the API: DefaultURL if text is empty. It fails for every
// other host, unless it is on a loopback address, since the API key is sent there.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(strings.TrimSuffix(cmp.Or(text, DefaultURL), "/"))
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Path != "" || u.RawQuery != "" || u.Fragment != "":
		return nil, errors.New("not SCHEME://HOST")
	case u.String() == DefaultURL:
		return u, nil
	case !loopback.Is(u.Hostname()) || u.Scheme != "https" && u.Scheme != "http":
		return nil, fmt.Errorf("neither %s nor a loopback address", DefaultURL)
	}
	return u, nil
}

// ParseKey returns the API key that a secret's value is, without the space around it.
// Its error does not repeat the value.
func ParseKey(value []byte) (string, error) {
	key := string(bytes.TrimSpace(value))
	if key == "" || len(key) > maxKey {
		return "", fmt.Errorf("an API key has 1 to %d characters", maxKey)
	}
	for _, c := range key {
		if c <= ' ' || c > '~' {
			return "", errors.New("an API key is printable ASCII without spaces")
		}
	}
	return key, nil
}

// Keys holds the API keys in force, the newest first.
type Keys interface {
	Find(ctx context.Context, match func(key string) bool) (bool, error)
}

// A Client calls the API with the newest key. Make one with [Open]. It is safe for
// concurrent use.
//
// A call fails with a *StatusError if the answer is not 200, with ErrTooLarge if it has
// more than MaxBody bytes, and with another error if there is none within 15 seconds or
// it is not JSON. It is made once. No error contains the key.
type Client struct {
	base  string
	keys  Keys
	http  *http.Client
	whole atomic.Bool // fields was refused: ask for whole answers
	calls atomic.Int64
}

// Open returns a client of the API at base, which must come from ParseURL. Nothing is
// connected yet. transport carries the calls; nil means a transport of its own, without
// a proxy.
func Open(base *url.URL, keys Keys, transport http.RoundTripper) *Client {
	if transport == nil {
		// A connection is used for one pass: between two of them a NAT or a firewall may
		// forget it.
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
			// Go would send the key's header to the redirect's host.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		},
	}
}

// Calls returns how many calls were made so far.
func (c *Client) Calls() int64 { return c.calls.Load() }

// CloseIdle closes the connections that no call uses.
func (c *Client) CloseIdle() { c.http.CloseIdleConnections() }

// revision is the revision of the interactions API whose words this package knows.
const revision = "2026-05-20"

// call makes one call and decodes its answer. path is below /v1beta/, and already
// escaped. A nil in sends no body.
func (c *Client) call(ctx context.Context, method, path string, query url.Values, in, out any) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var key string
	if ok, err := c.keys.Find(ctx, func(k string) bool { key = k; return true }); !ok {
		return fmt.Errorf("api key: %w", cmp.Or(err, errors.New("there is none")))
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
		return fmt.Errorf("answer of %d bytes: not the JSON that was expected", len(body))
	}
	return nil
}

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
		return nil, fmt.Errorf("%s %s: not a request", method, path)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	req.Header.Set("Api-Revision", revision)
	req.Header.Set("User-Agent", "geminihook")
	return req, nil
}

// redacted returns err if it does not contain the key, which no error of the standard
// library does as far as we know.
func redacted(err error, key string) error {
	if strings.Contains(err.Error(), key) {
		return errors.New("the call failed, with an error that contains the API key")
	}
	return err
}

// statusError reads the two forms of the API's errors: {"error":{"code":404,"message":…,
// "status":"NOT_FOUND"}}, and {"error":{"code":"not_found","message":…}}.
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

// shortened returns the beginning of a text, on one line, without the key.
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
