package explain

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// maxCapture bounds a capture, in bytes: the functions take bodies up to 1 MiB.
const maxCapture = 8 << 20

// A Capture is a request as somebody wrote it down.
type Capture struct {
	At     time.Time // when it arrived; zero means now
	Method string    // empty if there is no request line
	URL    string
	Header http.Header
	Body   []byte

	note  string // what was done to get at the body
	short string // how the body differs from its Content-Length
}

var requestLine = regexp.MustCompile(`^([A-Z]+) (\S+)( HTTP/[0-9.]+)?$`)

// Read reads a request: raw HTTP, its lines ended by CRLF or LF and its request
// line there or not, or a JSON object with "headers" and "body" (and
// "isBase64Encoded"), as proxies write it down.
func Read(r io.Reader) (*Capture, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxCapture+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxCapture:
		return nil, fmt.Errorf("more than %d MiB", maxCapture>>20)
	}
	text = bytes.TrimLeft(bytes.TrimPrefix(text, []byte("\ufeff")), "\r\n")
	if bytes.HasPrefix(text, []byte("{")) {
		return readJSON(text)
	}
	return readHTTP(text)
}

func readHTTP(text []byte) (*Capture, error) {
	c := &Capture{Header: make(http.Header)}
	for n := 1; ; n++ {
		head, rest, more := bytes.Cut(text, []byte("\n"))
		text = rest
		line := strings.TrimRight(string(head), "\r")
		name, value, colon := strings.Cut(line, ":")
		switch start := requestLine.FindStringSubmatch(line); {
		case line == "":
			c.Body = text
			return c, c.settle()
		case n == 1 && start != nil:
			c.Method, c.URL = start[1], start[2]
		case !colon || strings.ContainsAny(name, " \t"):
			return nil, fmt.Errorf("line %d is neither a header nor the empty line before the body", n)
		default:
			c.Header.Add(strings.TrimSpace(name), strings.TrimSpace(value))
		}
		if !more {
			return c, c.settle()
		}
	}
}

func readJSON(text []byte) (*Capture, error) {
	var j struct {
		Method, URL     string
		Headers         map[string]any
		Body            string
		IsBase64Encoded bool
	}
	if err := json.Unmarshal(text, &j); err != nil || j.Headers == nil {
		return nil, errors.New(`neither raw HTTP, headers first, nor JSON with "headers" and "body"`)
	}
	c := &Capture{Method: j.Method, URL: j.URL, Header: make(http.Header), Body: []byte(j.Body)}
	for name, value := range j.Headers {
		values, several := value.([]any)
		if !several {
			values = []any{value}
		}
		for _, v := range values {
			c.Header.Add(name, fmt.Sprint(v))
		}
	}
	if body, err := base64.StdEncoding.DecodeString(j.Body); j.IsBase64Encoded && err == nil {
		c.Body = body
	}
	return c, c.settle()
}

// settle takes the body out of its chunks, and a line end that only the file has
// off its end.
func (c *Capture) settle() error {
	if len(c.Header) == 0 {
		return errors.New("no headers: a request's headers come first, then an empty line, then its body")
	}
	if strings.EqualFold(c.Header.Get("Transfer-Encoding"), "chunked") {
		if body, err := io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(c.Body))); err == nil {
			c.Body, c.note = body, "taken out of its chunks"
		}
		return nil
	}
	length, err := strconv.Atoi(c.Header.Get("Content-Length"))
	switch n := len(c.Body); {
	case err != nil || length == n || length < 0:
	case length < n && len(bytes.Trim(c.Body[length:], "\r\n")) == 0:
		c.Body, c.note = c.Body[:length], "without the line end after its Content-Length"
	default:
		c.short = fmt.Sprintf("%d bytes, but its Content-Length says %d", n, length)
	}
	return nil
}

// where is the method and the path. The query holds the URL token.
func (c *Capture) where() (text string, token bool) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return c.Method, false
	}
	return strings.TrimSpace(c.Method + " " + u.Path), u.Query().Get("token") != ""
}
