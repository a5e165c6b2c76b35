package inspector

import "slices"

// What is kept, at most: a page is to be looked at, not an archive.
const (
	maxKept      = 1000
	maxKeptBytes = 64 << 20
)

// A shelf keeps the latest things, bounded in number and in bytes.
type shelf[T any] struct {
	things []T
	sizes  []int
	bytes  int
}

// put adds a thing and returns those that had to go for it, oldest first.
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
