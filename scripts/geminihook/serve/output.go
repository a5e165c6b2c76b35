package serve

import (
	"bytes"
	"sync"
)

// keptLines is the number of output lines shown for a function that ends by itself. It
// is about the length of one goroutine's trace after a panic.
const keptLines = 20

// An output splits a function's output into lines, shows each, and keeps the last 20.
// It drops lines about serve's own requests. It is safe for concurrent use.
type output struct {
	show func(line []byte) // the line includes its newline

	mu   sync.Mutex
	part []byte   // the beginning of an unfinished line
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

// end shows an unfinished last line, if any, and returns the last lines.
func (o *output) end() [][]byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.part) > 0 {
		o.line(append(o.part, '\n'))
		o.part = nil
	}
	return o.last
}
