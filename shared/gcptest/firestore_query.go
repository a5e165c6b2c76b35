package gcptest

import (
	"slices"
	"strings"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const maxIn = 30 // Firestore's limit on the values of an "in"

// RunQuery implements [firestorepb.FirestoreServer] for queries of one collection,
// outside of transactions. It returns all documents, or those that match filters of the
// form "field equals a string" or "field is in a list of at most 30 strings", joined by
// AND, with at most 30 combinations of values. Documents are in the order of their
// names, up to the query's limit. As in production, it fails with InvalidArgument if a
// list is empty or a bound is exceeded. Other queries fail with Unimplemented.
func (f *Firestore) RunQuery(req *firestorepb.RunQueryRequest, stream firestorepb.Firestore_RunQueryServer) error {
	q := req.GetStructuredQuery()
	if err := checkQuery(req, q); err != nil {
		return err
	}
	where, err := parseFilters(q.Where)
	if err != nil {
		return err
	}
	docs, now := f.collection(req.Parent + "/" + q.From[0].CollectionId)
	for _, filter := range where {
		docs = slices.DeleteFunc(docs, func(d *firestorepb.Document) bool { return !filter.holds(d) })
	}
	if q.Limit != nil {
		docs = docs[:min(len(docs), int(q.Limit.Value))]
	}
	if len(docs) == 0 {
		return stream.Send(&firestorepb.RunQueryResponse{ReadTime: now})
	}
	return sendAll(stream, docs, now)
}

// sendAll sends one answer for each document.
func sendAll(stream firestorepb.Firestore_RunQueryServer, docs []*firestorepb.Document, now *timestamppb.Timestamp) error {
	for _, d := range docs {
		if err := stream.Send(&firestorepb.RunQueryResponse{Document: d, ReadTime: now}); err != nil {
			return err
		}
	}
	return nil
}

// checkQuery returns an error if a query is invalid or not implemented.
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
	case slices.ContainsFunc(q.OrderBy, func(o *firestorepb.StructuredQuery_Order) bool {
		return o.Field.GetFieldPath() != "__name__" || o.Direction == firestorepb.StructuredQuery_DESCENDING
	}):
		return unmodelled("an order other than that of the documents' names")
	case q.Limit.GetValue() < 0:
		return invalid("a negative limit")
	}
	database, _, ok := strings.Cut(req.Parent, "/documents")
	if !ok {
		return invalid("bad parent %q", req.Parent)
	}
	return checkDocument(database, req.Parent+"/"+q.From[0].CollectionId+"/any")
}

// A filter matches documents with one of values in the field at path.
type filter struct {
	path   []string
	values []string
}

// holds reports whether a document matches the filter.
func (f *filter) holds(d *firestorepb.Document) bool {
	v, ok := lookup(d.Fields, f.path).GetValueType().(*firestorepb.Value_StringValue)
	return ok && slices.Contains(f.values, v.StringValue)
}

// parseFilters returns the filters that a document must match: those of an AND, a
// single one, or no filter. Like production, it rejects more than 30 combinations of
// values.
func parseFilters(f *firestorepb.StructuredQuery_Filter) (all []*filter, err error) {
	if f == nil {
		return nil, nil
	}
	parts := []*firestorepb.StructuredQuery_Filter{f}
	if and := f.GetCompositeFilter(); and.GetOp() == firestorepb.StructuredQuery_CompositeFilter_AND {
		parts = and.Filters
	}
	combinations := 1
	for _, part := range parts {
		one, err := parseFilter(part)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
		combinations *= len(one.values)
	}
	if combinations > maxIn {
		return nil, invalid("%d combinations of values, more than %d", combinations, maxIn)
	}
	return all, nil
}

// parseFilter returns the filter of one comparison.
func parseFilter(f *firestorepb.StructuredQuery_Filter) (*filter, error) {
	ff := f.GetFieldFilter()
	values := []*firestorepb.Value{ff.GetValue()}
	switch ff.GetOp() {
	case firestorepb.StructuredQuery_FieldFilter_EQUAL:
	case firestorepb.StructuredQuery_FieldFilter_IN:
		if values = ff.Value.GetArrayValue().GetValues(); len(values) == 0 || len(values) > maxIn {
			return nil, invalid(`"in" takes an array of 1 to %d values`, maxIn)
		}
	default:
		return nil, unmodelled(`a filter other than fields' equality or "in", joined by AND`)
	}
	path, err := parsePath(ff.Field.GetFieldPath())
	if err != nil {
		return nil, err
	}
	parsed := &filter{path: path}
	for _, value := range values {
		s, ok := value.GetValueType().(*firestorepb.Value_StringValue)
		if !ok {
			return nil, unmodelled("a comparison with something other than strings")
		}
		parsed.values = append(parsed.values, s.StringValue)
	}
	return parsed, nil
}
