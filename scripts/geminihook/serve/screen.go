package serve

import (
	"io"
	"sync"
)

// A screen writes texts to streams in the order of the calls to put. put never blocks,
// so a paused terminal or a full pipe does not delay deliveries. Texts that are not
// written yet stay in memory, without a limit. It is safe for concurrent use.
type screen struct {
	mu      sync.Mutex
	waiting []text
	more    chan struct{} // full while run has work
	done    chan struct{} // closed when run has ended
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

// put queues a text for a stream.
func (s *screen) put(to io.Writer, line string) {
	s.mu.Lock()
	s.waiting = append(s.waiting, text{to, line})
	s.mu.Unlock()
	s.wake()
}

// close waits until all texts are written. put must not be called after it.
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
	default: // run is awake
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
			_, _ = io.WriteString(t.to, t.text) // fails only if the reader is gone
		}
		if closed {
			return
		}
	}
}
