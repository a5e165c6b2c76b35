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

// maxCapture bounds a capture, in bytes: the functions take bodies up to 1 MiB.
const maxCapture = 8 << 20

// A Capture is a request as somebody wrote it down.
type Capture struct {
	At     time.Time // when it arrived; zero means now
	Method string    // empty if there is no request line
	URL    string
	Header http.Header
	Body   []byte

	// Answer is the receiver's at the time of At. If it is nil, the receiver is asked now.
	Answer *reverify.Answer

	arrived time.Time // according to the capture; zero if it does not say
	parsed  any       // the body as a parsed value, if the capture has no other; Body is a spelling of it
	note    string    // what was done to get at the body
	short   string    // how the body differs from its length
	cut     string    // how its chunk framing is cut
}

var (
	// A log's prefix may stand before the request line.
	requestLine = regexp.MustCompile(`^(?:.* )?([A-Z]+) (\S+) HTTP/[0-9.]+$|^([A-Z]+) ([/h]\S*)$`)
	headerLine  = regexp.MustCompile("^[0-9A-Za-z!#$%&'*+.^_`|~-]+[ \t]*:")
	curlLine    = regexp.MustCompile(`(?m)^> [A-Z]+ \S+ HTTP/`)
)

// Read reads a request:
//
//   - raw HTTP, its lines ended by CRLF or LF and its request line there or not;
//   - the output of curl -v;
//   - a framework's request as JSON, as Python's repr or as JavaScript's console.log, by
//     itself or inside a log entry or an export: see [readDump].
//
// The text may be in UTF-8 or, as PowerShell writes it, in UTF-16. An error says how the
// text was read, and where reading stopped. It holds no value.
func Read(r io.Reader) (*Capture, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxCapture+1))
	switch {
	case err != nil:
		return nil, err
	case len(text) > maxCapture:
		return nil, fmt.Errorf("more than %d MiB", maxCapture>>20)
	}
	return read(utf8Of(text), 0)
}

// read reads a text that is in UTF-8. depth is how many texts it was taken out of.
func read(text []byte, depth int) (*Capture, error) {
	text = bytes.TrimLeft(text, "\r\n")
	head, _, _ := bytes.Cut(text, []byte("\n"))
	first := strings.TrimRight(string(head), "\r")
	switch {
	case len(bytes.TrimSpace(text)) == 0:
		return nil, errors.New("no headers: it is empty")
	case curlLine.Match(text):
		return readCurl(text)
	case requestLine.MatchString(first), headerLine.MatchString(first) && !labelled.MatchString(first):
		return readHTTP(text)
	}
	return readDump(text, depth)
}

// utf8Of returns a text in UTF-8, without its byte order mark. A text without a mark in
// which every other one of the first bytes is zero is in UTF-16, too.
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

// readCurl reads the lines that curl -v begins with >. It does not print the body, unless
// somebody put it after them, before what the answer begins with.
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
		case !ended, line[0] == '*', bytes.HasPrefix(line, []byte("} [")), bytes.HasPrefix(line, []byte("{ [")): // curl's own
		case line[0] == '<':
			break lines
		default:
			body = append(body, line...)
		}
	}
	c, err := readHTTP(append(sent, body...))
	if err == nil && len(c.Body) == 0 {
		c.short = "none, because curl -v does not print it: put the file that was sent between the lines that begin with > and the answer"
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
			c.Header.Add(name, strings.Trim(value, " \t")) // no other white space is taken off on the way either
		}
		if !more {
			return c, c.settle()
		}
	}
}

// recognised says what there is before the line at which reading stopped.
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

// settle takes the body out of its chunks, and a line end that only the file has
// off its end.
func (c *Capture) settle() error {
	if len(c.Header) == 0 {
		return fmt.Errorf("read as raw HTTP, %s: no headers: a request's headers come first, then an empty line, then its body", c.recognised())
	}
	if strings.EqualFold(c.Header.Get("Transfer-Encoding"), "chunked") {
		switch body, cut, ok := dechunk(c.Body); {
		case ok && cut == "":
			c.Body, c.note = body, "taken out of its chunks"
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
		c.Body, c.note = c.Body[:length], "without the line end after its Content-Length"
	default:
		c.short = fmt.Sprintf("%d bytes, but its Content-Length says %d", n, length)
	}
}

// length is what the receiver learns of the body's length: more than it has only if it
// is over the limit, since else the rest was lost in the capture, not on the way.
func (c *Capture) length(most int64) int64 {
	if n, err := strconv.ParseInt(c.Header.Get("Content-Length"), 10, 64); err == nil && n > most {
		return n
	}
	return int64(len(c.Body))
}

var chunkSize = regexp.MustCompile(`^([0-9a-fA-F]{1,7})[ \t]*(?:;[^\r\n]*)?\r?\n`)

// dechunk takes a body out of its chunks (RFC 9112, section 7.1), whose lines may have
// lost their CR. cut says how the framing is incomplete. ok is false if there is none.
func dechunk(text []byte) (body []byte, cut string, ok bool) {
	for n := 1; ; n++ {
		size := chunkSize.FindSubmatch(text)
		switch {
		case size == nil && n == 1:
			return nil, "", false
		case size == nil:
			return body, fmt.Sprintf("no chunk follows the first %d, and the last one of size 0 is missing", n-1), true
		}
		length, _ := strconv.ParseInt(string(size[1]), 16, 64)
		text = text[len(size[0]):]
		switch have := int64(len(text)); {
		case length == 0:
			return body, "", true
		case have < length:
			return append(body, text...), fmt.Sprintf("chunk %d has %d bytes of %d", n, have, length), true
		}
		body = append(body, text[:length]...)
		text = bytes.TrimPrefix(bytes.TrimPrefix(text[length:], []byte("\r")), []byte("\n"))
	}
}

// where is the method and the path. The query holds the URL token.
func (c *Capture) where() (text string, token bool) {
	u, err := url.Parse(c.URL)
	if err != nil {
		return c.Method, false
	}
	return strings.TrimSpace(c.Method + " " + u.Path), u.Query().Get("token") != ""
}
