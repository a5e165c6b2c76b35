package instance

import "io"

// Opened holds the clients that a Build has opened so far. A Build that fails must
// leave none behind, since the next request tries it again. The zero value holds
// none. It is not safe for concurrent use.
type Opened []io.Closer

// Add notes a client that was opened.
func (o *Opened) Add(c io.Closer) { *o = append(*o, c) }

// CloseIf closes all clients, the last one first, if *err is not nil. A Build defers
// it with its named error. What a Close returns adds nothing to that error.
func (o *Opened) CloseIf(err *error) {
	if *err == nil {
		return
	}
	for len(*o) > 0 {
		last := len(*o) - 1
		_ = (*o)[last].Close()
		*o = (*o)[:last]
	}
}
