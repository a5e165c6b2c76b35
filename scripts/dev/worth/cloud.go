package main

import (
	"context"
	"sync/atomic"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/grpc"

	"github.com/geminihook/geminihook/shared/gcptest"
)

// Billed are the quantities that Google Cloud bills.
type Billed struct {
	Requests int64 // to the receivers
	Events   int64 // messages on the events topic
	Names    int64 // messages on the jobs topic
	Writes   int64 // documents written
	Deletes  int64 // documents deleted
	Reads    int64 // documents read
}

// A cloud is an in-process Firestore and Pub/Sub that counts billed quantities.
type cloud struct {
	firestore *gcptest.Firestore
	pubsub    *gcptest.Queues

	requests, events, names, writes, deletes, reads atomic.Int64
}

func newCloud() *cloud {
	return &cloud{
		firestore: gcptest.NewFirestore(),
		pubsub:    gcptest.NewQueues(nil, map[string]string{eventsSubscription: eventsTopic, place.Subscription: jobsTopic}),
	}
}

// Register implements [gcptest.Service].
func (c *cloud) Register(s grpc.ServiceRegistrar) {
	c.firestore.Register(s)
	c.pubsub.Register(s)
}

func (c *cloud) billed() Billed {
	return Billed{c.requests.Load(), c.events.Load(), c.names.Load(), c.writes.Load(), c.deletes.Load(), c.reads.Load()}
}

// inMemory serves the cloud over an in-memory connection, because testing/synctest does
// not work with sockets. stop closes the connection and the server.
func (c *cloud) inMemory() (conn *grpc.ClientConn, stop func(), err error) {
	server := gcptest.StartInMemory(c, c.counting()...)
	if conn, err = server.Dial(); err != nil {
		server.Close()
		return nil, nil, err
	}
	return conn, func() { conn.Close(); server.Close() }, nil
}

// counting returns interceptors that count billed quantities.
func (c *cloud) counting() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
			c.count(req)
			return handle(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
			return handle(srv, &counting{stream, c})
		}),
	}
}

func (c *cloud) count(req any) {
	switch req := req.(type) {
	case *firestorepb.CommitRequest:
		c.countWrites(req.Writes)
	case *firestorepb.BatchWriteRequest: // of deliveries that arrive at the same time
		c.countWrites(req.Writes)
	case *pubsubpb.PublishRequest:
		n := int64(len(req.Messages))
		if req.Topic == eventsTopic {
			c.events.Add(n)
		} else {
			c.names.Add(n)
		}
	}
}

func (c *cloud) countWrites(all []*firestorepb.Write) {
	for _, w := range all {
		if w.GetDelete() != "" {
			c.deletes.Add(1)
		} else {
			c.writes.Add(1)
		}
	}
}

// counting counts the documents that a stream returns.
type counting struct {
	grpc.ServerStream
	cloud *cloud
}

// SendMsg implements [grpc.ServerStream].
func (s *counting) SendMsg(m any) error {
	switch m := m.(type) {
	case *firestorepb.BatchGetDocumentsResponse:
		s.cloud.reads.Add(1) // a missing document is billed, too
	case *firestorepb.RunQueryResponse:
		if m.Document != nil {
			s.cloud.reads.Add(1)
		}
	}
	return s.ServerStream.SendMsg(m)
}
