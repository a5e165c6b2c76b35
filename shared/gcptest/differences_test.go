package gcptest_test

import (
	"errors"
	"strings"
	"testing"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestDifferences lists the known and intended differences between the embedded
// Firestore and Google's emulator. Most of them are Unimplemented: calls that this
// project does not use are rejected.
func TestDifferences(t *testing.T) {
	readOnly := &firestorepb.TransactionOptions{Mode: &firestorepb.TransactionOptions_ReadOnly_{
		ReadOnly: &firestorepb.TransactionOptions_ReadOnly{}}}
	query := func(q *firestorepb.StructuredQuery) func(s scene) error {
		return func(s scene) error {
			stream, err := s.b.raw.RunQuery(s.ctx, &firestorepb.RunQueryRequest{Parent: s.b.database() + "/documents",
				QueryType: &firestorepb.RunQueryRequest_StructuredQuery{StructuredQuery: q}})
			if err != nil {
				return err
			}
			return second(receive(stream))
		}
	}
	batchGet := func(spoil func(*firestorepb.BatchGetDocumentsRequest)) func(s scene) error {
		return func(s scene) error {
			req := &firestorepb.BatchGetDocumentsRequest{Database: s.b.database(), Documents: []string{s.there.Path}}
			spoil(req)
			stream, err := s.b.raw.BatchGetDocuments(s.ctx, req)
			if err != nil {
				return err
			}
			return second(receive(stream))
		}
	}
	from := []*firestorepb.StructuredQuery_CollectionSelector{{CollectionId: "c"}}
	cases := []struct {
		name, why          string
		do                 func(s scene) error
		embedded, official codes.Code
	}{
		{"document of another database", "production refuses it too", func(s scene) error {
			return second(s.b.commit(s.ctx, nil, update("projects/another/databases/(default)/documents/c/d", nil)))
		}, codes.InvalidArgument, codes.OK},
		{"read of a long id", "one rule for reading and writing", func(s scene) error {
			return second(s.b.read(s.ctx, nil, s.b.database()+"/documents/c/"+strings.Repeat("x", 1501)))
		}, codes.InvalidArgument, codes.OK},
		{"numeric ids of Datastore", "reserved as documented", func(s scene) error {
			return second(s.b.commit(s.ctx, nil, update(s.b.database()+"/documents/c/__id7__", nil)))
		}, codes.InvalidArgument, codes.OK},
		{"document name in a mask", "reserved as documented", func(s scene) error {
			return second(s.b.commit(s.ctx, nil, update(s.there.Path, nil, mask("__name__"))))
		}, codes.InvalidArgument, codes.OK},
		{"guard by the time of the deletion", "the emulator takes it for the missing document's version", func(s scene) error {
			res, err := s.b.commit(s.ctx, nil, remove(s.there.Path))
			if err != nil {
				return err
			}
			return second(s.b.commit(s.ctx, nil, update(s.there.Path, nil, updatedAt(res.CommitTime))))
		}, codes.FailedPrecondition, codes.NotFound},
		{"two writes to one document", "the emulator merges them by rules of its own", func(s scene) error {
			return second(s.b.commit(s.ctx, nil, update(s.there.Path, nil), update(s.there.Path, nil)))
		}, codes.Unimplemented, codes.OK},
		{"transform as an operation", "clients attach transforms to updates", func(s scene) error {
			return second(s.b.commit(s.ctx, nil, &firestorepb.Write{Operation: &firestorepb.Write_Transform{
				Transform: &firestorepb.DocumentTransform{Document: s.there.Path,
					FieldTransforms: update("", nil, serverTime("t")).UpdateTransforms}}}))
		}, codes.Unimplemented, codes.OK},
		{"read-only transaction", "would need old versions", func(s scene) error {
			return second(s.b.raw.BeginTransaction(s.ctx, &firestorepb.BeginTransactionRequest{Database: s.b.database(), Options: readOnly}))
		}, codes.Unimplemented, codes.OK},
		{"new transaction without options", "is a read-only one", batchGet(func(r *firestorepb.BatchGetDocumentsRequest) {
			r.ConsistencySelector = &firestorepb.BatchGetDocumentsRequest_NewTransaction{NewTransaction: &firestorepb.TransactionOptions{}}
		}), codes.Unimplemented, codes.OK},
		{"read time", "would need old versions", func(s scene) error {
			return batchGet(func(r *firestorepb.BatchGetDocumentsRequest) {
				r.ConsistencySelector = &firestorepb.BatchGetDocumentsRequest_ReadTime{ReadTime: timestamppb.New(s.at)}
			})(s)
		}, codes.Unimplemented, codes.OK},
		{"mask on a read", "unused", batchGet(func(r *firestorepb.BatchGetDocumentsRequest) {
			r.Mask = &firestorepb.DocumentMask{FieldPaths: []string{"x"}}
		}), codes.Unimplemented, codes.OK},
		{"query of all collections", "unused", query(&firestorepb.StructuredQuery{}), codes.Unimplemented, codes.OK},
		{"query with an offset", "unused", query(&firestorepb.StructuredQuery{From: from, Offset: 1, Limit: wrapperspb.Int32(1)}),
			codes.Unimplemented, codes.OK},
		{"query by either of two fields", "unused", query(&firestorepb.StructuredQuery{From: from, Where: &firestorepb.StructuredQuery_Filter{
			FilterType: &firestorepb.StructuredQuery_Filter_CompositeFilter{CompositeFilter: &firestorepb.StructuredQuery_CompositeFilter{
				Op:      firestorepb.StructuredQuery_CompositeFilter_OR,
				Filters: []*firestorepb.StructuredQuery_Filter{equal("x", str("v")), equal("y", str("v"))}}}}}),
			codes.Unimplemented, codes.OK},
		{"query for a number", "unused", query(&firestorepb.StructuredQuery{From: from, Where: equal("x", integer(1))}),
			codes.Unimplemented, codes.OK},
		{"query by comparison", "unused", query(&firestorepb.StructuredQuery{From: from,
			Where: where("x", firestorepb.StructuredQuery_FieldFilter_LESS_THAN, str("v"))}), codes.Unimplemented, codes.OK},
		{"query for strings and others", "unused", query(&firestorepb.StructuredQuery{From: from,
			Where: where("x", firestorepb.StructuredQuery_FieldFilter_IN, array(str("v"), integer(1)))}), codes.Unimplemented, codes.OK},
		{"query by a field's order", "unused", query(&firestorepb.StructuredQuery{From: from, OrderBy: []*firestorepb.StructuredQuery_Order{
			{Field: path("x")}}}), codes.Unimplemented, codes.OK},
		{"query from the last name", "unused", query(&firestorepb.StructuredQuery{From: from, OrderBy: []*firestorepb.StructuredQuery_Order{
			{Field: path("__name__"), Direction: firestorepb.StructuredQuery_DESCENDING}}}), codes.Unimplemented, codes.FailedPrecondition},
		{"query for null", "unused", query(&firestorepb.StructuredQuery{From: from, Where: &firestorepb.StructuredQuery_Filter{
			FilterType: &firestorepb.StructuredQuery_Filter_UnaryFilter{UnaryFilter: &firestorepb.StructuredQuery_UnaryFilter{
				Op: firestorepb.StructuredQuery_UnaryFilter_IS_NULL, OperandType: &firestorepb.StructuredQuery_UnaryFilter_Field{Field: path("x")}}}}}),
			codes.Unimplemented, codes.OK},
	}
	onBoth(t, func(t *testing.T, b *backend) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				want := c.embedded
				if b.official {
					want = c.official
				}
				wantCode(t, c.do(newScene(t, b)), want)
			})
		}
	})
}

