package inspector

import "slices"

// The bounds of a shelf. They bound serve's memory.
const (
	maxKept      = 1000     // things
	maxKeptBytes = 64 << 20 // bytes
)

// A shelf keeps the latest things, at most maxKept and at most maxKeptBytes in total.
// It always keeps the latest thing, whatever its size. It is not safe for concurrent
// use.
type shelf[T any] struct {
	things []T
	sizes  []int
	bytes  int
}

// put adds a thing of a size in bytes. It returns the things removed to make room,
// oldest first.
func (s *shelf[T]) put(thing T, size int) (gone []T) {
	s.things, s.sizes, s.bytes = append(s.things, thing), append(s.sizes, size), s.bytes+size
	n := 0
	for len(s.things)-n > maxKept || s.bytes > maxKeptBytes && len(s.things)-n > 1 {
		s.bytes -= s.sizes[n]
		n++
	}
	gone = slices.Clone(s.things[:n])
	s.things, s.sizes = slices.Delete(s.things, 0, n), slices.Delete(s.sizes, 0, n)
	return gone
}
