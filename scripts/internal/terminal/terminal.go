// Package terminal helps commands write for people: it detects terminals, colours text,
// reads secrets, and names the command as the user typed it.
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

// A command returns ErrReported if it has already reported its failure. The exit status
// is then 1, and no error is printed.
var ErrReported = errors.New("failed, as reported")

// Is reports whether f is a terminal that can move its cursor. A terminal with
// TERM=dumb cannot.
func Is(f *os.File) bool {
	return term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb"
}

// ReadSecret reads a secret from f: one line if f is a terminal, else up to the end. On
// a terminal it writes the prompt first and does not echo the input.
func ReadSecret(f *os.File, prompt string) ([]byte, error) {
	if !term.IsTerminal(int(f.Fd())) {
		return io.ReadAll(f)
	}
	fmt.Fprint(f, prompt)
	defer fmt.Fprintln(f) // the user's newline is not echoed either
	return term.ReadPassword(int(f.Fd()))
}

// A Paint colours text if it is true. The zero value does not.
type Paint bool

// PaintFor returns a Paint that colours text if f is a terminal and NO_COLOR is not set
// (https://no-color.org).
func PaintFor(f *os.File) Paint {
	return Paint(Is(f) && os.Getenv("NO_COLOR") == "")
}

// The colours and styles, as parameters of the SGR sequence of ECMA-48.
const (
	Bold   = "1"
	Dim    = "2"
	Red    = "31"
	Green  = "32"
	Yellow = "33"
	Cyan   = "36"
)

// In returns text in a colour, one of the constants above. If colour is empty, it
// returns text unchanged.
func (p Paint) In(colour, text string) string {
	if !p || colour == "" {
		return text
	}
	return "\x1b[" + colour + "m" + text + "\x1b[0m"
}

// Name is the command's name.
const Name = "geminihook"

// Command returns the command line that runs geminihook with arguments, as this process
// was started: with `go run` if `go run` built it.
func Command(arguments string) string {
	program := Name
	if strings.Contains(filepath.ToSlash(os.Args[0]), "/go-build") {
		program = "go run ./scripts/geminihook"
	}
	return program + " " + arguments
}
