// Package messages shows the messages of a topic to a person, in columns, or to a
// program, as JSON.
package messages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"time"
	"unicode"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/scripts/internal/command"
)

const (
	// maxShown is how much of a body is shown, in bytes. Gemini's are thin.
	maxShown = 600

	// sourcePrefix is what every ce-source begins with, and needs no showing.
	sourcePrefix = "//generativelanguage.googleapis.com/webhooks/"

	indent = "              " // as wide as the time
)

// Text is a message in columns, its body on a line below.
func Text(paint command.Paint, from string, m *pubsubpb.PubsubMessage) string {
	a := m.Attributes
	head := fmt.Sprintf("%s  %s  %s  %s  %s %9s  %s", m.PublishTime.AsTime().Local().Format("15:04:05.000"),
		paint.In(command.Cyan, pad(path.Base(from), 18)), pad(a["ce-type"], 27), pad(a["ce-id"], 40),
		pad(strings.TrimPrefix(a["ce-source"], sourcePrefix), 11), fmt.Sprintf("%d B", len(m.Data)), printable(a["ce-subject"]))
	return strings.TrimRight(head, " ") + "\n" + indent + paint.In(command.Dim, body(m.Data)) + "\n"
}

// JSON is a message on a line.
func JSON(from string, m *pubsubpb.PubsubMessage) string {
	return Line(struct {
		Event       string            `json:"event"`
		From        string            `json:"from"` // a topic or a subscription, in full
		MessageID   string            `json:"message_id"`
		PublishTime time.Time         `json:"publish_time"`
		Attributes  map[string]string `json:"attributes"`
		Data        []byte            `json:"data"` // in base64
	}{"message", from, m.MessageId, m.PublishTime.AsTime(), m.Attributes, m.Data})
}

// Line is an event of -json: texts, times and bytes, which always marshal.
func Line(event any) string {
	var line strings.Builder
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(event); err != nil {
		panic(err)
	}
	return line.String()
}

// pad makes text exactly width characters wide: what is absent is a dash, and what
// is longer is cut.
func pad(text string, width int) string {
	if text == "" {
		text = "-"
	}
	chars := []rune(printable(text))
	if len(chars) > width {
		return string(chars[:width-1]) + "…"
	}
	return string(chars) + strings.Repeat(" ", width-len(chars))
}

// body is one on one line, cut.
func body(data []byte) string {
	var compact bytes.Buffer
	if json.Compact(&compact, data) == nil {
		data = compact.Bytes()
	}
	if len(data) <= maxShown {
		return printable(string(data))
	}
	return fmt.Sprintf("%s … %d bytes more", printable(string(data[:maxShown])), len(data)-maxShown)
}

// printable keeps a terminal from obeying what a delivery says.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, text)
}
