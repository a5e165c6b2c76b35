// Package dial holds the options of every connection to a Google API: how a dead
// connection is noticed, and that nothing on it is logged.
package dial

import (
	"log/slog"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"
)

const (
	// pingAfter is how long a connection may be silent before a call on it sends a
	// ping. A shorter interval is not possible: gRPC raises it to ten seconds, and
	// servers close connections that ping more often ("too_many_pings").
	pingAfter = 10 * time.Second

	// pingTimeout is how long the server has to answer a ping. It is half the time
	// that refreshing a secret may take (package refresh), so that a refresh that
	// starts on a dead connection still has time to succeed on a new one. On Linux it
	// is also the TCP_USER_TIMEOUT.
	pingTimeout = time.Second
)

// Options returns the options that a constructor passes to a Google client, before
// those of its caller:
//
//   - [Keepalive];
//   - a logger that discards. By default the clients log every request and response,
//     secrets and event bodies included, if GOOGLE_SDK_GO_LOGGING_LEVEL is "debug";
//   - no telemetry. By default OpenTelemetry observes every call, which costs CPU, and
//     for nothing: the functions do not have its SDK.
//
// A client that is given a connection (option.WithGRPCConn) ignores all but the logger,
// as Firestore's client does if FIRESTORE_EMULATOR_HOST is set.
func Options() []option.ClientOption {
	return []option.ClientOption{
		option.WithGRPCDialOption(Keepalive()),
		option.WithLogger(slog.New(slog.DiscardHandler)),
		option.WithTelemetryDisabled(),
	}
}

// Keepalive makes a gRPC connection notice that it is dead. A NAT, a firewall or a
// load balancer may forget a connection that is idle, as those of an instance between
// two events are; packets then vanish without an error, and without pings the kernel
// gives up only after about 15 minutes.
//
// A call on a connection that was silent for ten seconds sends a ping. If the server
// does not answer within one second, the connection is closed, its calls fail with
// Unavailable, and the next attempt connects anew. A connection without calls sends
// nothing: an idle instance has no CPU, and servers count such pings as abuse.
func Keepalive() grpc.DialOption {
	return grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout})
}
