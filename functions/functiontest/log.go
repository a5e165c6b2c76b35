package functiontest

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
)

// A Log keeps what a function logs. It is an io.Writer, safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
	read int
}

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// Text returns all that was ever logged.
func (l *Log) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines returns the lines with a message since the last time, decoded. It fails the
// test where a line is no JSON.
func (l *Log) Lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []map[string]any
	for text := range strings.Lines(l.text.String()[l.read:]) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("a line of the log is no JSON: %q", text)
		}
		if line["message"] == message {
			lines = append(lines, line)
		}
	}
	l.read = l.text.Len()
	return lines
}
