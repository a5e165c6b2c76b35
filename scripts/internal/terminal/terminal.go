// Package terminal is how commands write for people: whether a stream is a terminal,
// and colour.
package terminal

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/term"
)

// ErrReported ends a command with status 1 if its output has said why.
var ErrReported = errors.New("failed, as reported")

// Is reports whether f is a terminal that can move its cursor: any but one that calls
// itself dumb.
func Is(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// ReadSecret reads a secret from f, which need not be a file: up to the end, or, from a
// terminal, up to the end of a line that the terminal does not show. The prompt is
// written to a terminal only.
func ReadSecret(f *os.File, prompt string) ([]byte, error) {
	if !term.IsTerminal(int(f.Fd())) {
		return io.ReadAll(f)
	}
	fmt.Fprint(f, prompt)
	defer fmt.Fprintln(f) // the end of the line is not shown either
	return term.ReadPassword(int(f.Fd()))
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
