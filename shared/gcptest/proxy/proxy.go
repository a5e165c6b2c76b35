// Package proxy stands between a client and a gRPC server on this machine, and lets
// a test count, delay, refuse and lose calls on the wire. Neither side knows.
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

// A Handler decides about one call, of a method such as
// "/google.firestore.v1.Firestore/Commit". forward sends the call on and returns
// its outcome; whatever the handler returns is what the client gets, and a nil
// brings it the server's answer. So to return an error without calling forward
// refuses or loses the request, and to return one after it loses the reply. ctx is
// the client's call. forward works on when that has ended: what is on its way
// arrives, though nobody waits for it. It is called by many goroutines.
type Handler func(ctx context.Context, method string, forward func() error) error

// A Proxy passes calls on until it is closed.
type Proxy struct {
	Addr string // where it listens: 127.0.0.1 and a port

	// Clients are the connections to the proxy, which a test may cut or forget.
	Clients *Listener

	server *grpc.Server
	target *grpc.ClientConn
}

// Start returns a proxy in front of target. It carries calls with one request and
// any number of answers, which it holds back until the handler has decided.
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

// Close ends the proxy and the calls that go through it.
func (p *Proxy) Close() error {
	p.server.Stop()
	return p.target.Close()
}

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

// Refuse is a handler's answer in the name of a server that is down.
func Refuse() error { return status.Error(codes.Unavailable, "refused by the proxy") }

// Hang waits until the client gives up.
func Hang(ctx context.Context) error {
	<-ctx.Done()
	return status.FromContextError(ctx.Err()).Err()
}

// raw passes messages through as bytes.
type raw struct{}

func (raw) Name() string { return "raw" }

func (raw) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(*v.(*[]byte))}, nil
}

func (raw) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}
