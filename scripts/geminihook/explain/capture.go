package explain

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"github.com/geminihook/geminihook/scripts/internal/reverify"
)

// maxCapture bounds a capture, in bytes. A body of 1 MiB, the functions' limit, is up
// to four times as long in a dump.
const maxCapture = 8 << 20

// A Capture is a recorded request.
type Capture struct {
	At     time.Time // time of arrival; zero means now
	Method string    // empty if the capture has no request line
	URL    string    // empty if the capture has no request line
	Header http.Header
	Body   []byte

	// Answer is the receiver's answer on arrival. If it is nil, Explain runs the
	// receiver.
	Answer *reverify.Answer

	arrived time.Time // the capture's time of arrival; zero if it is unknown
	parsed  any       // the body's value, if the capture does not have its bytes; Body encodes it
	note    string    // how Body was decoded; empty if it was not
	short   string    // how Body differs from its Content-Length; empty if it does not
	cut     string    // how the chunked encoding is incomplete; empty if it is not
}

var (
	// A log's prefix is allowed before the request line.
	requestLine = regexp.MustCompile(`^(?:.* )?([A-Z]+) (\S+) HTTP/[0-9.]+$|^([A-Z]+) ([/h]\S*)$`)
	headerLine  = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+[ \t]*:")
	curlLine    = regexp.MustCompile(`(?m)^> [A-Z]+ \S+ HTTP/`)
)

// Read reads a captured request in one of these forms:
//
//   - raw HTTP with CRLF or LF line ends, with or without a request line;
//   - the output of curl -v;
//   - a framework's request, printed as JSON, by Python's repr or by JavaScript's
//     console.log, alone or inside a log entry or an export.
//
// The text is in UTF-8, or in UTF-16 as PowerShell writes it. It must not exceed 8 MiB.
// The error states the form that was recognised and the position at which reading
// stopped. It contains no value of the capture.
func Read(r io.Reader) (*Capture, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxCapture+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxCapture:
		return nil, fmt.Errorf("the capture is longer than %d MiB", maxCapture>>20)
	}
	return read(utf8Of(text), 0)
}

// read reads a text in UTF-8. depth is the number of texts that contain it.
func read(text []byte, depth int) (*Capture, error) {
	text = bytes.TrimLeft(text, "\r\n")
	head, _, _ := bytes.Cut(text, []byte("\n"))
	first := strings.TrimRight(string(head), "\r")
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("no headers: the capture is empty")
	case curlLine.Match(text):
		return readCurl(text)
	case requestLine.MatchString(first), headerLine.MatchString(first) && !labelled.MatchString(first):
		return readHTTP(text)
	}
	return readDump(text, depth)
}

// utf8Of returns a text in UTF-8 without a byte order mark. UTF-16 is recognised by its
// byte order mark, or by zeros in every other byte of the first four.
func utf8Of(text []byte) []byte {
	var order binary.ByteOrder
	switch {
	case bytes.HasPrefix(text, []byte("\xff\xfe")), len(text) > 3 && text[1] == 0 && text[3] == 0:
		order = binary.LittleEndian
	case bytes.HasPrefix(text, []byte("\xfe\xff")), len(text) > 3 && text[0] == 0 && text[2] == 0:
		order = binary.BigEndian
	default:
		return bytes.TrimPrefix(text, []byte("\ufeff"))
	}
	units := make([]uint16, len(text)/2)
	for i := range units {
		units[i] = order.Uint16(text[2*i:])
	}
	return []byte(strings.TrimPrefix(string(utf16.Decode(units)), "\ufeff"))
}

