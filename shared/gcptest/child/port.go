package child

import "net"

// FreePort returns a port of 127.0.0.1 on which no process listens at the moment, for a
// child that cannot be given a listener. Another process may take it before the child
// does.
func FreePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	return port, err
}
