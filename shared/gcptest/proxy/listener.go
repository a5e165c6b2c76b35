package proxy

import (
	"io"
	"net"
	"slices"
	"sync"
)

// A Listener accepts connections, and does to them what a network may do. It is safe
// for concurrent use.
type Listener struct {
	net.Listener

	mu       sync.Mutex
	accepted int
	conns    []*conn // open
}

// NewListener returns a Listener that accepts the connections of l.
func NewListener(l net.Listener) *Listener { return &Listener{Listener: l} }

// Accept implements net.Listener.
func (l *Listener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	c := &conn{Conn: accepted, listener: l, forgotten: make(chan struct{})}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.accepted++
	l.conns = append(l.conns, c)
	return c, nil
}

// Accepted returns how many connections were accepted so far.
func (l *Listener) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// Cut closes all connections, whatever is under way on them. A request that was sent on
// goes through, and its reply gets lost. Clients may connect again.
func (l *Listener) Cut() {
	for _, c := range l.open() {
		c.Close()
	}
}

// Forget makes the connections of these clients silent, or all if none is given: from
// now on bytes vanish in both directions, without an error, until the client closes
// the connection. Clients may connect again.
func (l *Listener) Forget(clients ...net.Addr) {
	for _, c := range l.open() {
		if len(clients) == 0 || slices.ContainsFunc(clients, c.from) {
			c.forget()
		}
	}
}

func (l *Listener) open() []*conn {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.conns)
}

// conn is an accepted connection.
type conn struct {
	net.Conn
	listener  *Listener
	once      sync.Once
	forgotten chan struct{} // closed by forget
}

func (c *conn) from(client net.Addr) bool { return c.RemoteAddr().String() == client.String() }

func (c *conn) forget() { c.once.Do(func() { close(c.forgotten) }) }

func (c *conn) silent() bool {
	select {
	case <-c.forgotten:
		return true
	default:
		return false
	}
}

// Read reads what the client sends. On a silent connection it returns only when the
// client has closed it.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.silent() && err == nil {
		_, err = io.Copy(io.Discard, c.Conn)
		return 0, eof(err)
	}
	return n, err
}

// eof is what a reader that has copied everything returns.
func eof(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// Write sends to the client. On a silent connection it only seems to.
func (c *conn) Write(p []byte) (int, error) {
	if c.silent() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.listener.mu.Lock()
	c.listener.conns = slices.DeleteFunc(c.listener.conns, func(other *conn) bool { return other == c })
	c.listener.mu.Unlock()
	return c.Conn.Close()
}