// readCurl reads the output of curl -v. The request's headers begin with ">". curl does
// not print the body; the user may insert it between these lines and the answer.
func readCurl(text []byte) (*Capture, error) {
	text = text[curlLine.FindIndex(text)[0]:]
	var sent, body []byte
	ended := false
lines:
	for line := range bytes.Lines(text) {
		switch header, ok := bytes.CutPrefix(line, []byte(">")); {
		case ok && !ended:
			header = bytes.TrimPrefix(header, []byte(" "))
			sent = append(sent, header...)
			ended = len(bytes.TrimSpace(header)) == 0
		case !ended, line[0] == '*', bytes.HasPrefix(line, []byte("} [")), bytes.HasPrefix(line, []byte("{ [")): // curl's notes
		case line[0] == '<':
			break lines
		default:
			body = append(body, line...)
		}
	}
	c, err := readHTTP(append(sent, body...))
	if err == nil && len(c.Body) == 0 {
		c.short = "none, because curl -v does not print it: insert the file that was sent after the lines that begin with >"
	}
	return c, err
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
			c.Method, c.URL = start[1]+start[3], start[2]+start[4]
		case !colon || strings.ContainsAny(name, " \t"):
			return nil, fmt.Errorf("read as raw HTTP, %s: line %d is neither a header nor the empty line before the body", c.recognised(), n)
		default:
			c.Header.Add(name, strings.Trim(value, " \t")) // HTTP removes no other white space either
		}
		if !more {
			return c, c.settle()
		}
	}
}

// recognised describes the part of the capture that was read.
func (c *Capture) recognised() string {
	var parts []string
	if c.Method != "" {
		parts = append(parts, "with a request line")
	}
	switch n := len(c.Header); n {
	case 0:
		parts = append(parts, "without a header")
	case 1:
		parts = append(parts, "with one header")
	default:
		parts = append(parts, fmt.Sprintf("with %d headers", n))
	}
	return strings.Join(parts, " and ")
}

// settle decodes a chunked body, and removes a line end after the body that belongs to
// the file. It fails if there are no headers.
func (c *Capture) settle() error {
	if len(c.Header) == 0 {
		return fmt.Errorf("read as raw HTTP, %s: no headers: the headers must come first, then an empty line, then the body", c.recognised())
	}
	if strings.EqualFold(c.Header.Get("Transfer-Encoding"), "chunked") {
		switch body, cut, ok := dechunk(c.Body); {
		case ok && cut == "":
			c.Body, c.note = body, "decoded from chunks"
		case ok:
			c.Body, c.cut = body, cut
		}
		return nil
	}
	c.measure()
	return nil
}

// measure compares the body with its Content-Length.
func (c *Capture) measure() {
	length, err := strconv.Atoi(c.Header.Get("Content-Length"))
	switch n := len(c.Body); {
	case err != nil || length == n || length < 0:
	case length < n && len(bytes.Trim(c.Body[length:], "\r\n")) == 0:
		c.Body, c.note = c.Body[:length], "without the line end beyond its Content-Length"
	default:
		c.short = fmt.Sprintf("%d bytes, but its Content-Length is %d", n, length)
	}
}

// length returns the body's length for the receiver. It is the Content-Length only if
// that exceeds most. A smaller Content-Length that differs from the body shows that the
// capture is incomplete, which the receiver did not see.
func (c *Capture) length(most int64) int64 {
	if n, err := strconv.ParseInt(c.Header.Get("Content-Length"), 10, 64); err == nil && n > most {
		return n
	}
	return int64(len(c.Body))
}

var chunkSize = regexp.MustCompile(`^([0-9a-fA-F]{1,7})[ \t]*(?:;[^\r\n]*)?\r?\n`)

// dechunk decodes a chunked body (RFC 9112, section 7.1), also with LF line ends. cut
// describes how the encoding is incomplete; it is empty if the encoding is complete. ok
// is false if the text is not chunked.
func dechunk(text []byte) (body []byte, cut string, ok bool) {
	for n := 1; ; n++ {
		size := chunkSize.FindSubmatch(text)
		switch {
		case size == nil && n == 1:
			return nil, "", false
		case size == nil:
			return body, fmt.Sprintf("no chunk follows chunk %d, so the last one of size 0 is missing", n-1), true
		}
		length, _ := strconv.ParseInt(string(size[1]), 16, 64)
		text = text[len(size[0]):]
		switch have := int64(len(text)); {
		case length == 0:
			return body, "", true
		case have < length:
			return append(body, text...), fmt.Sprintf("chunk %d has %d of %d bytes", n, have, length), true
		}
		body = append(body, text[:length]...)
		text = bytes.TrimPrefix(bytes.TrimPrefix(text[length:], []byte("\r")), []byte("\n"))
	}
}

// where returns the method and the path, and whether the URL has a token. The query is
// left out, because it contains the token.
func (c *Capture) where() (text string, token bool) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return c.Method, false
	}
	return strings.TrimSpace(c.Method + " " + u.Path), u.Query().Get("token") != ""
}