// The only difference that a client of this project can notice: reads of a
// transaction take no locks. In the embedded Firestore the first commit succeeds, and
// the transaction that read before it fails. In the emulator, the writer waits two
// seconds for the transaction's lock and fails.
func TestOptimisticTransactions(t *testing.T) {
	s := newScene(t, newEmbedded(t))
	write := update(s.there.Path, fields{"x": integer(7)})
	tests := map[string]struct {
		meanwhile func() error
		want      codes.Code
	}{
		"read and left alone":  {func() error { return nil }, codes.OK},
		"changed":              {func() error { return second(s.b.commit(s.ctx, nil, update(s.there.Path, fields{"y": integer(1)}))) }, codes.Aborted},
		"written, not changed": {func() error { return second(s.there.Update(s.ctx, set("x", 7))) }, codes.OK},
		"deleted":              {func() error { return second(s.there.Delete(s.ctx)) }, codes.Aborted},
		"made again": {func() error {
			_, err := s.b.commit(s.ctx, nil, remove(s.there.Path))
			return errors.Join(err, second(s.b.commit(s.ctx, nil, write)))
		}, codes.Aborted},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			wantCode(t, second(s.b.commit(s.ctx, nil, write)), codes.OK)
			tx := s.b.begin(t)
			wantCode(t, second(s.b.read(s.ctx, tx, s.there.Path, s.missing.Path)), codes.OK)
			wantCode(t, test.meanwhile(), codes.OK)
			wantCode(t, second(s.b.read(s.ctx, tx, s.there.Path)), codes.OK) // a second read does not replace the first one
			wantCode(t, second(s.b.commit(s.ctx, tx, update(s.there.Path, fields{"x": integer(8)}))), test.want)
			wantCode(t, second(s.b.commit(s.ctx, tx)), codes.InvalidArgument)
		})
	}
}
