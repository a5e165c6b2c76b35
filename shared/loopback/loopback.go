// Package loopback reports whether a host is this machine. Data sent there does not cross
// a network, so callers need no TLS and no credentials.
package loopback

import "net"

// Is reports whether host is "localhost" or a loopback address, without brackets. Every
// other host name gives false, even if it resolves to a loopback address. A host with a
// port gives false.
func Is(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
