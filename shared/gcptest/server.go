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
	"context"
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"
)

// maxRequest is the maximum size of a request to a [Server], in bytes: the limit of
// Firestore and Pub/Sub, 10 MB, and room for the envelope.
const maxRequest = 11 << 20

// connBuffer is the size of the buffer of a connection in memory, in bytes, for each
// direction.
const connBuffer = 1 << 16

// A Service is one of the embedded products: [Firestore], [SecretManager], [PubSub]
// or [Queues].
type Service interface {
	// Register adds the product's gRPC services to s, which the caller serves.
	Register(s grpc.ServiceRegistrar)
}

// Services are several services that one [Server] serves.
type Services []Service

// Register implements [Service].
func (all Services) Register(s grpc.ServiceRegistrar) {
	for _, one := range all {
		one.Register(s)
	}
}

// A Server serves one [Service], on a loopback TCP address or in memory, until Close.
// It is safe for concurrent use.
type Server struct {
	addr   string
	memory *bufconn.Listener // nil if the server listens on addr
	grpc   *grpc.Server
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
	return &Server{addr: lis.Addr().String(), grpc: serve(lis, s, opts)}, nil
}

// StartInMemory serves s on connections in memory, for a testing/synctest bubble, whose
// clock does not advance while a goroutine waits for a socket. Call it inside the
// bubble, and connect by Dial.
func StartInMemory(s Service, opts ...grpc.ServerOption) *Server {
	memory := bufconn.Listen(connBuffer)
	return &Server{memory: memory, grpc: serve(memory, s, opts)}
}

func serve(on net.Listener, s Service, opts []grpc.ServerOption) *grpc.Server {
	srv := grpc.NewServer(append([]grpc.ServerOption{grpc.MaxRecvMsgSize(maxRequest)}, opts...)...)
	s.Register(srv)
	go srv.Serve(on) // returns after Close; if accepting fails before that, clients see refused connections
	return srv
}

// Addr returns the server's address, HOST:PORT. It is a valid value of
// FIRESTORE_EMULATOR_HOST, SECRET_MANAGER_EMULATOR_HOST or PUBSUB_EMULATOR_HOST. It is
// empty if the server is in memory.
func (s *Server) Addr() string { return s.addr }

// Dial returns a connection to the server, which is opened on the first call. Its own
// options, the credentials and for a server in memory the dialer, override opts. The
// caller closes it.
func (s *Server) Dial(opts ...grpc.DialOption) (*grpc.ClientConn, error) {
	opts = append(opts, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if s.memory == nil {
		return grpc.NewClient(s.addr, opts...)
	}
	return grpc.NewClient("passthrough:///memory", append(opts, grpc.WithContextDialer(
		func(ctx context.Context, _ string) (net.Conn, error) { return s.memory.DialContext(ctx) }))...)
}

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
