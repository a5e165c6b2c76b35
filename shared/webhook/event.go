package webhook

import (
	"bytes"
	"encoding/json"
	"time"
)

// maxField bounds, in bytes, what is taken out of a body: Pub/Sub's limit on the
// value of an attribute. Log lines and records count on it too.
const maxField = 1024

// An Event is what the envelope of a delivery's body says. Every field may be
// empty: a body that is no JSON, or JSON of another shape, is a delivery all the
// same. Types are an open set. Names count as they are written: "Type" is not "type".
// Of a name that is there twice the last counts. A leading byte order mark is passed
// over.
type Event struct {
	Type  string    // for example "batch.succeeded"; empty where over 1024 bytes
	JobID string    // data.id, opaque; empty where over 1024 bytes
	Time  time.Time // when the event happened, in UTC; zero where not in RFC 3339
}

// ParseEvent returns the event that a body describes: a zero one if it describes none.
// Verifiers fill in [Delivery.Event] by it. It trusts nothing: body may be anything.
func ParseEvent(body []byte) Event {
	body = bytes.Trim(withoutMark(body), space)
	if !json.Valid(body) { // which bounds the depth
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
		// In UTC a year may have left the four digits that RFC 3339 has for it.
		if t = t.UTC(); t.Year() >= 0 && t.Year() <= 9999 {
			event.Time = t
		}
	}
	return event
}

// setText sets a field to a value that is a text. A value of another type leaves the
// field as it is.
func setText(field *string, value []byte) {
	if value[0] == '"' {
		*field = unquote(value)
	}
}

// eachMember calls do for each member of the object that a valid text is, in their order,
// and never for any other text. Names are unquoted, values are as they are written.
func eachMember(text []byte, do func(name, value []byte)) {
	var (
		quoted []byte // the last string: a name, if a colon comes next
		name   []byte // the last of the object itself, quoted
		value  int    // where its value begins
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

func bounded(field string) string {
	if len(field) > maxField {
		return ""
	}
	return field
}

// withoutMark drops a leading byte order mark, which some editors and writers put in
// front of a text in UTF-8.
func withoutMark(text []byte) []byte {
	return bytes.TrimPrefix(text, []byte("\ufeff"))
}
