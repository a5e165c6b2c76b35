package gcptest

import (
	"maps"
	"math"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// checkCommit returns an error if the request is invalid, independently of the stored
// documents.
func checkCommit(req *firestorepb.CommitRequest) error {
	return checkWrites(req.Database, req.Writes, unmodelled("two writes to one document in one commit"))
}

// checkBatch does the same for a batch.
func checkBatch(req *firestorepb.BatchWriteRequest) error {
	return checkWrites(req.Database, req.Writes, invalid("two writes to one document in one batch"))
}

// checkWrites returns an error if the database or a write is invalid, or twice if two
// writes are to one document.
func checkWrites(database string, writes []*firestorepb.Write, twice error) error {
	if err := checkDatabase(database); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, w := range writes {
		if err := checkWrite(database, w); err != nil {
			return err
		}
		if seen[written(w)] {
			return twice
		}
		seen[written(w)] = true
	}
	return nil
}

// checkWrite returns an error if a write is invalid or not implemented.
func checkWrite(database string, w *firestorepb.Write) error {
	if t := w.CurrentDocument.GetUpdateTime(); t.GetNanos()%1000 != 0 {
		return invalid("update time in a precondition must be in microseconds")
	}
	switch w.Operation.(type) {
	case *firestorepb.Write_Update:
		if err := checkUpdate(w); err != nil {
			return err
		}
	case *firestorepb.Write_Delete:
		if w.UpdateMask != nil || w.UpdateTransforms != nil {
			return invalid("a delete must have neither mask nor transforms")
		}
	case nil:
		return invalid("write has no operation")
	default:
		return unmodelled("a write that is neither an update nor a delete")
	}
	return checkDocument(database, written(w))
}

// checkUpdate returns an error if an update has an invalid mask, transform or field.
func checkUpdate(w *firestorepb.Write) error {
	for _, p := range w.UpdateMask.GetFieldPaths() {
		if _, err := parsePath(p); err != nil {
			return err
		}
	}
	for _, t := range w.UpdateTransforms {
		if err := checkTransform(t); err != nil {
			return err
		}
	}
	return checkFields(w.GetUpdate().Fields)
}

// checkTransform returns an error if a transform is invalid or not implemented.
func checkTransform(t *firestorepb.DocumentTransform_FieldTransform) error {
	if _, err := parsePath(t.FieldPath); err != nil {
		return err
	}
	switch by := t.GetIncrement(); {
	case t.GetSetToServerValue() == firestorepb.DocumentTransform_FieldTransform_REQUEST_TIME, isNumber(by):
		return nil
	case by != nil:
		return invalid("increment by a value that is not a number")
	}
	return unmodelled("a transform other than the server's time and an increment")
}

// written returns the name of the document of a write.
func written(w *firestorepb.Write) string {
	if u := w.GetUpdate(); u != nil {
		return u.Name
	}
	return w.GetDelete()
}

// applyWrite returns the document after a checked write, and the results of its
// transforms. A missing document is nil, before and after. If the write changes no
// field, applyWrite returns old itself, with its update time.
func applyWrite(w *firestorepb.Write, old *firestorepb.Document, now *timestamppb.Timestamp) (*firestorepb.Document, []*firestorepb.Value, error) {
	if err := checkPrecondition(w.CurrentDocument, old); err != nil {
		return nil, nil, err
	}
	update := w.GetUpdate()
	if update == nil {
		return nil, nil, nil
	}
	doc := &firestorepb.Document{Name: update.Name, Fields: merge(old.GetFields(), update.Fields, w.UpdateMask)}
	doc = proto.CloneOf(doc)
	truncateTimes(doc.Fields)
	values := transform(doc, w.UpdateTransforms, now)
	if size := documentSize(doc); size > maxDocument {
		return nil, nil, invalid("document of %d bytes, more than %d", size, maxDocument)
	}
	if old == nil {
		doc.CreateTime, doc.UpdateTime = now, now
		return doc, values, nil
	}
	doc.CreateTime, doc.UpdateTime = old.CreateTime, old.UpdateTime
	if proto.Equal(doc, old) {
		return old, values, nil
	}
	doc.UpdateTime = now
	return doc, values, nil
}

// checkPrecondition returns an error if a document does not meet a precondition. doc
// is nil if the document is missing. The codes are those of the official emulator.
func checkPrecondition(p *firestorepb.Precondition, doc *firestorepb.Document) error {
	switch c := p.GetConditionType().(type) {
	case *firestorepb.Precondition_Exists:
		if c.Exists && doc == nil {
			return status.Error(codes.NotFound, "no document to update")
		}
		if !c.Exists && doc != nil {
			return status.Errorf(codes.AlreadyExists, "document already exists: %s", doc.Name)
		}
	case *firestorepb.Precondition_UpdateTime:
		is, want := doc.GetUpdateTime().AsTime(), c.UpdateTime.AsTime()
		if doc != nil && want.After(is) {
			return invalid("update time %v in the precondition is later than the document's %v", want, is)
		}
		if doc == nil || !want.Equal(is) {
			return status.Errorf(codes.FailedPrecondition, "the document's update time is %v, not %v as in the precondition", is, want)
		}
	}
	return nil
}

// merge returns the fields of a document after an update. Without a mask, the update
// replaces all fields. With a mask, it replaces the paths in the mask, and removes
// those without a value in the update.
func merge(old, update map[string]*firestorepb.Value, mask *firestorepb.DocumentMask) map[string]*firestorepb.Value {
	if mask == nil {
		return update
	}
	fields := old
	for _, p := range mask.FieldPaths {
		path, _ := parsePath(p) // cannot fail: checkUpdate parsed it
		fields = with(fields, path, lookup(update, path))
	}
	return fields
}

// lookup returns the value at path, or nil if there is no value.
func lookup(fields map[string]*firestorepb.Value, path []string) *firestorepb.Value {
	v := fields[path[0]]
	if len(path) == 1 {
		return v
	}
	return lookup(v.GetMapValue().GetFields(), path[1:])
}

// with returns a copy of fields with v at path. If v is nil, it removes the value at
// path. It adds maps along the path if they are missing.
func with(fields map[string]*firestorepb.Value, path []string, v *firestorepb.Value) map[string]*firestorepb.Value {
	out := maps.Clone(fields)
	if out == nil {
		out = map[string]*firestorepb.Value{}
	}
	key := path[0]
	if len(path) > 1 {
		inner := fields[key].GetMapValue()
		if inner == nil && v == nil {
			return out // there is no value to remove
		}
		v = &firestorepb.Value{ValueType: &firestorepb.Value_MapValue{
			MapValue: &firestorepb.MapValue{Fields: with(inner.GetFields(), path[1:], v)}}}
	}
	if v == nil {
		delete(out, key)
	} else {
		out[key] = v
	}
	return out
}

// transform sets the fields that the server computes, and returns their values in the
// order of ts.
func transform(doc *firestorepb.Document, ts []*firestorepb.DocumentTransform_FieldTransform, now *timestamppb.Timestamp) (values []*firestorepb.Value) {
	for _, t := range ts {
		path, _ := parsePath(t.FieldPath) // cannot fail: checkTransform parsed it
		var v *firestorepb.Value
		if by := t.GetIncrement(); by != nil {
			v = add(lookup(doc.Fields, path), by)
		} else {
			// The server's time in a field is in milliseconds, unlike update times,
			// which are in microseconds.
			at := timestamppb.New(now.AsTime().Truncate(time.Millisecond))
			v = &firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: at}}
		}
		doc.Fields = with(doc.Fields, path, v)
		values = append(values, v)
	}
	return values
}

// add returns a + by. If a is not a number, it counts as zero. The sum of two
// integers saturates at the limits of int64; with a double the sum is a double.
func add(a, by *firestorepb.Value) *firestorepb.Value {
	if !isNumber(a) {
		return by
	}
	if isInteger(a) && isInteger(by) {
		return &firestorepb.Value{ValueType: &firestorepb.Value_IntegerValue{
			IntegerValue: addSaturating(a.GetIntegerValue(), by.GetIntegerValue())}}
	}
	return &firestorepb.Value{ValueType: &firestorepb.Value_DoubleValue{DoubleValue: float(a) + float(by)}}
}

// addSaturating returns a + b, limited to the range of int64.
func addSaturating(a, b int64) int64 {
	switch {
	case b > 0 && a > math.MaxInt64-b:
		return math.MaxInt64
	case b < 0 && a < math.MinInt64-b:
		return math.MinInt64
	}
	return a + b
}
