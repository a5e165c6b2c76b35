// Package proxy forwards gRPC calls between a client and a server on this machine. A
// test can count, delay, reject and lose calls there, without a change of the client
// or the server.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// A Handler decides about one call. method is the full name of its method, such as
// "/google.firestore.v1.Firestore/Commit". forward sends the call to the server and
// returns its error. If the handler returns nil after forward succeeded, the client
// gets the server's answers; if it returns an error, the client gets that error. If
// forward failed or was not called, the handler must return an error: with nil, the
// client would get status OK and no answer. So a handler that returns an error without
// calling forward rejects or loses the request, and one that returns an error after
// calling forward loses the reply. ctx is the context of the client's call. forward
// continues even if ctx is done, so a forwarded request always arrives. A Handler must
// be safe for concurrent use.
type Handler func(ctx context.Context, method string, forward func() error) error

// A Proxy forwards calls until Close.
type Proxy struct {
	Addr string // address on which it listens, 127.0.0.1:PORT

	// Clients accepts the connections from clients. A test may cut them or make them
	// silent.
	Clients *Listener

	server *grpc.Server
	target *grpc.ClientConn
}

// Start starts a proxy in front of the server at target, HOST:PORT. It supports calls
// with one request and any number of answers. The client gets the answers after the
// handler has returned.
func Start(target string, handle Handler) (*Proxy, error) {
	conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("proxy: %w", err)
	}
	p := &Proxy{Addr: tcp.Addr().String(), Clients: NewListener(tcp), target: conn}
	p.server = grpc.NewServer(
		grpc.ForceServerCodecV2(raw{}),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error { return p.carry(stream, handle) }),
	)
	go p.server.Serve(p.Clients)
	return p, nil
}

// Close stops the proxy and cancels the calls in progress.
func (p *Proxy) Close() error {
	p.server.Stop()
	return p.target.Close()
}

// carry reads the request of a call, runs the handler, and sends the answers.
func (p *Proxy) carry(client grpc.ServerStream, handle Handler) error {
	method, _ := grpc.MethodFromServerStream(client)
	var request []byte
	if err := client.RecvMsg(&request); err != nil {
		return err
	}
	var answers [][]byte
	err := handle(client.Context(), method, func() (err error) {
		answers, err = p.call(context.WithoutCancel(client.Context()), method, request)
		return err
	})
	if err != nil {
		return err
	}
	for _, answer := range answers {
		if err := client.SendMsg(&answer); err != nil {
			return err
		}
	}
	return nil
}

// call makes the call on the server, and returns all of its answers.
func (p *Proxy) call(ctx context.Context, method string, request []byte) ([][]byte, error) {
	if headers, ok := metadata.FromIncomingContext(ctx); ok {
		ctx = metadata.NewOutgoingContext(ctx, headers.Copy())
	}
	stream, err := p.target.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method, grpc.ForceCodecV2(raw{}))
	if err != nil {
		return nil, err
	}
	if err := stream.SendMsg(&request); err != nil {
		return nil, err
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var answers [][]byte
	for {
		var answer []byte
		switch err := stream.RecvMsg(&answer); {
		case errors.Is(err, io.EOF):
			return answers, nil
		case err != nil:
			return nil, err
		}
		answers = append(answers, answer)
	}
}

// Refuse returns the error Unavailable, as a server that is down would cause it. A
// [Handler] may return it.
func Refuse() error { return status.Error(codes.Unavailable, "refused by the proxy") }

// Hang waits until ctx is done, and returns its error as a gRPC status. A [Handler]
// may return it.
func Hang(ctx context.Context) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

// raw is a codec that forwards messages as bytes, without decoding them.
type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
