package gcptest

import (
	"bytes"
	"cmp"
	"slices"
	"strings"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// RunQuery implements [firestorepb.FirestoreServer] for one collection, with equality filters joined by AND, any order and a
// limit, outside of transactions. Booleans, numbers, timestamps, strings, bytes and null can be compared.
func (f *Firestore) RunQuery(req *firestorepb.RunQueryRequest, stream firestorepb.Firestore_RunQueryServer) error {
	q := req.GetStructuredQuery()
	if err := checkQuery(req, q); err != nil {
		return err
	}
	docs, now := f.collection(req.Parent + "/" + q.From[0].CollectionId)
	docs, err := selectDocuments(docs, q)
	if err != nil {
		return err
	}
	if len(docs) == 0 {
		return stream.Send(&firestorepb.RunQueryResponse{ReadTime: now})
	}
	return sendAll(stream, docs, now)
}

func sendAll(stream firestorepb.Firestore_RunQueryServer, docs []*firestorepb.Document, now *timestamppb.Timestamp) error {
	for _, d := range docs {
		if err := stream.Send(&firestorepb.RunQueryResponse{Document: d, ReadTime: now}); err != nil {
			return err
		}
	}
	return nil
}

func checkQuery(req *firestorepb.RunQueryRequest, q *firestorepb.StructuredQuery) error {
	switch {
	case req.ConsistencySelector != nil:
		return unmodelled("a query in a transaction or at a time")
	case req.ExplainOptions != nil:
		return unmodelled("the explanation of a query")
	case q == nil || len(q.From) != 1 || q.From[0].AllDescendants:
		return unmodelled("a query that is not of one collection")
	case q.Select != nil || q.StartAt != nil || q.EndAt != nil || q.Offset != 0 || q.FindNearest != nil:
		return unmodelled("projections, cursors, offsets and vectors in a query")
	case q.Limit.GetValue() < 0:
		return invalid("a negative limit")
	}
	database, _, ok := strings.Cut(req.Parent, "/documents")
	if !ok {
		return invalid("bad parent %q", req.Parent)
	}
	return checkDocument(database, req.Parent+"/"+q.From[0].CollectionId+"/any")
}

// selectDocuments filters, orders and limits documents that are in the order of their ids.
func selectDocuments(docs []*firestorepb.Document, q *firestorepb.StructuredQuery) ([]*firestorepb.Document, error) {
	filters, err := equalities(q.Where)
	if err != nil {
		return nil, err
	}
	orders, err := sortKeys(q.OrderBy)
	if err != nil {
		return nil, err
	}
	docs = slices.DeleteFunc(docs, func(d *firestorepb.Document) bool {
		return slices.ContainsFunc(filters, func(e equality) bool { return !e.holds(d) }) ||
			slices.ContainsFunc(orders, func(k sortKey) bool { return k.of(d) == nil })
	})
	if err := sortDocuments(docs, orders); err != nil {
		return nil, err
	}
	if q.Limit != nil {
		docs = docs[:min(len(docs), int(q.Limit.Value))]
	}
	return docs, nil
}

type equality struct {
	path  []string
	value *firestorepb.Value
}

func (e equality) holds(d *firestorepb.Document) bool {
	v := lookup(d.Fields, e.path)
	return v != nil && compareValues(v, e.value) == 0
}

func equalities(f *firestorepb.StructuredQuery_Filter) (all []equality, err error) {
	if f == nil {
		return nil, nil
	}
	if c := f.GetCompositeFilter(); c.GetOp() == firestorepb.StructuredQuery_CompositeFilter_AND {
		for _, f := range c.Filters {
			es, err := equalities(f)
			if err != nil {
				return nil, err
			}
			all = append(all, es...)
		}
		return all, nil
	}
	ff := f.GetFieldFilter()
	if ff.GetOp() != firestorepb.StructuredQuery_FieldFilter_EQUAL || rank(ff.Value) == 0 {
		return nil, unmodelled("a filter other than equality of plain values joined by AND")
	}
	path, err := parsePath(ff.Field.GetFieldPath())
	return []equality{{path, ff.Value}}, err
}

type sortKey struct {
	path       []string // nil for the document's name
	descending bool
}

// of returns the value that k sorts d by, nil where d has none and so is no result.
func (k sortKey) of(d *firestorepb.Document) *firestorepb.Value {
	if k.path == nil {
		return &firestorepb.Value{ValueType: &firestorepb.Value_StringValue{StringValue: d.Name}}
	}
	return lookup(d.Fields, k.path)
}

func sortKeys(orders []*firestorepb.StructuredQuery_Order) (keys []sortKey, err error) {
	for _, o := range orders {
		k := sortKey{descending: o.Direction == firestorepb.StructuredQuery_DESCENDING}
		if p := o.Field.GetFieldPath(); p != "__name__" {
			if k.path, err = parsePath(p); err != nil {
				return nil, err
			}
		}
		keys = append(keys, k)
	}
	return keys, nil
}

// sortDocuments sorts documents that are in the order of their ids. Among equals the ids decide, in the last key's direction.
func sortDocuments(docs []*firestorepb.Document, keys []sortKey) error {
	for _, d := range docs {
		if slices.ContainsFunc(keys, func(k sortKey) bool { return rank(k.of(d)) == 0 }) {
			return unmodelled("an order by fields that are arrays, maps, references or places")
		}
	}
	if len(keys) > 0 && keys[len(keys)-1].descending {
		slices.Reverse(docs)
	}
	slices.SortStableFunc(docs, func(a, b *firestorepb.Document) int {
		for _, k := range keys {
			c := compareValues(k.of(a), k.of(b))
			if k.descending {
				c = -c
			}
			if c != 0 {
				return c
			}
		}
		return 0
	})
	return nil
}

// rank places a value's type in Firestore's order of types; 0 is a type that queries here do not compare.
func rank(v *firestorepb.Value) int {
	switch v.GetValueType().(type) {
	case *firestorepb.Value_NullValue:
		return 1
	case *firestorepb.Value_BooleanValue:
		return 2
	case *firestorepb.Value_IntegerValue, *firestorepb.Value_DoubleValue:
		return 3
	case *firestorepb.Value_TimestampValue:
		return 4
	case *firestorepb.Value_StringValue:
		return 5
	case *firestorepb.Value_BytesValue:
		return 6
	}
	return 0
}

// compareValues orders two values as Firestore does: first by type.
func compareValues(a, b *firestorepb.Value) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch rank(a) {
	case 2:
		return cmp.Compare(b2i(a.GetBooleanValue()), b2i(b.GetBooleanValue()))
	case 3:
		if isInteger(a) && isInteger(b) {
			return cmp.Compare(a.GetIntegerValue(), b.GetIntegerValue())
		}
		return cmp.Compare(float(a), float(b))
	case 4:
		return a.GetTimestampValue().AsTime().Compare(b.GetTimestampValue().AsTime())
	case 5:
		return strings.Compare(a.GetStringValue(), b.GetStringValue())
	case 6:
		return bytes.Compare(a.GetBytesValue(), b.GetBytesValue())
	}
	return 0
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}
