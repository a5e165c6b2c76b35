package proxy

import (
	"io"
	"net"
	"slices"
	"sync"
)

// A Listener accepts connections, and can simulate failures of the network on them.
// It is safe for concurrent use.
type Listener struct {
	net.Listener

	mu       sync.Mutex
	accepted int
	conns    []*conn // open
}

// NewListener returns a Listener that accepts connections from l.
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

// Accepted returns the number of connections that were accepted so far.
func (l *Listener) Accepted() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.accepted
}

// Cut closes all open connections, including those with calls in progress. A request
// that has been forwarded reaches the server, and its reply is lost. Clients may
// connect again.
func (l *Listener) Cut() {
	for _, c := range l.open() {
		c.Close()
	}
}

// Forget makes the connections from these client addresses silent, or all connections
// if no address is given. Bytes on a silent connection are dropped in both directions
// without an error, until the client closes it. Clients may connect again.
func (l *Listener) Forget(clients ...net.Addr) {
	for _, c := range l.open() {
		if len(clients) == 0 || slices.ContainsFunc(clients, c.from) {
			c.forget()
		}
	}
}

// open returns the open connections.
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

// from reports whether the connection is from this client address.
func (c *conn) from(client net.Addr) bool { return c.RemoteAddr().String() == client.String() }

// forget makes the connection silent.
func (c *conn) forget() { c.once.Do(func() { close(c.forgotten) }) }

// silent reports whether the connection is silent.
func (c *conn) silent() bool {
	select {
	case <-c.forgotten:
		return true
	default:
		return false
	}
}

// Read reads from the client. On a silent connection it returns after the client has
// closed the connection.
func (c *conn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.silent() && err == nil {
		_, err = io.Copy(io.Discard, c.Conn)
		return 0, eof(err)
	}
	return n, err
}

// eof returns err, or io.EOF if err is nil, since io.Copy returns nil at the end of
// its input.
func eof(err error) error {
	if err == nil {
		return io.EOF
	}
	return err
}

// Write sends to the client. On a silent connection it drops the bytes and reports
// success.
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
