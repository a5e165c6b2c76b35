package serve

import (
	"io"
	"sync"
)

// A screen writes texts in the order in which it gets them, at the pace of whoever
// reads them, and makes nobody wait: a terminal that is held, or a pipe that nobody
// empties, must not hold up deliveries. What is not yet written is kept, however
// much it is. It may be used concurrently.
type screen struct {
	mu      sync.Mutex
	waiting []text
	more    chan struct{} // holds one where there is something to do
	done    chan struct{} // closed when all is written
	closed  bool
}

type text struct {
	to   io.Writer
	text string
}

func newScreen() *screen {
	s := &screen{more: make(chan struct{}, 1), done: make(chan struct{})}
	go s.run()
	return s
}

// put has text written to a stream.
func (s *screen) put(to io.Writer, line string) {
	s.mu.Lock()
	s.waiting = append(s.waiting, text{to, line})
	s.mu.Unlock()
	s.wake()
}

// close returns when all is written. Nothing may be put after it.
func (s *screen) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.wake()
	<-s.done
}

func (s *screen) wake() {
	select {
	case s.more <- struct{}{}:
	default: // it is awake
	}
}

func (s *screen) run() {
	defer close(s.done)
	for range s.more {
		s.mu.Lock()
		texts, closed := s.waiting, s.closed
		s.waiting = nil
		s.mu.Unlock()
		for _, t := range texts {
			_, _ = io.WriteString(t.to, t.text) // a reader that has gone wants no more
		}
		if closed {
			return
		}
	}
}
