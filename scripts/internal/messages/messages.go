// Package messages formats Pub/Sub messages, and events shown beside them: in columns
// for people, or as JSON lines for programs.
package messages

import (
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

// sourcePrefix is the beginning of every ce-source. Rows leave it out.
const sourcePrefix = "//generativelanguage.googleapis.com/webhooks/"

// NewRow returns the row of a message. from is the topic or subscription, in full. The
// row's Rest is the job.
func NewRow(paint terminal.Paint, from string, m *pubsubpb.PubsubMessage) Row {
	a := m.Attributes
	return Row{
		Time:   m.PublishTime.AsTime(),
		What:   paint.In(terminal.Cyan, Pad(path.Base(from), WhatWidth)),
		About:  a["ce-type"],
		ID:     a["ce-id"],
		Where:  strings.TrimPrefix(a["ce-source"], sourcePrefix),
		Amount: fmt.Sprintf("%d B", len(m.Data)),
		Rest:   a["ce-subject"],
	}
}

// Text returns a message in columns, with its body on a second line.
func Text(paint terminal.Paint, from string, m *pubsubpb.PubsubMessage) string {
	return NewRow(paint, from, m).String() + "\n" + Indent + paint.In(terminal.Dim, Body(m.Data)) + "\n"
}

// JSON returns a message as one line of JSON. from is its topic or subscription, in
// full.
func JSON(from string, m *pubsubpb.PubsubMessage) string {
	attributes, data := Parts(m)
	return Line(struct {
		Event       string            `json:"event"`
		From        string            `json:"from"` // a topic or a subscription, in full
		MessageID   string            `json:"message_id"`
		PublishTime time.Time         `json:"publish_time"`
		Attributes  map[string]string `json:"attributes"`
		Data        []byte            `json:"data"` // in base64
	}{"message", from, m.MessageId, m.PublishTime.AsTime(), attributes, data})
}

// Parts returns a message's attributes and data for JSON. Neither is nil: nil would be
// null in JSON, not {} or "".
func Parts(m *pubsubpb.PubsubMessage) (attributes map[string]string, data []byte) {
	attributes, data = m.Attributes, m.Data
	if attributes == nil {
		attributes = map[string]string{}
	}
	if data == nil {
		data = []byte{}
	}
	return attributes, data
}

// Line returns an event of --json as one line, with its newline. The event must consist
// of values that always marshal, such as texts, numbers, times and bytes; Line panics
// otherwise.
func Line(event any) string {
	var line strings.Builder
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(event); err != nil {
		panic(err)
	}
	return line.String()
}
