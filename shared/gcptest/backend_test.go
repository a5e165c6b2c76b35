package gcptest_test

import (
	"context"
	"io"
	"testing"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gcptest/emulator/emulatortest"
)

// A backend is one of the two Firestores that must agree.
type backend struct {
	official bool
	conn     *grpc.ClientConn
	raw      firestorepb.FirestoreClient
	project  string
	client   *firestore.Client // of the default database
}

func newBackend(t *testing.T, addr, project string, official bool) *backend {
	conn := dial(t, addr)
	return &backend{official, conn, firestorepb.NewFirestoreClient(conn), project, firestoreClient(t, conn, project, "(default)")}
}

func newEmbedded(t *testing.T) *backend {
	return newBackend(t, serve(t, gcptest.NewFirestore()), "p", false)
}

// newOfficial connects to Google's emulator, or skips the test if it is not installed.
func newOfficial(t *testing.T) *backend {
	addr, project := emulatortest.Firestore(t)
	return newBackend(t, addr, project, true)
}

// onBoth runs a test twice: with the embedded Firestore and with Google's emulator.
func onBoth(t *testing.T, test func(*testing.T, *backend)) {
	t.Run("embedded", func(t *testing.T) { test(t, newEmbedded(t)) })
	t.Run("official", func(t *testing.T) { test(t, newOfficial(t)) })
}

func (b *backend) database() string { return "projects/" + b.project + "/databases/(default)" }

func (b *backend) commit(ctx context.Context, tx []byte, writes ...*firestorepb.Write) (*firestorepb.CommitResponse, error) {
	return b.raw.Commit(ctx, &firestorepb.CommitRequest{Database: b.database(), Transaction: tx, Writes: writes})
}

func (b *backend) begin(t *testing.T) []byte {
	t.Helper()
	res, err := b.raw.BeginTransaction(t.Context(), &firestorepb.BeginTransactionRequest{Database: b.database()})
	if err != nil {
		t.Fatal(err)
	}
	return res.Transaction
}

func (b *backend) read(ctx context.Context, tx []byte, names ...string) ([]*firestorepb.BatchGetDocumentsResponse, error) {
	req := &firestorepb.BatchGetDocumentsRequest{Database: b.database(), Documents: names}
	if tx != nil {
		req.ConsistencySelector = &firestorepb.BatchGetDocumentsRequest_Transaction{Transaction: tx}
	}
	stream, err := b.raw.BatchGetDocuments(ctx, req)
	if err != nil {
		return nil, err
	}
	return receive(stream)
}

// receive returns all answers of a stream.
func receive[T any](stream grpc.ServerStreamingClient[T]) (all []*T, err error) {
	for {
		m, err := stream.Recv()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, m)
	}
}

func (b *backend) rollback(ctx context.Context, tx []byte) error {
	_, err := b.raw.Rollback(ctx, &firestorepb.RollbackRequest{Database: b.database(), Transaction: tx})
	return err
}

type (
	fields = map[string]*firestorepb.Value
	change = func(*firestorepb.Write)
)

func integer(n int64) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_IntegerValue{IntegerValue: n}}
}

func str(s string) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: s}}
}

func mapOf(f fields) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_MapValue{MapValue: &firestorepb.MapValue{Fields: f}}}
}

func array(vs ...*firestorepb.Value) *firestorepb.Value {
	return &firestorepb.Value{ValueType: &firestorepb.Value_ArrayValue{ArrayValue: &firestorepb.ArrayValue{Values: vs}}}
}

func update(name string, f fields, changes ...change) *firestorepb.Write {
	w := &firestorepb.Write{Operation: &firestorepb.Write_Update{Update: &firestorepb.Document{Name: name, Fields: f}}}
	for _, c := range changes {
		c(w)
	}
	return w
}

func remove(name string, changes ...change) *firestorepb.Write {
	w := &firestorepb.Write{Operation: &firestorepb.Write_Delete{Delete: name}}
	for _, c := range changes {
		c(w)
	}
	return w
}

func path(p string) *firestorepb.StructuredQuery_FieldReference {
	return &firestorepb.StructuredQuery_FieldReference{FieldPath: p}
}

// where returns a filter for one field.
func where(field string, op firestorepb.StructuredQuery_FieldFilter_Operator, v *firestorepb.Value) *firestorepb.StructuredQuery_Filter {
	return &firestorepb.StructuredQuery_Filter{FilterType: &firestorepb.StructuredQuery_Filter_FieldFilter{
		FieldFilter: &firestorepb.StructuredQuery_FieldFilter{Field: path(field), Op: op, Value: v}}}
}

func equal(field string, v *firestorepb.Value) *firestorepb.StructuredQuery_Filter {
	return where(field, firestorepb.StructuredQuery_FieldFilter_EQUAL, v)
}

func mask(paths ...string) change {
	return func(w *firestorepb.Write) { w.UpdateMask = &firestorepb.DocumentMask{FieldPaths: paths} }
}

func exists(b bool) change {
	return func(w *firestorepb.Write) {
		w.CurrentDocument = &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_Exists{Exists: b}}
	}
}

func updatedAt(at *timestamppb.Timestamp) change {
	return func(w *firestorepb.Write) {
		w.CurrentDocument = &firestorepb.Precondition{ConditionType: &firestorepb.Precondition_UpdateTime{UpdateTime: at}}
	}
}

func serverTime(path string) change {
	return func(w *firestorepb.Write) {
		w.UpdateTransforms = append(w.UpdateTransforms, &firestorepb.DocumentTransform_FieldTransform{FieldPath: path,
			TransformType: &firestorepb.DocumentTransform_FieldTransform_SetToServerValue{
				SetToServerValue: firestorepb.DocumentTransform_FieldTransform_REQUEST_TIME}})
	}
}

func increment(path string, by *firestorepb.Value) change {
	return func(w *firestorepb.Write) {
		w.UpdateTransforms = append(w.UpdateTransforms, &firestorepb.DocumentTransform_FieldTransform{FieldPath: path,
			TransformType: &firestorepb.DocumentTransform_FieldTransform_Increment{Increment: by}})
	}
}
