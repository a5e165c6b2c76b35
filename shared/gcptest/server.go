// Package gcptest provides embedded servers for Firestore, Secret Manager and
// Pub/Sub: they run in this process, for tests and local work on a machine that has
// only Go. They serve the products' own gRPC protocols, so Google's client libraries
// work with them unchanged. They implement only the calls that this project uses, and
// answer all others with Unimplemented. The exception is [PubSub], which has all calls
// of pstest, Google's fake of Pub/Sub.
//
// Tests compare Firestore with Google's official emulator. TestDifferences lists the
// intended differences. Like the emulator, the package does not implement indexes,
// IAM, TTL deletion and the latency of production. All data is in memory, and is lost
// when the process ends.
package gcptest

import (
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxRequest is the maximum size of a request to a [Server], in bytes: the limit of
// Firestore and Pub/Sub, 10 MB, and room for the envelope.
const maxRequest = 11 << 20

// A Service is one of the embedded products: [Firestore], [SecretManager], [PubSub]
// or [Queues].
type Service interface {
	// Register adds the product's gRPC services to s. The caller serves s, for
	// example over bufconn.
	Register(s grpc.ServiceRegistrar)
}

// A Server serves one [Service] on a loopback TCP address until Close. It is safe for
// concurrent use.
type Server struct {
	addr string
	grpc *grpc.Server
}

// Start serves s on addr. With "127.0.0.1:0" the system chooses the port. The options
// apply to the gRPC server: for example, an interceptor can count calls or make them
// fail.
//
// Start fails if addr is not a loopback address, because the embedded products do not
// authenticate clients.
func Start(addr string, s Service, opts ...grpc.ServerOption) (*Server, error) {
	tcp, err := net.ResolveTCPAddr("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("gcptest: %w", err)
	}
	if !tcp.IP.IsLoopback() {
		return nil, fmt.Errorf("gcptest: %q is not a loopback address", addr)
	}
	lis, err := net.ListenTCP("tcp", tcp)
	if err != nil {
		return nil, fmt.Errorf("gcptest: %w", err)
	}
	srv := grpc.NewServer(append([]grpc.ServerOption{grpc.MaxRecvMsgSize(maxRequest)}, opts...)...)
	s.Register(srv)
	go srv.Serve(lis) // returns after Close; if accepting fails before that, clients see refused connections
	return &Server{addr: lis.Addr().String(), grpc: srv}, nil
}

// Addr returns the server's address, HOST:PORT. It is a valid value of
// FIRESTORE_EMULATOR_HOST, SECRET_MANAGER_EMULATOR_HOST or PUBSUB_EMULATOR_HOST.
func (s *Server) Addr() string { return s.addr }

// Close stops listening and cancels the calls in progress. The service keeps its
// state, and may be passed to Start again.
func (s *Server) Close() { s.grpc.Stop() }

// invalid returns the error for a request that the real product rejects too.
func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// unmodelled returns the error for a request that the real product accepts and the
// embedded one does not implement.
func unmodelled(what string) error {
	return status.Errorf(codes.Unimplemented, "the embedded server does not implement %s", what)
}
