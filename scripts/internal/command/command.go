// Package command is what the commands under scripts have in common: how they
// read flags, how they end, and when they use colour.
package command

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ErrSilent ends a command with status 1 where its output has said why.
var ErrSilent = errors.New("failed, as reported")

// Parse parses args. -h prints usage and the flags to out and returns
// flag.ErrHelp. Other errors have one line. There are no arguments but flags.
func Parse(flags *flag.FlagSet, usage string, args []string, out io.Writer) error {
	flags.Init(flags.Name(), flag.ContinueOnError)
	flags.SetOutput(io.Discard)
	flags.Usage = func() {}
	err := flags.Parse(args)
	if errors.Is(err, flag.ErrHelp) {
		fmt.Fprintf(out, "%s\nFlags:\n", usage)
		flags.SetOutput(out)
		flags.PrintDefaults()
		return err
	}
	if err == nil && flags.NArg() > 0 {
		err = fmt.Errorf("unexpected argument %q: everything is a flag", flags.Arg(0))
	}
	if err != nil {
		return fmt.Errorf("%w (-h lists the flags)", err)
	}
	return nil
}

// Status returns the exit status that err stands for: 0 for none and for help,
// else 1, and then err stands on a line of w.
func Status(w io.Writer, name string, err error) int {
	switch {
	case err == nil || errors.Is(err, flag.ErrHelp):
		return 0
	case !errors.Is(err, ErrSilent):
		fmt.Fprintf(w, "%s: %s\n", name, strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	return 1
}

// Terminal reports whether f is a terminal that can move its cursor: any but one that
// calls itself dumb.
func Terminal(f *os.File) bool {
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
	return Paint(Terminal(f) && os.Getenv("NO_COLOR") == "")
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
