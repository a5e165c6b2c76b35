package terminal

import (
	"bufio"
	"fmt"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A secret that is typed at a terminal is not shown.
func TestReadSecretFromTerminal(t *testing.T) {
	screen, terminal := openTerminal(t)
	before, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil {
		t.Fatal(err)
	}
	type result struct {
		secret []byte
		err    error
	}
	read := make(chan result, 1)
	go func() {
		secret, err := ReadSecret(terminal, "Signing secret: ")
		read <- result{secret, err}
	}()

	// ReadSecret writes the prompt before it turns the echo off, so wait for the
	// latter.
	for end := time.Now().Add(30 * time.Second); ; time.Sleep(time.Millisecond) {
		now, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		if now.Lflag&unix.ECHO == 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the echo is still on after 30 s")
		}
	}
	fmt.Fprint(screen, "whsec_c2VjcmV0\n")
	if got := <-read; got.err != nil || string(got.secret) != "whsec_c2VjcmV0" {
		t.Errorf("read %q, %v", got.secret, got.err)
	}
	fmt.Fprintln(terminal, "end")

	var seen string
	for lines := bufio.NewScanner(screen); lines.Scan(); {
		if lines.Text() == "end" {
			break
		}
		seen += lines.Text()
	}
	if seen != "Signing secret: " {
		t.Errorf("the screen shows %q, want the prompt only", seen)
	}
	after, err := unix.IoctlGetTermios(int(terminal.Fd()), unix.TCGETS)
	if err != nil || *after != *before {
		t.Errorf("terminal settings afterwards: %+v, want %+v (%v)", after, before, err)
	}
}

// openTerminal returns both ends of a new pseudo-terminal: screen is the user's end,
// terminal the process's.
func openTerminal(t *testing.T) (screen, terminal *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { screen.Close() })
	if err := unix.IoctlSetPointerInt(int(screen.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(screen.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	terminal, err = os.OpenFile(fmt.Sprint("/dev/pts/", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { terminal.Close() })
	return screen, terminal
}
