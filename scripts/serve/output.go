package main

import (
	"bytes"
	"sync"
)

// keptLines is how many lines of its output a function that ends by itself is reported
// with: as many as a crash of Go prints of the goroutine that crashed, about.
const keptLines = 20

// An output shows what is written to it, by the line, and keeps the last lines. It
// leaves out the lines about serve's own requests. It may be used concurrently.
type output struct {
	show func(line []byte) // with its newline

	mu   sync.Mutex
	part []byte   // of a line whose end is yet to be written
	last [][]byte // at most keptLines
}

// Write implements io.Writer. It never fails.
func (o *output) Write(text []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.part = append(o.part, text...)
	for {
		line, rest, whole := bytes.Cut(o.part, []byte("\n"))
		if !whole {
			return len(text), nil
		}
		o.line(append(bytes.Clone(line), '\n'))
		o.part = rest
	}
}

func (o *output) line(line []byte) {
	if bytes.Contains(line, []byte(`"execution_id":"`+probeID+`"`)) {
		return
	}
	o.show(line)
	if len(o.last) == keptLines {
		o.last = append(o.last[:0], o.last[1:]...)
	}
	o.last = append(o.last, line)
}

// end shows a last line that has no newline, and returns the last lines.
func (o *output) end() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.part) > 0 {
		o.line(append(o.part, '\n'))
		o.part = nil
	}
	return o.last
}
