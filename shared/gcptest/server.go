// Package gcptest provides Firestore, Secret Manager and Pub/Sub inside this process, for local work and tests on a machine
// with nothing but Go. Each speaks the product's own gRPC protocol, so Google's client libraries talk to it unchanged, and
// each models only what this project uses: whatever it does not model it refuses with Unimplemented rather than guess.
//
// The tests hold Firestore against Google's official emulator; TestDifferences lists where the two are meant to differ. What the
// emulator itself does not model, indexes, IAM, TTL deletion and production's latency, is not here either. Nothing is kept when
// the process ends.
package gcptest

import (
	"fmt"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// maxRequest is the largest request a [Server] takes: what Firestore and Pub/Sub allow (10 MB) and room for the envelope.
const maxRequest = 11 << 20

// A Service is one of the embedded products: [Firestore], [SecretManager] or [PubSub].
type Service interface {
	// Register adds the product's gRPC services to s, which the caller serves, over bufconn for instance.
	Register(s grpc.ServiceRegistrar)
}

// A Server serves one [Service] on a loopback TCP address until it is closed. Its methods may be called concurrently.
type Server struct {
	addr string
	grpc *grpc.Server
}

// Start serves s on addr, "127.0.0.1:0" for a port of the system's choice. The options go to the gRPC server, interceptors
// that count or fail calls among them.
//
// An address that is not loopback is refused: the embedded products ask nobody who they are.
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
	go srv.Serve(lis) // returns when Close is called; an accept that fails for good shows as refused connections
	return &Server{addr: lis.Addr().String(), grpc: srv}, nil
}

// Addr returns the address served, host:port, as FIRESTORE_EMULATOR_HOST, SECRET_MANAGER_EMULATOR_HOST and
// PUBSUB_EMULATOR_HOST want it.
func (s *Server) Addr() string { return s.addr }

// Close stops listening and cancels the calls in flight. The service keeps its state and may be started again.
func (s *Server) Close() { s.grpc.Stop() }

// invalid refuses what the product would refuse.
func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

// unmodelled refuses what the product would take, and the embedded one leaves out.
func unmodelled(what string) error {
	return status.Errorf(codes.Unimplemented, "the embedded server does not model %s", what)
}
