package explain

import (
	"bytes"
	"cmp"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxDumpDepth bounds the nesting of texts that contain a request, such as a log's
// message in an export.
const maxDumpDepth = 3

// labelled matches a label before a value: headers: {…}.
var labelled = regexp.MustCompile("^[A-Za-z_][A-Za-z0-9_. -]{0,40}[:=]+[ \t]*(?:[\\[{(\"'`]|[bBuU]['\"]|[A-Z][A-Za-z]+[({]|<Buffer|$)")

// readDump reads a request as a program printed it: one value that contains the request
// at any level, or the headers and then the body, each with or without a label.
//
// Headers are a map of strings, numbers or lists, a list of pairs or of objects with a
// name and a value, a flat list of names and values, or raw lines. A body is a string,
// base64, bytes in any of the forms of [literal], or the body's parsed value.
func readDump(text []byte, depth int) (*Capture, error) {
	l := &literal{text: text, most: maxLiteralDepth}
	root, err := l.sequence()
	if err != nil {
		return nil, stopped(l, err)
	}
	f := &finder{depth: depth}
	f.visit(root, nil)
	switch {
	case f.found == nil:
		return nil, fmt.Errorf("read as a dump of %s: it contains neither headers, as a map or a list of pairs, nor raw HTTP", described(l.names))
	case len(f.found.Header) == 0:
		return nil, errors.New("no headers: the headers in the dump are empty")
	}
	return f.found, nil
}

// stopped returns an error with the position at which reading a dump stopped. It
// contains no value of the dump.
func stopped(l *literal, err error) error {
	at := 0
	if syntax, is := errors.AsType[*syntaxError](err); is {
		at = syntax.at
	}
	before := l.text[:at]
	line, column := bytes.Count(before, []byte("\n"))+1, at-bytes.LastIndexByte(before, '\n')
	if at == 0 {
		return fmt.Errorf("neither raw HTTP nor a dump with headers and body: line %d, column %d: %w", line, column, err)
	}
	return fmt.Errorf("read as a dump of %s: line %d, column %d: %w", described(l.names), line, column, err)
}

// described returns the names of the members that were read. It leaves out long names
// and names with a secret in them.
func described(names []string) string {
	names = slices.DeleteFunc(names, func(n string) bool { return len(n) > 40 || strings.Contains(n, "whsec") })
	if len(names) > 8 {
		names = append(names[:8], "…")
	}
	if len(names) == 0 {
		return "unnamed values"
	}
	return "an object with " + printable(strings.Join(names, ", "))
}

// sequence reads consecutive values, each with or without a label. If the text after
// headers is valid JSON, it is the body, byte for byte.
func (l *literal) sequence() ([]member, error) {
	var all []member
	if header := goHeader.Find(l.text); header != nil {
		l.at += len(header)
		all = append(all, member{"headers", goMembers(string(header))})
	}
	for {
		if l.space(); l.at >= len(l.text) {
			return all, nil
		}
		name := ""
		if label := labelled.Find(l.text[l.at:]); label != nil {
			end := bytes.IndexAny(label, ":=")
			name = string(bytes.TrimSpace(label[:end]))
			l.names = append(l.names, name)
			l.at += end
			for l.has(":") || l.has("=") {
				continue
			}
			l.space()
		}
		rest := bytes.TrimRight(l.text[l.at:], "\r\n")
		if len(all) > 0 && json.Valid(rest) && rest[0] != '"' && isHeaders(all[len(all)-1].value) {
			return append(all, member{"body", string(rest)}), nil
		}
		value, err := l.value(0)
		if err != nil {
			return all, err
		}
		if _, list := value.([]any); name == "" && list && isHeaders(value) {
			name = "headers"
		} else if name == "" && len(all) > 0 {
			name = "body"
		}
		all = append(all, member{name, value})
		l.has(",")
	}
}

// goHeader matches an http.Header as Go's fmt prints it, map[A:[x y] B:[z]], and
// goValues the beginning of each member.
var (
	goHeader = regexp.MustCompile(`^map\[\S+:\[[^\n]*\]\](?:\r?\n|$)`)
	goValues = regexp.MustCompile(`(?:^| )([^\s:\[\]]+):\[`)
)

func goMembers(text string) (all []member) {
	text = strings.TrimSuffix(strings.TrimPrefix(strings.TrimSpace(text), "map["), "]")
	values := goValues.Split(text, -1)[1:] // the text after each name
	for i, name := range goValues.FindAllStringSubmatch(text, -1) {
		all = append(all, member{name[1], strings.TrimSuffix(values[i], "]")})
	}
	return all
}

func isHeaders(value any) bool {
	header := headersIn(value)
	return header != nil && hasWebhook(header)
}

// A finder looks for a request in a dump.
type finder struct {
	depth int
	found *Capture // the first request with a webhook header, or else the first with any
}

// done reports whether a request with a webhook header was found.
func (f *finder) done() bool { return f.found != nil && hasWebhook(f.found.Header) }

// visit looks for a request in a value. parents are the objects around it, the nearest
// last.
func (f *finder) visit(value any, parents [][]member) {
	if f.done() {
		return
	}
	switch value := value.(type) {
	case string:
		f.text([]byte(value), parents)
	case buffer:
		f.text(value.data, parents)
	case []any:
		for _, item := range value {
			f.visit(item, parents)
		}
	case []member:
		f.object(value, append(slices.Clip(parents), value))
	}
}

// text looks for a request in a text: raw HTTP or a dump, as in a log's message, or
// base64 of one, as in ngrok's export.
func (f *finder) text(text []byte, parents [][]member) {
	if raw, err := base64.StdEncoding.DecodeString(string(text)); err == nil && len(raw) > 0 {
		text = raw
	}
	if f.depth >= maxDumpDepth || !bytes.Contains(bytes.ToLower(text), []byte("webhook")) || !bytes.ContainsAny(text, "\n{") {
		return
	}
	if c, err := read(text, f.depth+1); err == nil {
		f.keep(c, parents)
	}
}

// The names of members, reduced by letters, in order of preference.
var (
	headerNames = []string{"headers", "header", "rawheaders", "requestheaders", "httpheaders", "headersmap"}
	bodyNames   = []string{"rawbody", "bodyraw", "bodybytes", "bodybase", "body", "content", "rawdata", "data", "payload", "postdata", "requestbody", "json"}
	methodNames = []string{"method", "requestmethod", "httpmethod"}
	urlNames    = []string{"url", "uri", "originalurl", "requesturl", "path"}
	timeNames   = []string{"start", "starteddatetime", "receivedat", "createdat", "timestamp", "time"}
	answerNames = []string{"response", "res", "answer"}
)

func (f *finder) object(members []member, parents [][]member) {
	if raw, ok := lookup(members, "raw").(string); ok { // the original bytes take precedence over parsed members
		f.text([]byte(raw), parents)
	}
	for _, name := range headerNames {
		if value := named(members, name); value != nil {
			if header := headersIn(value); header != nil {
				f.keep(requestOf(header, parents), parents)
			}
		}
	}
	if header := headersIn(members); header != nil && hasWebhook(header) {
		f.keep(requestOf(header, parents[:len(parents)-1]), parents)
	}
	for _, m := range members {
		if !slices.Contains(answerNames, letters(m.name)) {
			f.visit(m.value, parents)
		}
	}
}

func (f *finder) keep(c *Capture, parents [][]member) {
	if c.arrived.IsZero() {
		c.arrived = arrival(parents)
	}
	if f.found == nil || !f.done() && hasWebhook(c.Header) {
		f.found = c
	}
}

// named returns the value of the member whose name has these letters, or nil if it is
// missing.
func named(members []member, name string) any {
	for _, m := range members {
		if letters(m.name) == name && m.value != nil {
			return m.value
		}
	}
	return nil
}

// nearest returns the first value with one of the names that accept accepts, from the
// nearest parent that has one. It returns nil if no parent has.
func nearest(parents [][]member, names []string, accept func(any) bool) any {
	for _, members := range slices.Backward(parents) {
		for _, name := range names {
			if value := named(members, name); value != nil && accept(value) {
				return value
			}
		}
	}
	return nil
}

func isText(value any) bool { return textIn(value) != "" }

// textIn returns a string, number or buffer as text, and "" for any other value.
func textIn(value any) string {
	switch value := value.(type) {
	case string:
		return value
	case json.Number:
		return string(value)
	case buffer:
		return string(value.data)
	}
	return ""
}

// arrival returns the time of arrival in the dump, or zero if it is missing.
func arrival(parents [][]member) (at time.Time) {
	nearest(parents, timeNames, func(value any) bool {
		for _, layout := range []string{time.RFC3339Nano, time.DateTime} {
			if t, err := time.Parse(layout, textIn(value)); err == nil {
				at = t
				return true
			}
		}
		return false
	})
	return at
}

// requestOf returns the request with this header, which was found in the nearest
// parent.
func requestOf(header http.Header, parents [][]member) *Capture {
	all := parents
	for _, members := range parents {
		if request, ok := lookup(members, "httpRequest").([]member); ok { // Cloud Logging's
			all = append([][]member{request}, all...)
		}
	}
	c := &Capture{Header: header, Method: textIn(nearest(all, methodNames, isText)), URL: textIn(nearest(all, urlNames, isText))}
	exact := nearest(parents, bodyNames, func(value any) bool {
		_, isBuffer := value.(buffer)
		text, _ := bodyIn(value).(string)
		return isBuffer || text != ""
	})
	if cut, _ := exact.(buffer); exact == nil || cut.more > 0 { // console.log prints only the first 50 bytes of a Buffer
		exact = cmp.Or(nearest(parents, bodyNames, func(value any) bool { return isParsed(value) && !holds(value, parents) }), exact)
	}
	c.setBody(bodyIn(exact), nearest(parents, []string{"isbaseencoded"}, func(any) bool { return true }) == true)
	return c
}

// isParsed reports whether a value is a parsed body. {} is not: Express sets it if it
// has parsed no body.
func isParsed(value any) bool {
	switch value := value.(type) {
	case []member:
		return len(value) > 0
	case []any:
		return len(value) > 0
	}
	return false
}

// holds reports whether a value is one of the parents, or contains one.
func holds(value any, parents [][]member) bool {
	switch value := value.(type) {
	case []member:
		return slices.ContainsFunc(parents, func(p []member) bool { return len(p) > 0 && len(value) > 0 && &p[0] == &value[0] }) ||
			slices.ContainsFunc(value, func(m member) bool { return holds(m.value, parents) })
	case []any:
		return slices.ContainsFunc(value, func(item any) bool { return holds(item, parents) })
	}
	return false
}

// bodyIn returns the body in a value: the text of an object with a MIME type, as in an
// HTTP archive, or else the value itself.
func bodyIn(value any) any {
	if members, ok := value.([]member); ok && lookup(members, "mimeType") != nil {
		return lookup(members, "text")
	}
	return value
}

// setBody sets the body to a value from a dump, and decodes base64.
func (c *Capture) setBody(value any, inBase64 bool) {
	switch value := value.(type) {
	case string:
		c.Body = []byte(value)
		raw, err := base64.StdEncoding.DecodeString(value)
		if err == nil && len(raw) > 0 && (inBase64 || json.Valid(raw) || len(raw) > 2 && raw[0] == 0x1f && raw[1] == 0x8b) {
			c.Body, c.note = raw, "decoded from base64"
		}
	case buffer:
		c.Body = value.data
		if value.more > 0 {
			c.short = fmt.Sprintf("%d bytes, and %d more that are not in the dump; print the body with toString(\"base64\")", len(value.data), value.more)
		}
	case []member, []any:
		c.parsed = value
		c.Body = spell(value, writer{layout: layouts[0], escaping: escapes[0]})
	}
	if c.parsed == nil && c.short == "" && len(c.Body) > 0 {
		c.measure()
	}
}

// headersIn returns the headers in a value, or nil if the value has another form.
func headersIn(value any) http.Header {
	header := make(http.Header)
	switch value := value.(type) {
	case string:
		if c, err := readHTTP([]byte(strings.TrimSpace(value) + "\n\n")); err == nil {
			return c.Header
		}
		return nil
	case []member:
		for _, m := range value {
			add(header, m.name, m.value)
		}
	case []any:
		for len(value) > 0 {
			name, of, taken := firstPair(value)
			if taken == 0 {
				return nil
			}
			add(header, textIn(name), of)
			value = value[taken:]
		}
	default:
		return nil
	}
	return header
}

// firstPair returns the first name and value in a list of pairs, of objects with a name
// and a value, or of alternating names and values. taken is the number of items that
// they occupy, 0 if the list has another form.
func firstPair(list []any) (name, value any, taken int) {
	switch item := list[0].(type) {
	case []any:
		if len(item) == 2 {
			return item[0], item[1], 1
		}
	case []member:
		return cmp.Or(lookup(item, "name"), lookup(item, "key")), lookup(item, "value"), 1
	default:
		if len(list) > 1 {
			return item, list[1], 2
		}
	}
	return nil, nil, 0
}

func add(header http.Header, name string, value any) {
	if rest, ok := strings.CutPrefix(name, "HTTP_"); ok && name == strings.ToUpper(name) { // WSGI and CGI
		name = strings.ReplaceAll(rest, "_", "-")
	}
	if list, ok := value.([]any); ok {
		for _, v := range list {
			add(header, name, v)
		}
		return
	}
	if text := textIn(value); name != "" && text != "" {
		header.Add(name, text)
	}
}

// hasWebhook reports whether there is a webhook header, under any of its names.
func hasWebhook(header http.Header) bool {
	for name := range header {
		have := letters(name)
		if strings.HasSuffix(have, "webhookid") || strings.HasSuffix(have, "webhooksignature") || strings.HasSuffix(have, "webhooktimestamp") ||
			strings.HasPrefix(have, "svix") {
			return true
		}
	}
	return false
}
