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
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/geminihook/geminihook/shared/dial"
	"github.com/geminihook/geminihook/shared/together"
)

// maxWrites is the maximum number of writes in one call, which bounds its memory. It is
// more than the number of deliveries that a receiver serves at a time (80).
const maxWrites = 100

// A writer writes records. Writes that arrive at the same time share one BatchWrite, which
// applies or rejects each write by itself. It is safe for concurrent use.
type writer struct {
	client   *firestore.Client
	database string
	calls    together.Caller[*firestorepb.Write, outcome]
}

// An outcome is the result of one write.
type outcome struct {
	updated time.Time // the document's update time
	err     error
	again   bool // it failed in a shared call: try it alone
}

// openWriter returns a writer for a database, which is given by its full name. It does not
// connect. The writer has its own connection, because the client of package firestore
// gives access neither to its connection nor to BatchWrite.
func openWriter(ctx context.Context, database string, opts ...option.ClientOption) (*writer, error) {
	client, err := firestore.NewClient(ctx, append(append(dial.Options(), emulated()...), opts...)...)
	if err != nil {
		return nil, err
	}
	w := &writer{client: client, database: database}
	w.calls.Call, w.calls.Fits = w.call, fits
	return w, nil
}

// connect starts to connect, without waiting.
func (w *writer) connect() {
	//lint:ignore SA1019 deprecated because of pools: this client has one connection
	w.client.Connection().Connect()
}

func (w *writer) close() error { return w.client.Close() }

// emulated returns the options for the emulator at FIRESTORE_EMULATOR_HOST, or none if the
// variable is not set. The client of package firestore reads the variable by itself.
func emulated() []option.ClientOption {
	addr := os.Getenv("FIRESTORE_EMULATOR_HOST")
	if addr == "" {
		return nil
	}
	return append(dial.Emulator(addr), option.WithGRPCDialOption(grpc.WithPerRPCCredentials(administrator{})))
}

// administrator is the credential that the emulator requires for BatchWrite.
type administrator struct{}

func (administrator) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (administrator) RequireTransportSecurity() bool { return false }

// do makes a write and returns the document's update time. It shares a call with other
// callers that write at the same time. Two writes to one document do not share a call.
//
// If a write fails in a shared call, do makes it again alone, so that the error is its own
// and that of a Commit. That is safe even if the first one took effect: a create then
// finds its own record. Only AlreadyExists is final at once.
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

// call makes one write by Commit and several by BatchWrite.
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

// commit makes one write by Commit.
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

// newDocument returns the document with a record's fields. Package firestore would build
// it by reflection, which took a twentieth of a delivery's CPU time.
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

// setValue sets v to the value of a record's field. It panics if the type of the field is
// not one of Record's.
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
