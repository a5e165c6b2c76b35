package gcptest_test

import (
	"cmp"
	"flag"
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var (
	seed  = flag.Uint64("seed", 1, "seed of the random operations; 0 takes a new one")
	count = flag.Int("ops", 1500, "number of random operations")
)

// TestDifferential makes the same random operations on the embedded Firestore and on
// Google's emulator. The answers must agree: codes, documents, and which times are
// equal.
//
// By default it makes the same operations each time, so that the check does not depend on
// luck. New ones (-seed=0 -ops=20000) may meet a rare difference, such as
// -seed=1795609921712355572: the emulator counts a write that changes nothing as a change.
func TestDifferential(t *testing.T) {
	theirs := newSide(t, newOfficial(t))
	ours := newSide(t, newEmbedded(t))
	seed := cmp.Or(*seed, uint64(time.Now().UnixNano()))
	t.Logf("repeat with -seed=%d", seed)
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	seen := map[string]int{}
	for n := range *count {
		name, op := g.operation()
		a, b := op(ours), op(theirs)
		if a != b {
			t.Fatalf("operation %d, %s:\nembedded %s\nofficial %s", n, name, a, b)
		}
		outcome, _, _ := strings.Cut(a, " ")
		seen[name+" "+outcome]++
	}
	if a, b := ours.read(nil, ours.names[:good]...), theirs.read(nil, theirs.names[:good]...); a != b {
		t.Errorf("documents at the end:\nembedded %s\nofficial %s", a, b)
	}
	t.Logf("outcomes: %v", seen)
}

// The names of the documents in the operations.
var (
	goodPaths = []string{"c/0", "c/1", "c/2", "c/0/c/1"}
	badPaths  = []string{"c/..", "c/__x__", "c"}
	good      = len(goodPaths)
)

// A side is a Firestore with answers in a comparable form: a time becomes a number,
// in the order of first appearance.
type side struct {
	t *testing.T
	*backend
	names   []string // of the documents; the first ones are valid, the others are rejected
	times   []*timestamppb.Timestamp
	numbers map[time.Time]int
	current map[string]int   // number of a document's latest update time
	deleted map[string][]int // and of its deletions'
	txs     [][]byte         // begun, open or finished
}

func newSide(t *testing.T, b *backend) *side {
	s := &side{t: t, backend: b, numbers: map[time.Time]int{}, current: map[string]int{}, deleted: map[string][]int{}}
	for _, path := range slices.Concat(goodPaths, badPaths) {
		s.names = append(s.names, b.database()+"/documents/"+path)
	}
	s.number(timestamppb.New(time.Unix(1, 0))) // so that there is a time for preconditions
	return s
}

func (s *side) number(at *timestamppb.Timestamp) int {
	if at == nil {
		return -1
	}
	n, ok := s.numbers[at.AsTime()]
	if !ok {
		n = len(s.times)
		s.numbers[at.AsTime()] = n
		s.times = append(s.times, at)
	}
	return n
}

func (s *side) commit(tx []byte, writes []*firestorepb.Write) string {
	res, err := s.backend.commit(s.t.Context(), tx, writes...)
	if err != nil {
		return status.Code(err).String()
	}
	out := fmt.Sprintf("OK at %d:", s.number(res.CommitTime))
	for i, r := range res.WriteResults {
		n := s.number(r.UpdateTime)
		out += fmt.Sprintf(" [%d %s]", n, values(r.TransformResults))
		if u := writes[i].GetUpdate(); u != nil {
			s.current[u.Name] = n
		} else {
			name := writes[i].GetDelete()
			s.deleted[name] = append(s.deleted[name], s.number(res.CommitTime))
		}
	}
	return out
}

func (s *side) read(tx []byte, names ...string) string {
	found, err := s.backend.read(s.t.Context(), tx, names...)
	if err != nil {
		return status.Code(err).String()
	}
	out := "OK"
	for _, r := range found {
		out += " " + s.document(r.GetFound())
	}
	return out
}

func (s *side) document(d *firestorepb.Document) string {
	return fmt.Sprintf("{%s %s made %d updated %d}", strings.TrimPrefix(d.GetName(), s.database()),
		values([]*firestorepb.Value{mapOf(d.GetFields())}), s.number(d.GetCreateTime()), s.number(d.GetUpdateTime()))
}

func (s *side) query(q *firestorepb.StructuredQuery) string {
	stream, err := s.raw.RunQuery(s.t.Context(), &firestorepb.RunQueryRequest{Parent: s.database() + "/documents",
		QueryType: &firestorepb.RunQueryRequest_StructuredQuery{StructuredQuery: q}})
	if err != nil {
		return status.Code(err).String()
	}
	found, err := receive(stream)
	out := status.Code(err).String()
	for _, r := range found {
		out += " " + s.document(r.Document)
	}
	return out
}

var serverTimes = regexp.MustCompile(`timestamp_value:\{seconds:1\d{9}( nanos:\d+)?\}`)

// values returns the text of values, without times that the server set.
func values(vs []*firestorepb.Value) string {
	text := fmt.Sprint(vs)
	return serverTimes.ReplaceAllString(strings.ReplaceAll(text, "  ", " "), "now")
}

// A generator makes random operations that both sides implement.
type generator struct{ *rand.Rand }

func pick[T any](g generator, from ...T) T { return from[g.IntN(len(from))] }

// operation returns a random operation for both sides, and its name. No transaction
// with reads stays open, because the locks of the two sides differ.
func (g generator) operation() (string, func(*side) string) {
	switch n := g.IntN(20); {
	case n < 9:
		writes := g.writes()
		return "commit", func(s *side) string { return s.commit(nil, build(s, writes)) }
	case n < 11:
		docs := g.documents()
		return "read", func(s *side) string { return s.read(nil, choose(s.names, docs)...) }
	case n < 13:
		q := g.query()
		return "query", func(s *side) string { return s.query(q) }
	case n < 16:
		return "transaction", g.transaction()
	case n < 17:
		return "begin", func(s *side) string { s.txs = append(s.txs, s.begin(s.t)); return "OK" }
	case n < 18:
		tx, writes := g.Uint32(), g.writes()
		return "commit of a blind transaction", func(s *side) string { return s.commit(s.tx(tx), build(s, writes)) }
	default:
		tx := g.Uint32()
		return "rollback", func(s *side) string { return status.Code(s.rollback(s.t.Context(), s.tx(tx))).String() }
	}
}

// tx returns one of the transactions that began last. It may have ended.
func (s *side) tx(n uint32) []byte {
	recent := s.txs[max(0, len(s.txs)-4):]
	if len(recent) == 0 {
		return []byte("none yet")
	}
	return recent[int(n)%len(recent)]
}

// transaction reads, then commits or rolls back, and then tries the same again.
func (g generator) transaction() func(*side) string {
	docs, writes, back := g.documents(), g.writes(), g.IntN(4) == 0
	return func(s *side) string {
		tx := s.begin(s.t)
		out := s.read(tx, choose(s.names, docs)...)
		if back {
			out += fmt.Sprint(", ", status.Code(s.rollback(s.t.Context(), tx)))
		} else {
			out += ", " + s.commit(tx, build(s, writes))
		}
		return out + ", " + s.commit(tx, build(s, writes)) + fmt.Sprint(", ", status.Code(s.rollback(s.t.Context(), tx)))
	}
}

// documents returns some indexes of names, and seldom that of a rejected name.
func (g generator) documents() []int {
	if g.IntN(20) == 0 {
		return []int{g.IntN(good + len(badPaths))}
	}
	return g.Perm(good)[:1+g.IntN(good-1)]
}

func choose(names []string, indexes []int) (out []string) {
	for _, i := range indexes {
		out = append(out, names[i])
	}
	return out
}

func build(s *side, writes []func(*side) *firestorepb.Write) (out []*firestorepb.Write) {
	for _, w := range writes {
		out = append(out, w(s))
	}
	return out
}

func (g generator) writes() (out []func(*side) *firestorepb.Write) {
	docs := g.documents()
	if g.IntN(3) > 0 {
		docs = docs[:1]
	}
	for _, doc := range docs {
		out = append(out, g.write(doc))
	}
	return out
}

func (g generator) write(doc int) func(*side) *firestorepb.Write {
	guard := g.guard()
	if g.IntN(5) == 0 {
		return func(s *side) *firestorepb.Write { return remove(s.names[doc], guard(s, s.names[doc])) }
	}
	changes := []change{}
	if g.IntN(2) == 0 {
		changes = append(changes, mask(choose([]string{"a", "b", "m", "m.a", "m.b.c", "`a-b`", "none", "a..b"}, g.Perm(7 + g.IntN(10)/9)[:g.IntN(4)])...))
	}
	if g.IntN(5) == 0 { // the increment ensures a change even if two times are equal
		changes = append(changes, serverTime("t"), increment("n", integer(1)), increment(pick(g, "a", "m.a"), integer(g.Int64N(3))))
	}
	f := g.fields()
	return func(s *side) *firestorepb.Write {
		return update(s.names[doc], f, append(slices.Clone(changes), guard(s, s.names[doc]))...)
	}
}

// guard returns a random precondition, or nil.
func (g generator) guard() func(s *side, name string) change {
	kind, n, want := g.IntN(10), g.Uint32(), g.IntN(2) == 0
	return func(s *side, name string) change {
		switch at, ok := s.current[name]; {
		case kind < 4:
			return func(*firestorepb.Write) {}
		case kind < 6:
			return exists(want)
		case kind < 9 && ok && at >= 0:
			return updatedAt(s.times[at])
		}
		at := int(n) % len(s.times)
		if slices.Contains(s.deleted[name], at) { // see TestDifferences
			at = 0
		}
		return updatedAt(s.times[at])
	}
}

func (g generator) fields() fields {
	f := fields{}
	for _, name := range []string{"a", "b", "m", "a-b"} {
		switch g.IntN(3) {
		case 0:
			f[name] = g.scalar()
		case 1:
			f[name] = pick(g, mapOf(fields{"a": g.scalar(), "b": mapOf(fields{"c": g.scalar()})}), mapOf(nil), g.scalar())
		}
	}
	if g.IntN(40) == 0 {
		f["bad"] = pick(g, &firestorepb.Value{}, array(array()), mapOf(fields{"__x__": integer(1)}))
	}
	return f
}

func (g generator) scalar() *firestorepb.Value {
	n := g.Int64N(3)
	return pick(g, integer(n), str(fmt.Sprint(n)), str(fmt.Sprint(n)), str(fmt.Sprint(n)),
		&firestorepb.Value{ValueType: &firestorepb.Value_DoubleValue{DoubleValue: float64(n) / 2}},
		&firestorepb.Value{ValueType: &firestorepb.Value_BooleanValue{BooleanValue: n == 0}},
		&firestorepb.Value{ValueType: &firestorepb.Value_NullValue{}},
		&firestorepb.Value{ValueType: &firestorepb.Value_BytesValue{BytesValue: []byte{byte(n)}}},
		&firestorepb.Value{ValueType: &firestorepb.Value_TimestampValue{TimestampValue: &timestamppb.Timestamp{Seconds: n, Nanos: 1234}}})
}

func (g generator) query() *firestorepb.StructuredQuery {
	q := &firestorepb.StructuredQuery{From: []*firestorepb.StructuredQuery_CollectionSelector{{CollectionId: "c"}}}
	text := func() *firestorepb.Value { return str(fmt.Sprint(g.IntN(3))) }
	switch name := pick(g, "a", "m.a"); g.IntN(4) {
	case 0:
		q.Where = equal(name, text())
	case 1:
		q.Where = where(name, firestorepb.StructuredQuery_FieldFilter_IN, array(text(), text()))
	}
	if g.IntN(2) == 0 {
		q.OrderBy = []*firestorepb.StructuredQuery_Order{{Field: path("__name__"), Direction: firestorepb.StructuredQuery_ASCENDING}}
	}
	if g.IntN(3) == 0 {
		q.Limit = wrapperspb.Int32(g.Int32N(3))
	}
	return q
}
