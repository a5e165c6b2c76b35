package delivery

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// answerTimeout bounds the wait for an answer: Standard Webhooks has senders wait 15
// to 30 seconds.
const answerTimeout = 30 * time.Second

// A Request is what is sent, whether or not it fits what was signed.
type Request struct {
	Method  string
	URL     string
	Header  http.Header
	Body    []byte
	Chunked bool // its length is not told beforehand
	Cut     bool // half of the body is sent, and no more
}

// An Answer is what came back: a status, or the error that kept it from coming.
type Answer struct {
	Status  int // 0 if there is an Err
	Header  http.Header
	Latency time.Duration
	Err     error
}

// OK reports whether the delivery was accepted.
func (a Answer) OK() bool { return a.Err == nil && a.Status/100 == 2 }

// RetryAfter returns how long the receiver asks to be left alone, 0 if it does not.
func (a Answer) RetryAfter() time.Duration {
	text := a.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}

// NewClient returns a client for up to n requests at a time. It follows no
// redirect: to the sender, one is a failure.
func NewClient(n int) *http.Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = n, n
	transport.DisableCompression = true
	return &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// Post sends a request and returns the answer. Its error does not hold the URL, which
// may hold a token.
func Post(ctx context.Context, client *http.Client, r *Request) Answer {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var body io.Reader = bytes.NewReader(r.Body)
	if r.Chunked {
		body = struct{ io.Reader }{body} // net/http cannot see its length
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return Answer{Err: errors.New("the receiver's address is not a URL")} // the error has the URL
	}
	req.Header = r.Header.Clone()
	req.Header.Set("User-Agent", "geminihook-send")

	do := webhooktest.Do
	if r.Cut {
		do = doCut
	}
	start := time.Now()
	resp, err := do(client, req)
	if err != nil {
		return Answer{Err: err}
	}
	return Answer{Status: resp.StatusCode, Header: resp.Header, Latency: time.Since(start)}
}

// doCut sends the headers and half of the body, says that no more will come, and
// waits for the answer all the same. net/http would not.
func doCut(_ *http.Client, req *http.Request) (*http.Response, error) {
	conn, err := dial(req.Context(), req.URL)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	if deadline, ok := req.Context().Deadline(); ok {
		_ = conn.SetDeadline(deadline)
	}
	var text bytes.Buffer
	if err := req.Write(&text); err != nil {
		return nil, err
	}
	if _, err := conn.Write(text.Bytes()[:text.Len()-int(req.ContentLength)/2]); err != nil {
		return nil, err
	}
	if err := conn.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
		return nil, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), req)
	if err != nil {
		return nil, fmt.Errorf("no answer: %w", err)
	}
	resp.Body = http.NoBody // the connection goes
	return resp, nil
}

// dial connects to a URL's host: both kinds of connection can be closed halfway.
func dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), u.Scheme) // a port's name will do
	}
	if u.Scheme == "https" {
		return new(tls.Dialer).DialContext(ctx, "tcp", host)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", host)
}
