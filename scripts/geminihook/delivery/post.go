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

// answerTimeout bounds one request, from dial to answer. Standard Webhooks recommends
// that senders wait 15 to 30 seconds.
const answerTimeout = 30 * time.Second

// A Request is an HTTP request to send. It need not match its signature.
type Request struct {
	Method  string
	URL     string
	Header  http.Header
	Body    []byte
	Chunked bool // use chunked transfer encoding instead of Content-Length
	Cut     bool // send half of the body, then close the sending side
}

// An Answer is the receiver's response, or the error that prevented one.
type Answer struct {
	Status  int           // 0 if Err is set
	Header  http.Header   // nil if Err is set
	Latency time.Duration // until the answer is read; 0 if Err is set
	Err     error
}

// OK reports whether the delivery was accepted.
func (a Answer) OK() bool { return a.Err == nil && a.Status/100 == 2 }

// RetryAfter returns the delay in the Retry-After header. It is 0 if the header is
// missing or malformed, and negative if the header has a time in the past.
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

// NewClient returns a client that keeps up to n idle connections. It does not follow
// redirects, because Gemini counts a redirect as a failed delivery.
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

// Post sends a request and returns the answer. It waits at most 30 seconds. The
// answer's error does not contain the URL, because the URL may contain a token.
func Post(ctx context.Context, client *http.Client, r *Request) Answer {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	var body io.Reader = bytes.NewReader(r.Body)
	if r.Chunked {
		body = struct{ io.Reader }{body} // hides the length from net/http
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, r.URL, body)
	if err != nil {
		return Answer{Err: errors.New("the receiver's address is not a URL")} // err contains the URL
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

// doCut sends the headers and half of the body, closes the sending side of the
// connection, and waits for the answer. net/http's client cannot do that.
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
	resp.Body = http.NoBody // the connection is closed on return
	return resp, nil
}

// dial connects to a URL's host. Its connections have CloseWrite, which net.Conn lacks.
func dial(ctx context.Context, u *url.URL) (net.Conn, error) {
	host := u.Host
	if u.Port() == "" {
		host = net.JoinHostPort(u.Hostname(), u.Scheme) // "http" and "https" are port names
	}
	if u.Scheme == "https" {
		return new(tls.Dialer).DialContext(ctx, "tcp", host)
	}
	return new(net.Dialer).DialContext(ctx, "tcp", host)
}
