package functiontest

import (
	"bytes"
	"encoding/json"
	"strings"
	"sync"
	"testing"
)

// A Log stores a function's log. It is an io.Writer, safe for concurrent use.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
	read int // length of the text that Lines has read
}

// Write appends to the log. It never fails.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// Text returns the whole log.
func (l *Log) Text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// Lines returns the decoded lines with this message that were logged since the last
// call of Lines. It fails the test if a line is not JSON.
func (l *Log) Lines(t *testing.T, message string) []map[string]any {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	var lines []map[string]any
	for text := range strings.Lines(l.text.String()[l.read:]) {
		var line map[string]any
		if err := json.Unmarshal([]byte(text), &line); err != nil {
			t.Errorf("a line of the log is not JSON: %q", text)
		}
		if line["message"] == message {
			lines = append(lines, line)
		}
	}
	l.read = l.text.Len()
	return lines
}
