// Package dial provides the options of all gRPC clients of Google APIs: those of
// Firestore, Pub/Sub and Secret Manager. They make a client detect a dead connection,
// and keep requests and responses out of the log. gemini.Client, which uses HTTP, does
// not use them.
package dial

import (
	"log/slog"
	"time"

	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/keepalive"
)

const (
	// pingAfter is the time without traffic after which a call sends a ping. gRPC
	// raises a shorter time to ten seconds, and servers close connections that ping
	// more often ("too_many_pings").
	pingAfter = 10 * time.Second

	// pingTimeout is the time for the server to answer a ping. It is half the timeout
	// of refreshing a secret (package refresh), so that a refresh on a dead
	// connection can still succeed on a new one. On Linux it is also the
	// TCP_USER_TIMEOUT.
	pingTimeout = time.Second
)

// Options returns the options that a constructor passes to a Google client, before
// the options of its caller:
//
//   - [Keepalive];
//   - a logger that discards. If GOOGLE_SDK_GO_LOGGING_LEVEL is "debug", the clients
//     otherwise log every request and response, including secrets and event bodies;
//   - no telemetry. By default OpenTelemetry observes every call. That costs CPU and has
//     no effect, because the functions do not contain its SDK.
//
// A client that gets a connection (option.WithGRPCConn) ignores all but the logger.
// Firestore's client does so if FIRESTORE_EMULATOR_HOST is set.
func Options() []option.ClientOption {
	return []option.ClientOption{
		option.WithGRPCDialOption(Keepalive()),
		option.WithLogger(slog.New(slog.DiscardHandler)),
		option.WithTelemetryDisabled(),
	}
}

// Emulator returns the options for a client of an emulator at addr, HOST:PORT: no TLS
// and no credentials. They do not include those of Options, which must come first.
func Emulator(addr string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(addr),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
	}
}

// Keepalive returns an option that makes a gRPC connection detect that it is dead. A
// NAT, a firewall or a load balancer may drop the state of an idle connection, for
// example between two events. Packets are then lost without an error, and without
// pings the kernel gives up only after about 15 minutes.
//
// If a connection has been silent for ten seconds, a call on it sends a ping. If the
// server does not answer within one second, the client closes the connection, the
// calls on it fail with Unavailable, and the next attempt opens a new one. A
// connection without calls sends no pings: an idle instance has no CPU, and servers
// treat such pings as abuse.
func Keepalive() grpc.DialOption {
	return grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: pingAfter, Timeout: pingTimeout})
}
