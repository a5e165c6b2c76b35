package webhook

import (
	"bytes"
	"encoding/json"
	"time"
)

// maxField is the maximum size, in bytes, of a text in an Event. It is Pub/Sub's
// limit on the value of an attribute; log lines and records rely on it too.
const maxField = 1024

// An Event holds the fields of a delivery's body that geminihook reads. Each field
// may be empty, because a body that is not JSON, or JSON of another shape, is
// delivered too. Type is an open set: Gemini may add types. Names are case-sensitive:
// "Type" is not "type". If a name is repeated, its last string value is used. A
// leading byte order mark is ignored.
type Event struct {
	Type  string    // for example "batch.succeeded"; empty if longer than 1024 bytes
	JobID string    // data.id, opaque; empty if longer than 1024 bytes
	Time  time.Time // time of the event, in UTC; zero if the timestamp is not RFC 3339
}

// ParseEvent returns the event in body, or a zero Event if body is not an event. body
// may be any bytes. Verifiers use ParseEvent to set [Delivery.Event].
func ParseEvent(body []byte) Event {
	body = bytes.Trim(withoutMark(body), space)
	if !json.Valid(body) { // Valid also limits the nesting depth
		return Event{}
	}
	var envelope struct{ eventType, timestamp, id string }
	eachMember(body, func(name, value []byte) {
		switch string(name) {
		case "type":
			setText(&envelope.eventType, value)
		case "timestamp":
			setText(&envelope.timestamp, value)
		case "data":
			eachMember(value, func(name, value []byte) {
				if string(name) == "id" {
					setText(&envelope.id, value)
				}
			})
		}
	})
	event := Event{Type: bounded(envelope.eventType), JobID: bounded(envelope.id)}
	if t, err := time.Parse(time.RFC3339, envelope.timestamp); err == nil {
		// The conversion to UTC can move a year out of RFC 3339's four digits.
		if t = t.UTC(); t.Year() >= 0 && t.Year() <= 9999 {
			event.Time = t
		}
	}
	return event
}

// setText sets *field if value is a JSON string. Otherwise it leaves *field
// unchanged.
func setText(field *string, value []byte) {
	if value[0] == '"' {
		*field = unquote(value)
	}
}

// eachMember calls do for each member of text in order, if text is a JSON object. It
// never calls do if text is any other JSON value. text must be valid JSON. do gets
// the name unquoted and the value as written.
func eachMember(text []byte, do func(name, value []byte)) {
	var (
		quoted []byte // the last string; it is a name if a colon follows
		name   []byte // the last name at the top level, quoted
		value  int    // index at which the value of name starts
		depth  int
	)
	for i := 0; i < len(text); i++ {
		switch c := text[i]; c {
		case '"':
			end := endOfString(text, i)
			quoted, i = text[i:end], end-1
		case '{', '[':
			depth++
		case ':':
			if depth == 1 {
				name, value = quoted, i+1
			}
		case ',', '}', ']':
			if depth == 1 && value > 0 {
				plain := name[1 : len(name)-1]
				if bytes.IndexByte(plain, '\\') >= 0 {
					plain = []byte(unquote(name))
				}
				do(plain, bytes.Trim(text[value:i], space))
			}
			if c != ',' {
				depth--
			}
		}
	}
}

// bounded returns field, or an empty string if field is longer than maxField.
func bounded(field string) string {
	if len(field) > maxField {
		return ""
	}
	return field
}

// withoutMark removes a leading byte order mark, which some editors put before UTF-8
// text.
func withoutMark(text []byte) []byte {
	return bytes.TrimPrefix(text, []byte("\ufeff"))
}
