package embedded

import (
	"bytes"
	"cmp"
	"regexp"
	"strings"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// Firestore's limits, in bytes.
const (
	maxDocument  = 1 << 20
	maxID        = 1500 // of a document or a collection
	maxFieldName = 1500
)

var (
	databaseName = regexp.MustCompile(`^projects/[^/\s]+/databases/[^/\s]+$`)
	reserved     = regexp.MustCompile(`^__.+__$`)
	pathSegment  = regexp.MustCompile("^(?:[a-zA-Z_][a-zA-Z_0-9]*|`(?:[^`\\\\]|\\\\.)+`)")
	escaped      = regexp.MustCompile(`\\(.)`)
)

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func checkDatabase(name string) error {
	if !databaseName.MatchString(name) {
		return invalid("bad database name %q", name)
	}
	return nil
}

// checkDocument refuses a name that is not a document's, of that database.
func checkDocument(database, name string) error {
	path, ok := strings.CutPrefix(name, database+"/documents/")
	if !ok {
		return invalid("document %q is not in database %q", name, database)
	}
	ids := strings.Split(path, "/")
	if len(ids)%2 != 0 {
		return invalid("%q names a collection, not a document", name)
	}
	for _, id := range ids {
		if id == "" || id == "." || id == ".." || len(id) > maxID || reserved.MatchString(id) {
			return invalid("bad id in document name %q", name)
		}
	}
	return nil
}

// parsePath splits a field path into field names: dots separate, backticks quote.
func parsePath(path string) (names []string, err error) {
	for rest := path; ; rest = rest[1:] {
		segment := pathSegment.FindString(rest)
		rest = rest[len(segment):]
		if segment == "" || rest != "" && rest[0] != '.' {
			return nil, invalid("bad field path %q", path)
		}
		name := segment
		if segment[0] == '`' {
			name = escaped.ReplaceAllString(segment[1:len(segment)-1], "$1")
		}
		if err := checkFieldName(name); err != nil {
			return nil, err
		}
		if names = append(names, name); rest == "" {
			return names, nil
		}
	}
}

func checkFieldName(name string) error {
	if name == "" || len(name) > maxFieldName || reserved.MatchString(name) {
		return invalid("bad field name %q", name)
	}
	return nil
}

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

func checkValue(v *firestorepb.Value) error {
	switch v := v.GetValueType().(type) {
	case nil:
		return invalid("a value without a type")
	case *firestorepb.Value_TimestampValue:
		if err := v.TimestampValue.CheckValid(); err != nil {
			return invalid("%v", err)
		}
	case *firestorepb.Value_MapValue:
		return checkFields(v.MapValue.GetFields())
	case *firestorepb.Value_ArrayValue:
		for _, e := range v.ArrayValue.GetValues() {
			if e.GetArrayValue() != nil {
				return invalid("an array in an array")
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

func truncateTime(v *firestorepb.Value) {
	if t := v.GetTimestampValue(); t != nil {
		*v = firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{
			TimestampValue: timestamppb.New(t.AsTime().Truncate(time.Microsecond))}}
	}
	truncateTimes(v.GetMapValue().GetFields())
	for _, e := range v.GetArrayValue().GetValues() {
		truncateTime(e)
	}
}

// documentSize follows https://firebase.google.com/docs/firestore/storage-size.
func documentSize(doc *firestorepb.Document) int {
	return nameSize(doc.Name) + fieldsSize(doc.Fields) + 32
}

func nameSize(name string) int {
	_, path, _ := strings.Cut(name, "/documents/")
	return 16 + len(path) + 1 // a slash or the end after each id
}

func fieldsSize(fields map[string]*firestorepb.Value) (n int) {
	for name, v := range fields {
		n += len(name) + 1 + valueSize(v)
	}
	return n
}

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

func isNumber(v *firestorepb.Value) bool {
	_, ok := v.GetValueType().(*firestorepb.Value_DoubleValue)
	return ok || isInteger(v)
}

func float(v *firestorepb.Value) float64 {
	if isInteger(v) {
		return float64(v.GetIntegerValue())
	}
	return v.GetDoubleValue()
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
