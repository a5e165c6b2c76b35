package messages

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"
)

const (
	// WhatWidth is the width of a row's first column after the time, in characters.
	WhatWidth = 22

	// Indent is blank, and as wide as a row's time and the space after it.
	Indent = "              "

	// maxShown bounds the part of a body that is shown, in bytes. Gemini's events are
	// smaller.
	maxShown = 600
)

// A Row is a message or a delivery in columns. An empty About, ID or Where is shown as
// a dash.
type Row struct {
	Time   time.Time
	What   string // topic, endpoint or kind of line: padded to WhatWidth, may be coloured
	About  string
	ID     string
	Where  string
	Amount string
	Rest   string
}

// String returns the row without a newline. Columns that are too long are cut.
func (r Row) String() string {
	text := fmt.Sprintf("%s  %s  %s  %s  %s %9s  %s", Clock(r.Time), r.What,
		Pad(r.About, 27), Pad(r.ID, 40), Pad(r.Where, 11), r.Amount, Printable(r.Rest))
	return strings.TrimRight(text, " ")
}

// Clock returns the local time of day with milliseconds, as rows show it.
func Clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

// Pad returns text with a width of exactly width characters: shorter text is padded,
// longer text is cut and ends with "…", and empty text is a dash. Control characters
// are replaced as by Printable.
func Pad(text string, width int) string {
	if text == "" {
		text = "-"
	}
	chars := []rune(Printable(text))
	if len(chars) > width {
		return string(chars[:width-1]) + "…"
	}
	return string(chars) + strings.Repeat(" ", width-len(chars))
}

// Body returns a body on one line, compacted if it is JSON, and cut after 600 bytes.
func Body(data []byte) string {
	var compact bytes.Buffer
	if json.Compact(&compact, data) == nil {
		data = compact.Bytes()
	}
	if len(data) <= maxShown {
		return Printable(string(data))
	}
	return fmt.Sprintf("%s … %d bytes more", Printable(string(data[:maxShown])), len(data)-maxShown)
}

// Printable replaces every character that is not printable, so that text from a
// delivery cannot send control sequences to the terminal.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, text)
}
