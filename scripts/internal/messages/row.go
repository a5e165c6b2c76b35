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
	// WhatWidth is how wide a row's What is, in characters.
	WhatWidth = 22

	// Indent is as wide as a row's time.
	Indent = "              "

	// maxShown is how much of a body is shown, in bytes. Gemini's are thin.
	maxShown = 600
)

// A Row is a message or a delivery, in columns.
type Row struct {
	Time   time.Time
	What   string // padded to WhatWidth, perhaps coloured
	About  string
	ID     string
	Where  string
	Amount string
	Rest   string
}

func (r Row) String() string {
	text := fmt.Sprintf("%s  %s  %s  %s  %s %9s  %s", Clock(r.Time), r.What,
		Pad(r.About, 27), Pad(r.ID, 40), Pad(r.Where, 11), r.Amount, Printable(r.Rest))
	return strings.TrimRight(text, " ")
}

// Clock is the time of day, as a row has it.
func Clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

// Pad makes text exactly width characters wide: what is absent is a dash, and what
// is longer is cut.
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

// Body is one on one line, cut.
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

// Printable keeps a terminal from obeying what a delivery says.
func Printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, text)
}
