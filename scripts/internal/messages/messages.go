// Package messages shows the messages of a topic, and what stands beside them, to a
// person, in columns, or to a program, as JSON.
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

// sourcePrefix is what every ce-source begins with, and needs no showing.
const sourcePrefix = "//generativelanguage.googleapis.com/webhooks/"

// NewRow is a message in columns. Rest is its job.
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

// Text is a message in columns, its body on a line below.
func Text(paint terminal.Paint, from string, m *pubsubpb.PubsubMessage) string {
	return NewRow(paint, from, m).String() + "\n" + Indent + paint.In(terminal.Dim, Body(m.Data)) + "\n"
}

// JSON is a message on a line.
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

// Parts returns a message's attributes and data for JSON. Neither is nil, which would
// be null there and not {} or "".
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

// Line is an event of --json: texts, times and bytes, which always marshal.
func Line(event any) string {
	var line strings.Builder
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(event); err != nil {
		panic(err)
	}
	return line.String()
}
