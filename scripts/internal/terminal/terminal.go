// Package terminal is how commands write for people: whether a stream is a terminal,
// and colour.
package terminal

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
)

// ErrReported ends a command with status 1 if its output has said why.
var ErrReported = errors.New("failed, as reported")

// Is reports whether f is a terminal that understands ECMA-48.
func Is(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// A Paint colours text. Its zero value does not.
type Paint bool

// PaintFor colours what goes to a terminal, unless NO_COLOR is set
// (https://no-color.org).
func PaintFor(f *os.File) Paint {
	return Paint(Is(f) && os.Getenv("NO_COLOR") == "")
}

// The colours, as the parameters of ECMA-48's SGR.
const (
	Bold   = "1"
	Dim    = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Cyan   = "36"
)

// In returns text in a colour.
func (p Paint) In(colour, text string) string {
	if !p || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// Name is the name of the command for users.
const Name = "geminihook"

// Command returns how a geminihook command is typed: under `go run`, as that.
func Command(arguments string) string {
	program := Name
	if strings.Contains(filepath.ToSlash(os.Args[0]), "/go-build") {
		program = "go run ./scripts/geminihook"
	}
	return program + " " + arguments
}
