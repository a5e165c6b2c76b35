package webhook

import (
	"encoding/json"
	"time"
)

// maxField bounds, in bytes, what is taken out of a body: Pub/Sub's limit on the
// value of an attribute. Log lines and records count on it too.
const maxField = 1024

// An Event is what the envelope of a delivery's body says. Every field may be
// empty: a body that is no JSON, or JSON of another shape, is a delivery all the
// same. Types are an open set.
type Event struct {
	Type  string    // for example "batch.succeeded"; empty where over 1024 bytes
	JobID string    // data.id, opaque; empty where over 1024 bytes
	Time  time.Time // when the event happened, in UTC; zero where not in RFC 3339
}

// Event returns what the body says. The body is read on the first call, since
// verification does not depend on it.
func (d *Delivery) Event() Event {
	if d.event == nil {
		d.event = new(parseEvent(d.Body))
	}
	return *d.event
}

func parseEvent(body []byte) Event {
	var envelope struct {
		Type      string `json:"type"`
		Timestamp string `json:"timestamp"`
		Data      struct {
			ID string `json:"id"`
		} `json:"data"`
	}
	// A value of another type leaves its field empty and the rest filled. Broken
	// JSON leaves all empty. encoding/json bounds the depth.
	_ = json.Unmarshal(body, &envelope)
	event := Event{Type: bounded(envelope.Type), JobID: bounded(envelope.Data.ID)}
	if t, err := time.Parse(time.RFC3339, envelope.Timestamp); err == nil {
		// In UTC a year may have left the four digits that RFC 3339 has for it.
		if t = t.UTC(); t.Year() >= 0 && t.Year() <= 9999 {
			event.Time = t
		}
	}
	return event
}

func bounded(field string) string {
	if len(field) > maxField {
		return ""
	}
	return field
}
