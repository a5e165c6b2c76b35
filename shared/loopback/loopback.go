// Package loopback tells this machine from others: what is sent to it passes no network,
// so that neither TLS nor credentials are asked for.
package loopback

import "net"

// Is reports whether host, without a port and without brackets, is localhost or a
// loopback address. No name but localhost is, whatever it resolves to.
func Is(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
