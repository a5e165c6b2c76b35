package dedup

import (
	"context"
	"fmt"
	"os"
	"slices"
	"time"

	firestore "cloud.google.com/go/firestore/apiv1"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/geminihook/geminihook/shared/dial"
	"github.com/geminihook/geminihook/shared/together"
)

// maxWrites bounds the writes of one call, for the memory that it takes: a receiver
// serves no more deliveries at a time.
const maxWrites = 100

// A writer makes the writes of many deliveries: those that arrive at the same time in
// one BatchWrite, which makes or refuses each by itself. It is safe for concurrent use.
type writer struct {
	client   *firestore.Client
	database string
	calls    together.Caller[*firestorepb.Write, outcome]
}

// An outcome is what became of one write.
type outcome struct {
	updated time.Time // the document's update time
	err     error
	again   bool // it failed beside others: try it by itself
}

// openWriter returns a writer to a database, named in full. Nothing is connected yet. The
// connection is the writer's own: the client of package firestore shares none.
func openWriter(ctx context.Context, database string, opts ...option.ClientOption) (*writer, error) {
	client, err := firestore.NewClient(ctx, append(append(dial.Options(), emulated()...), opts...)...)
	if err != nil {
		return nil, err
	}
	w := &writer{client: client, database: database}
	w.calls.Call, w.calls.Fits = w.call, fits
	return w, nil
}

// connect begins to connect.
func (w *writer) connect() {
	//lint:ignore SA1019 deprecated because of pools: this client has one connection
	w.client.Connection().Connect()
}

func (w *writer) close() error { return w.client.Close() }

// emulated are the options that lead to the emulator that FIRESTORE_EMULATOR_HOST names,
// if any. The client of package firestore has its own.
func emulated() []option.ClientOption {
	addr := os.Getenv("FIRESTORE_EMULATOR_HOST")
	if addr == "" {
		return nil
	}
	return []option.ClientOption{
		option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithPerRPCCredentials(administrator{})),
	}
}

// administrator is the credential that the emulator asks for in a BatchWrite.
type administrator struct{}

func (administrator) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (administrator) RequireTransportSecurity() bool { return false }

// do makes a write and returns the document's update time. If other callers write at the
// same time, it makes them in one call with theirs; no two of them to one document.
//
// A write that failed beside others is made again by itself, so that its error is its
// own and is that of a Commit. That is safe even if it was made the first time: a create
// then finds its own record. Only a create that finds a record is final at once.
func (w *writer) do(ctx context.Context, write *firestorepb.Write) (time.Time, error) {
	o, err := w.calls.Do(ctx, write)
	switch {
	case err != nil:
		return time.Time{}, err
	case o.again:
		o = w.commit(ctx, write)
	}
	return o.updated, o.err
}

func fits(writes []*firestorepb.Write, more *firestorepb.Write) bool {
	return len(writes) < maxWrites && !slices.ContainsFunc(writes, func(w *firestorepb.Write) bool {
		return w.GetUpdate().Name == more.GetUpdate().Name
	})
}

// call makes writes: one of them as it would be without others.
func (w *writer) call(ctx context.Context, writes []*firestorepb.Write) ([]outcome, error) {
	if len(writes) == 1 {
		return []outcome{w.commit(ctx, writes[0])}, nil
	}
	all := make([]outcome, len(writes))
	response, err := w.client.BatchWrite(ctx, &firestorepb.BatchWriteRequest{Database: w.database, Writes: writes})
	for i := range all {
		if err != nil || len(response.Status) != len(writes) || len(response.WriteResults) != len(writes) {
			all[i].again = true
			continue
		}
		all[i].updated = response.WriteResults[i].UpdateTime.AsTime()
		all[i].err = status.FromProto(response.Status[i]).Err()
		code := status.Code(all[i].err)
		all[i].again = code != codes.OK && code != codes.AlreadyExists
	}
	return all, nil
}

// commit makes one write.
func (w *writer) commit(ctx context.Context, write *firestorepb.Write) outcome {
	response, err := w.client.Commit(ctx, &firestorepb.CommitRequest{Database: w.database, Writes: []*firestorepb.Write{write}})
	switch {
	case err != nil:
		return outcome{err: err}
	case len(response.WriteResults) != 1:
		return outcome{err: fmt.Errorf("%d results of one write", len(response.WriteResults))}
	}
	return outcome{updated: response.WriteResults[0].UpdateTime.AsTime()}
}

// newDocument returns the document that holds a record.
func newDocument(name string, r *Record) *firestorepb.Document {
	updates := r.updates()
	values := make([]firestorepb.Value, len(updates))
	fields := make(map[string]*firestorepb.Value, len(updates))
	for i, u := range updates {
		setValue(&values[i], u.Value)
		fields[u.Path] = &values[i]
	}
	return &firestorepb.Document{Name: name, Fields: fields}
}

// setValue sets a value to that of a record's field.
func setValue(v *firestorepb.Value, field any) {
	switch field := field.(type) {
	case string:
		v.ValueType = &firestorepb.Value_StringValue{StringValue: field}
	case int:
		v.ValueType = &firestorepb.Value_IntegerValue{IntegerValue: int64(field)}
	case time.Time:
		v.ValueType = &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(field)}
	default:
		panic(fmt.Sprintf("a field of type %T", field))
	}
}
