package gcptest

import (
	"strings"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

const maxDocument = 1 << 20 // Firestore's limit on a document, in bytes

// checkFields returns an error if a field's name or value is invalid.
func checkFields(fields map[string]*firestorepb.Value) error {
	for name, v := range fields {
		if err := checkFieldName(name); err != nil {
			return err
		}
		if err := checkValue(v); err != nil {
			return err
		}
	}
	return nil
}

// checkValue returns an error if a value, or a value inside it, is invalid.
func checkValue(v *firestorepb.Value) error {
	switch v := v.GetValueType().(type) {
	case nil:
		return invalid("value has no type")
	case *firestorepb.Value_TimestampValue:
		if err := v.TimestampValue.CheckValid(); err != nil {
			return invalid("%v", err)
		}
	case *firestorepb.Value_MapValue:
		return checkFields(v.MapValue.GetFields())
	case *firestorepb.Value_ArrayValue:
		for _, e := range v.ArrayValue.GetValues() {
			if e.GetArrayValue() != nil {
				return invalid("array contains an array")
			}
			if err := checkValue(e); err != nil {
				return err
			}
		}
	}
	return nil
}

// truncateTimes cuts timestamps to microseconds, as they are stored.
func truncateTimes(fields map[string]*firestorepb.Value) {
	for _, v := range fields {
		truncateTime(v)
	}
}

// truncateTime truncates the timestamps in a value.
func truncateTime(v *firestorepb.Value) {
	if t := v.GetTimestampValue(); t != nil {
		v.ValueType = &firestorepb.Value_TimestampValue{TimestampValue: timestamppb.New(t.AsTime().Truncate(time.Microsecond))}
	}
	truncateTimes(v.GetMapValue().GetFields())
	for _, e := range v.GetArrayValue().GetValues() {
		truncateTime(e)
	}
}

// documentSize returns the size of a document in bytes, by the rules of
// https://firebase.google.com/docs/firestore/storage-size.
func documentSize(doc *firestorepb.Document) int {
	return nameSize(doc.Name) + fieldsSize(doc.Fields) + 32
}

// nameSize returns the size of a document's name: its ids and 16 bytes.
func nameSize(name string) int {
	_, path, _ := strings.Cut(name, "/documents/")
	return 16 + len(path) + 1 // a slash or the end after each id
}

// fieldsSize returns the size of fields: their names and values.
func fieldsSize(fields map[string]*firestorepb.Value) (n int) {
	for name, v := range fields {
		n += len(name) + 1 + valueSize(v)
	}
	return n
}

// valueSize returns the size of a value.
func valueSize(v *firestorepb.Value) (n int) {
	switch v := v.ValueType.(type) {
	case *firestorepb.Value_NullValue, *firestorepb.Value_BooleanValue:
		return 1
	case *firestorepb.Value_StringValue:
		return len(v.StringValue) + 1
	case *firestorepb.Value_BytesValue:
		return len(v.BytesValue)
	case *firestorepb.Value_ReferenceValue:
		return nameSize(v.ReferenceValue)
	case *firestorepb.Value_GeoPointValue:
		return 16
	case *firestorepb.Value_MapValue:
		return fieldsSize(v.MapValue.GetFields())
	case *firestorepb.Value_ArrayValue:
		for _, e := range v.ArrayValue.GetValues() {
			n += valueSize(e)
		}
		return n
	}
	return 8 // integer, double, timestamp
}

func isInteger(v *firestorepb.Value) bool {
	_, ok := v.GetValueType().(*firestorepb.Value_IntegerValue)
	return ok
}

// isNumber reports whether a value is an integer or a double.
func isNumber(v *firestorepb.Value) bool {
	_, ok := v.GetValueType().(*firestorepb.Value_DoubleValue)
	return ok || isInteger(v)
}

// float returns a number as a float64.
func float(v *firestorepb.Value) float64 {
	if isInteger(v) {
		return float64(v.GetIntegerValue())
	}
	return v.GetDoubleValue()
}
