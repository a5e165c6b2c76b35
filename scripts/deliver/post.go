package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	// answerTimeout bounds the wait for an answer: Standard Webhooks has senders
	// wait 15 to 30 seconds.
	answerTimeout = 30 * time.Second

	// maxAnswer bounds, in bytes, what is read of an answer, which says nothing.
	maxAnswer = 64 << 10
)

// A request is what is sent, whether or not it fits what was signed.
type request struct {
	method  string
	url     string
	header  http.Header
	body    []byte
	chunked bool // its length is not told beforehand
	cut     bool // half of the body is sent, and no more
}

// An answer is what came back: a status, or the error that kept it from coming.
type answer struct {
	status  int
	header  http.Header
	latency time.Duration
	err     error
}

func (a answer) ok() bool { return a.err == nil && a.status/100 == 2 }

// retryAfter is how long the receiver asks to be left alone.
func (a answer) retryAfter() time.Duration {
	text := a.header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return time.Until(at)
	}
	return 0
}

// newClient returns a client for up to n requests at a time. It follows no
// redirect: to the sender, one is a failure.
func newClient(n int) *http.Client {
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

// post sends a request and takes the answer.
func post(ctx context.Context, client *http.Client, r *request) answer {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var body io.Reader = bytes.NewReader(r.body)
	if r.chunked {
		body = struct{ io.Reader }{body} // net/http cannot see its length
	}
	req, err := http.NewRequestWithContext(ctx, r.method, r.url, body)
	if err != nil {
		return answer{err: err}
	}
	req.Header = r.header.Clone()
	req.Header.Set("User-Agent", "geminihook-deliver")

	do := client.Do
	if r.cut {
		do = doCut
	}
	start := time.Now()
	resp, err := do(req)
	if err != nil {
		return answer{err: err}
	}
	defer resp.Body.Close()
	latency := time.Since(start)
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer) // so that the connection is used again
	return answer{status: resp.StatusCode, header: resp.Header, latency: latency}
}

// doCut sends the headers and half of the body, says that no more will come, and
// waits for the answer all the same. net/http would not.
func doCut(req *http.Request) (*http.Response, error) {
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
