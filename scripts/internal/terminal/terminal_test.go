package terminal

import (
	"os"
	"path/filepath"
	"testing"
)

// Text is coloured only on a terminal.
func TestPaintFor(t *testing.T) {
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	defer terminal.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "file"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	defer write.Close()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	for _, tt := range []struct {
		name          string
		to            *os.File
		noColor, term string
		want          string
	}{
		{"a terminal", terminal, "", "xterm", "\x1b[31mx\x1b[0m"},
		{"NO_COLOR", terminal, "1", "xterm", "x"},
		{"a dumb terminal", terminal, "", "dumb", "x"},
		{"a file", file, "", "xterm", "x"},
		{"a pipe", write, "", "xterm", "x"},
		{"another device", null, "", "xterm", "x"},
	} {
		t.Setenv("NO_COLOR", tt.noColor)
		t.Setenv("TERM", tt.term)
		if got := PaintFor(tt.to).In(Red, "x"); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
