package gcptest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gcptest"
)

// A scene is the initial state of each case of TestConformance.
type scene struct {
	ctx     context.Context
	b       *backend
	c       *firestore.Client
	there   *firestore.DocumentRef // holds x=1, s="text", m={a: 1}
	missing *firestore.DocumentRef
	at      time.Time // the update time of there
}

func newScene(t *testing.T, b *backend) scene {
	t.Helper()
	coll := b.client.Collection("c" + rand.Text())
	s := scene{t.Context(), b, b.client, coll.Doc("there"), coll.Doc("missing"), time.Time{}}
	res, err := s.there.Create(s.ctx, map[string]any{"x": 1, "s": "text", "m": map[string]int{"a": 1}})
	if err != nil {
		t.Fatal(err)
	}
	s.at = res.UpdateTime
	return s
}

// second returns the error of a call.
func second[T any](_ T, err error) error { return err }

func set(path string, v any) []firestore.Update { return []firestore.Update{{Path: path, Value: v}} }

// write commits writes to the document there, without the client's own checks.
func (s scene) write(writes ...func(name string) *firestorepb.Write) error {
	var ws []*firestorepb.Write
	for _, w := range writes {
		ws = append(ws, w(s.there.Path))
	}
	return second(s.b.commit(s.ctx, nil, ws...))
}

func TestConformance(t *testing.T) {
	fresh := map[string]int{"x": 2}
	upd := func(f fields, changes ...change) func(string) *firestorepb.Write {
		return func(name string) *firestorepb.Write { return update(name, f, changes...) }
	}
	cases := []struct {
		name string
		do   func(s scene) error
		want codes.Code
	}{
		{"get", func(s scene) error { return second(s.there.Get(s.ctx)) }, codes.OK},
		{"get missing", func(s scene) error { return second(s.missing.Get(s.ctx)) }, codes.NotFound},
		{"create", func(s scene) error { return second(s.missing.Create(s.ctx, fresh)) }, codes.OK},
		{"create twice", func(s scene) error { return second(s.there.Create(s.ctx, fresh)) }, codes.AlreadyExists},
		{"set", func(s scene) error { return second(s.there.Set(s.ctx, fresh)) }, codes.OK},
		{"set missing", func(s scene) error { return second(s.missing.Set(s.ctx, fresh)) }, codes.OK},
		{"merge missing", func(s scene) error { return second(s.missing.Set(s.ctx, fresh, firestore.MergeAll)) }, codes.OK},
		{"update", func(s scene) error { return second(s.there.Update(s.ctx, set("m.b", 2))) }, codes.OK},
		{"update missing", func(s scene) error { return second(s.missing.Update(s.ctx, set("x", 2))) }, codes.NotFound},
		{"delete", func(s scene) error { return second(s.there.Delete(s.ctx)) }, codes.OK},
		{"delete missing", func(s scene) error { return second(s.missing.Delete(s.ctx)) }, codes.OK},
		{"delete missing, to exist", func(s scene) error { return second(s.missing.Delete(s.ctx, firestore.Exists)) }, codes.NotFound},

		{"update guarded", func(s scene) error {
			return second(s.there.Update(s.ctx, set("x", 2), firestore.LastUpdateTime(s.at)))
		}, codes.OK},
		{"update guarded by another time", func(s scene) error {
			return second(s.there.Update(s.ctx, set("x", 2), firestore.LastUpdateTime(s.at.Add(-time.Microsecond))))
		}, codes.FailedPrecondition},
		{"update guarded by a later time", func(s scene) error {
			return second(s.there.Update(s.ctx, set("x", 2), firestore.LastUpdateTime(s.at.Add(time.Hour))))
		}, codes.InvalidArgument},
		{"update guarded by nanoseconds", func(s scene) error {
			return second(s.there.Update(s.ctx, set("x", 2), firestore.LastUpdateTime(s.at.Add(1))))
		}, codes.InvalidArgument},
		{"update guarded, missing", func(s scene) error {
			return second(s.missing.Update(s.ctx, set("x", 2), firestore.LastUpdateTime(s.at)))
		}, codes.FailedPrecondition},
		{"update guarded, deleted and made again", func(s scene) error {
			return errors.Join(second(s.there.Delete(s.ctx)), second(s.there.Create(s.ctx, fresh)),
				second(s.there.Update(s.ctx, set("x", 2), firestore.LastUpdateTime(s.at))))
		}, codes.FailedPrecondition},
		{"delete guarded", func(s scene) error {
			return second(s.there.Delete(s.ctx, firestore.LastUpdateTime(s.at)))
		}, codes.OK},
		{"delete guarded by another time", func(s scene) error {
			return second(s.there.Delete(s.ctx, firestore.LastUpdateTime(s.at.Add(-time.Microsecond))))
		}, codes.FailedPrecondition},
		{"delete guarded by a later time", func(s scene) error {
			return second(s.there.Delete(s.ctx, firestore.LastUpdateTime(s.at.Add(time.Microsecond))))
		}, codes.InvalidArgument},
		{"delete guarded, missing", func(s scene) error {
			return second(s.missing.Delete(s.ctx, firestore.LastUpdateTime(s.at)))
		}, codes.FailedPrecondition},

		{"transaction of a guarded update", func(s scene) error {
			return s.c.RunTransaction(s.ctx, func(_ context.Context, tx *firestore.Transaction) error {
				return tx.Update(s.there, set("x", 2), firestore.LastUpdateTime(s.at))
			})
		}, codes.OK},
		{"transaction of an update guarded by another time", func(s scene) error {
			return s.c.RunTransaction(s.ctx, func(_ context.Context, tx *firestore.Transaction) error {
				return tx.Update(s.there, set("x", 2), firestore.LastUpdateTime(s.at.Add(-time.Microsecond)))
			})
		}, codes.FailedPrecondition},
		{"transaction of a guarded update, missing", func(s scene) error {
			return s.c.RunTransaction(s.ctx, func(_ context.Context, tx *firestore.Transaction) error {
				return tx.Update(s.missing, set("x", 2), firestore.LastUpdateTime(s.at))
			})
		}, codes.FailedPrecondition},
		{"transaction that reads and creates", func(s scene) error {
			return s.c.RunTransaction(s.ctx, func(_ context.Context, tx *firestore.Transaction) error {
				if err := second(tx.Get(s.missing)); status.Code(err) != codes.NotFound {
					return err
				}
				return tx.Create(s.missing, fresh)
			})
		}, codes.OK},

		{"mask without a value removes", func(s scene) error { return s.write(upd(nil, mask("x", "m.a", "m.no", "no.no"))) }, codes.OK},
		{"mask through a string", func(s scene) error { return s.write(upd(fields{"s": mapOf(fields{"a": integer(1)})}, mask("s.a"))) }, codes.OK},
		{"quoted path", func(s scene) error { return s.write(upd(fields{"a-.`b": integer(1)}, mask("`a-.\\`b`"))) }, codes.OK},
		{"unquoted path", func(s scene) error { return s.write(upd(fields{"a-b": integer(1)}, mask("a-b"))) }, codes.InvalidArgument},
		{"empty path", func(s scene) error { return s.write(upd(nil, mask(""))) }, codes.InvalidArgument},
		{"half a path", func(s scene) error { return s.write(upd(nil, mask("a."))) }, codes.InvalidArgument},
		{"reserved path", func(s scene) error { return s.write(upd(nil, mask("__x__"))) }, codes.InvalidArgument},
		{"reserved field", func(s scene) error { return s.write(upd(fields{"__x__": integer(1)})) }, codes.InvalidArgument},
		{"reserved field in a map", func(s scene) error { return s.write(upd(fields{"m": mapOf(fields{"__x__": integer(1)})})) }, codes.InvalidArgument},
		{"field without a name", func(s scene) error { return s.write(upd(fields{"": integer(1)})) }, codes.InvalidArgument},
		{"value without a type", func(s scene) error { return s.write(upd(fields{"x": {}})) }, codes.InvalidArgument},
		{"array in an array", func(s scene) error { return s.write(upd(fields{"x": array(array())})) }, codes.InvalidArgument},
		{"array in a map in an array", func(s scene) error { return s.write(upd(fields{"x": array(mapOf(fields{"y": array()}))})) }, codes.OK},
		{"long field name", func(s scene) error { return s.write(upd(fields{strings.Repeat("f", 1501): integer(1)})) }, codes.InvalidArgument},
		{"a document of 1 MiB", func(s scene) error {
			half := str(strings.Repeat("x", 1<<19))
			return s.write(upd(fields{"a": half, "b": half}))
		}, codes.InvalidArgument},
		{"a document of almost 1 MiB", func(s scene) error { return s.write(upd(fields{"a": str(strings.Repeat("x", 1<<20-1000))})) }, codes.OK},
		{"increment", func(s scene) error { return s.write(upd(nil, mask(), increment("x", integer(1)))) }, codes.OK},
		{"increment by a string", func(s scene) error { return s.write(upd(nil, mask(), increment("x", str("1")))) }, codes.InvalidArgument},
		{"no operation", func(s scene) error { return s.write(func(string) *firestorepb.Write { return &firestorepb.Write{} }) }, codes.InvalidArgument},
		{"delete with a mask", func(s scene) error {
			return s.write(func(name string) *firestorepb.Write { return remove(name, mask("x")) })
		}, codes.InvalidArgument},
		{"delete with a transform", func(s scene) error {
			return s.write(func(name string) *firestorepb.Write { return remove(name, serverTime("x")) })
		}, codes.InvalidArgument},
		{"no writes", func(s scene) error { return s.write() }, codes.OK},
		{"database without a project", func(s scene) error {
			return second(s.b.raw.Commit(s.ctx, &firestorepb.CommitRequest{Database: "databases/(default)"}))
		}, codes.InvalidArgument},
	}
	onBoth(t, func(t *testing.T, b *backend) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) { wantCode(t, c.do(newScene(t, b)), c.want) })
		}
	})
}

func TestDocumentIDs(t *testing.T) {
	ids := map[string]codes.Code{
		"a": codes.OK, "a b": codes.OK, "a/b/c": codes.OK, "é": codes.OK, "`": codes.OK, "__": codes.OK, "__x": codes.OK,
		"...": codes.OK, strings.Repeat("x", 1500): codes.OK,
		"": codes.InvalidArgument, ".": codes.InvalidArgument, "..": codes.InvalidArgument, "a/b": codes.InvalidArgument,
		"a//b": codes.InvalidArgument, "a/": codes.InvalidArgument, "__x__": codes.InvalidArgument, "a/__x__/b": codes.InvalidArgument,
		strings.Repeat("x", 1501): codes.InvalidArgument,
	}
	onBoth(t, func(t *testing.T, b *backend) {
		for id, want := range ids {
			name := b.database() + "/documents/c/" + id
			if err := second(b.commit(t.Context(), nil, update(name, nil))); status.Code(err) != want {
				t.Errorf("write of %.20q: got %v, want %v", id, err, want)
			}
			if err := second(b.read(t.Context(), nil, name)); len(id) < 1501 && status.Code(err) != want {
				t.Errorf("read of %.20q: got %v, want %v", id, err, want)
			}
		}
	})
}

func TestUpdateTimes(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		last := s.at
		for n := range 50 {
			res, err := s.there.Update(s.ctx, set("x", n+2))
			if err != nil {
				t.Fatal(err)
			}
			if !res.UpdateTime.After(last) || res.UpdateTime.Nanosecond()%1000 != 0 {
				t.Fatalf("%v follows %v", res.UpdateTime, last)
			}
			last = res.UpdateTime
		}
		snap, err := s.there.Get(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if !snap.CreateTime.Equal(s.at) || !snap.UpdateTime.Equal(last) || snap.ReadTime.Before(last) {
			t.Errorf("made %v, updated %v, read %v, want %v, %v and later", snap.CreateTime, snap.UpdateTime, snap.ReadTime, s.at, last)
		}
	})
}

func TestUpdateThatChangesNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		for name, write := range map[string]*firestorepb.Write{
			"same value":    update(s.there.Path, fields{"x": integer(1)}, mask("x")),
			"same map":      update(s.there.Path, fields{"m": mapOf(fields{"a": integer(1)})}, mask("m")),
			"same all":      update(s.there.Path, fields{"x": integer(1), "s": str("text"), "m": mapOf(fields{"a": integer(1)})}),
			"no such field": update(s.there.Path, nil, mask("none", "m.none", "none.none")),
			"empty mask":    update(s.there.Path, fields{"x": integer(5)}, mask()),
			"plus 0":        update(s.there.Path, nil, mask(), increment("x", integer(0))),
		} {
			res, err := b.commit(s.ctx, nil, write)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if got := res.WriteResults[0].UpdateTime.AsTime(); !got.Equal(s.at) || !res.CommitTime.AsTime().After(s.at) {
				t.Errorf("%s: updated %v, committed %v, want %v and later", name, got, res.CommitTime.AsTime(), s.at)
			}
		}
	})
}

func TestServerTimestamp(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		res, err := s.missing.Create(s.ctx, map[string]any{"t": firestore.ServerTimestamp, "m": map[string]any{"t": firestore.ServerTimestamp}})
		if err != nil {
			t.Fatal(err)
		}
		snap, err := s.missing.Get(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		at, _ := snap.Data()["t"].(time.Time)
		if d := res.UpdateTime.Sub(at); d < 0 || d > time.Second || at.Nanosecond()%int(time.Millisecond) != 0 {
			t.Errorf("the server's time is %v at %v", at, res.UpdateTime)
		}
		if inner, _ := snap.DataAt("m.t"); inner != any(at) {
			t.Errorf("the server's time differs within a commit: %v and %v", at, inner)
		}
	})
}

func TestTimestampsHaveMicroseconds(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		in := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.UTC)
		if _, err := s.missing.Create(s.ctx, map[string]any{"l": []any{map[string]any{"t": in}}}); err != nil {
			t.Fatal(err)
		}
		snap, err := s.missing.Get(s.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if out := snap.Data()["l"].([]any)[0].(map[string]any)["t"]; out != any(in.Truncate(time.Microsecond)) {
			t.Errorf("%v came back as %v", in, out)
		}
	})
}

func TestIncrement(t *testing.T) {
	double := &firestorepb.Value{ValueType: &firestorepb.Value_DoubleValue{DoubleValue: 0.5}}
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		res, err := b.commit(s.ctx, nil, update(s.there.Path, nil, mask(), increment("x", integer(2)), increment("none", integer(3)),
			increment("s", integer(4)), increment("x", double), increment("big", integer(math.MaxInt64)), increment("big", integer(5)),
			increment("small", integer(math.MinInt64)), increment("small", integer(-5))))
		if err != nil {
			t.Fatal(err)
		}
		var got []any
		for _, v := range res.WriteResults[0].TransformResults {
			if _, ok := v.ValueType.(*firestorepb.Value_DoubleValue); ok {
				got = append(got, v.GetDoubleValue())
			} else {
				got = append(got, v.GetIntegerValue())
			}
		}
		want := []any{int64(3), int64(3), int64(4), 3.5, int64(math.MaxInt64), int64(math.MaxInt64), int64(math.MinInt64), int64(math.MinInt64)}
		if !slices.Equal(got, want) {
			t.Errorf("got %v, want %v", got, want)
		}
	})
}

func TestCommitIsAllOrNothing(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		_, err := b.commit(s.ctx, nil, update(s.missing.Path, nil), remove(s.there.Path), update(s.missing.Path+"2", nil, exists(true)))
		wantCode(t, err, codes.NotFound)
		wantCode(t, second(s.missing.Get(s.ctx)), codes.NotFound)
		wantCode(t, second(s.there.Get(s.ctx)), codes.OK)
	})
}

// BatchWrite applies or rejects each write by itself, and returns the document's new
// update time. It rejects the whole request if one write is invalid.
func TestBatchWrite(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		ctx := metadata.AppendToOutgoingContext(s.ctx, "authorization", "Bearer owner") // the official emulator asks for it
		batch := func(writes ...*firestorepb.Write) (*firestorepb.BatchWriteResponse, error) {
			return b.raw.BatchWrite(ctx, &firestorepb.BatchWriteRequest{Database: b.database(), Writes: writes})
		}
		x, another := fields{"x": integer(2)}, s.missing.Path+"2"
		res, err := batch(update(s.missing.Path, x, exists(false)), update(s.there.Path, x, exists(false)),
			update(another, x), remove(s.missing.Path+"3", exists(true)), remove(s.missing.Path+"4"))
		if err != nil {
			t.Fatal(err)
		}
		want := []codes.Code{codes.OK, codes.AlreadyExists, codes.OK, codes.NotFound, codes.OK}
		for i, st := range res.Status {
			if got := status.FromProto(st).Code(); got != want[i] {
				t.Errorf("write %d: %v, want %v", i, got, want[i])
			}
		}
		for i, path := range map[int]string{0: s.missing.Path, 2: another} {
			made := res.WriteResults[i].UpdateTime
			if second(batch(remove(path, updatedAt(made)))) != nil {
				t.Errorf("write %d: %v", i, err)
			}
			if doc, err := b.client.Doc(strings.TrimPrefix(path, b.database()+"/documents/")).Get(s.ctx); status.Code(err) != codes.NotFound {
				t.Errorf("write %d: %v is there after a delete guarded by %v", i, doc, made)
			}
		}
		if got, err := batch(); err != nil || len(got.Status) != 0 {
			t.Errorf("no writes: %v, %v", got, err)
		}
		for name, writes := range map[string][]*firestorepb.Write{
			"one document twice":   {update(another, x), update(another, x)},
			"one with a bad name":  {update(another, x), update("nonsense", x)},
			"one with a bad field": {update(another, x), update(s.missing.Path, fields{"__x__": integer(1)})},
		} {
			if err := second(batch(writes...)); status.Code(err) != codes.InvalidArgument {
				t.Errorf("%s: %v", name, err)
			}
			if err := second(b.client.Doc(strings.TrimPrefix(another, b.database()+"/documents/")).Get(s.ctx)); status.Code(err) != codes.NotFound {
				t.Errorf("%s: the other was made: %v", name, err)
			}
		}
	})
}

// The takeover of an expired lease: of many writers with the same update time as
// precondition, one succeeds, and without waiting.
func TestCompetingTakeovers(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		var wg sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			wg.Go(func() {
				errs[i] = s.c.RunTransaction(s.ctx, func(_ context.Context, tx *firestore.Transaction) error {
					return tx.Update(s.there, set("x", i+10), firestore.LastUpdateTime(s.at))
				})
			})
		}
		wg.Wait()
		won := -1
		for i, err := range errs {
			switch {
			case err == nil && won < 0:
				won = i
			case status.Code(err) != codes.FailedPrecondition:
				t.Errorf("number %d: got %v after %d won", i, err, won)
			}
		}
		snap, err := s.there.Get(s.ctx)
		if err != nil || snap.Data()["x"] != int64(won+10) {
			t.Errorf("%d won, but the document is %v (%v)", won, snap.Data(), err)
		}
	})
}

func TestCompetingCreates(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		var wg sync.WaitGroup
		var created, existed atomic.Int32
		for range 16 {
			wg.Go(func() {
				switch err := second(s.missing.Create(s.ctx, map[string]int{})); status.Code(err) {
				case codes.OK:
					created.Add(1)
				case codes.AlreadyExists:
					existed.Add(1)
				}
			})
		}
		wg.Wait()
		if created.Load() != 1 || existed.Load() != 15 {
			t.Errorf("%d created it and %d found it, want 1 and 15", created.Load(), existed.Load())
		}
	})
}

func TestFinishedTransactions(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		write := update(s.there.Path, fields{"x": integer(9)})
		ends := map[string]func(tx []byte) error{
			"committed":         func(tx []byte) error { return second(b.commit(s.ctx, tx, write)) },
			"committed nothing": func(tx []byte) error { return second(b.commit(s.ctx, tx)) },
			"rolled back":       func(tx []byte) error { return b.rollback(s.ctx, tx) },
			"refused": func(tx []byte) error {
				_, err := b.commit(s.ctx, tx, update(s.there.Path, nil, exists(false)))
				wantCode(t, err, codes.AlreadyExists)
				return nil
			},
		}
		for name, end := range ends {
			t.Run(name, func(t *testing.T) {
				tx := b.begin(t)
				wantCode(t, end(tx), codes.OK)
				wantCode(t, second(b.commit(s.ctx, tx, write)), codes.InvalidArgument)
				wantCode(t, second(b.read(s.ctx, tx, s.there.Path)), codes.InvalidArgument)
				wantCode(t, b.rollback(s.ctx, tx), codes.OK)
			})
		}
	})
}

func TestTransactionIDs(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		for _, tx := range [][]byte{[]byte("junk"), []byte("12345678"), []byte("123456789")} {
			wantCode(t, second(b.commit(s.ctx, tx)), codes.InvalidArgument)
			wantCode(t, second(b.read(s.ctx, tx, s.there.Path)), codes.InvalidArgument)
			wantCode(t, b.rollback(s.ctx, tx), codes.InvalidArgument)
		}
		wantCode(t, b.rollback(s.ctx, nil), codes.InvalidArgument)

		tx := b.begin(t)
		_, err := b.raw.Commit(s.ctx, &firestorepb.CommitRequest{Database: b.database() + "2", Transaction: tx})
		wantCode(t, err, codes.InvalidArgument)
		_, err = b.commit(s.ctx, tx, update(s.there.Path+"/..", nil))
		wantCode(t, err, codes.InvalidArgument)
		wantCode(t, second(b.commit(s.ctx, tx)), codes.OK) // the rejected commits did not end the transaction
	})
}

func TestReadInTransaction(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		s := newScene(t, b)
		stream, err := b.raw.BatchGetDocuments(s.ctx, &firestorepb.BatchGetDocumentsRequest{
			Database:  b.database(),
			Documents: []string{s.there.Path, s.missing.Path, s.there.Path},
			ConsistencySelector: &firestorepb.BatchGetDocumentsRequest_NewTransaction{NewTransaction: &firestorepb.TransactionOptions{
				Mode: &firestorepb.TransactionOptions_ReadWrite_{ReadWrite: &firestorepb.TransactionOptions_ReadWrite{}}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := receive(stream)
		if err != nil || len(got) != 3 || got[0].Result != nil || got[1].GetFound().GetName() != s.there.Path || got[2].GetMissing() != s.missing.Path {
			t.Fatalf("got %v (%v), want the transaction, there and missing", got, err)
		}
		_, err = b.commit(s.ctx, got[0].Transaction, update(s.missing.Path, nil, exists(false)))
		wantCode(t, err, codes.OK)
	})
}

func TestDatabasesAndProjectsAreApart(t *testing.T) {
	onBoth(t, func(t *testing.T, b *backend) {
		other := []*firestore.Client{
			firestoreClient(t, b.conn, b.project, "other"),
			firestoreClient(t, b.conn, b.project+"-2", "(default)"),
			firestoreClient(t, b.conn, b.project, "(default)"),
		}
		for i, want := range []codes.Code{codes.OK, codes.OK, codes.AlreadyExists} {
			if i == 0 {
				wantCode(t, second(b.client.Doc("c/d").Create(t.Context(), map[string]int{})), codes.OK)
			}
			wantCode(t, second(other[i].Doc("c/d").Create(t.Context(), map[string]int{})), want)
		}
	})
}

func TestQueries(t *testing.T) {
	docs := map[string]map[string]any{
		"a": {"k": "v"}, "b": {"k": "w", "o": 3}, "c": {"k": "v", "o": "text"}, "d": {"k": []byte("v")}, "e": {"k": "V"},
		"f": {"k": nil}, "g": {}, "h": {"k": []string{"v"}, "m": map[string]any{"k": "v"}}, "i": {"k": "v"}, "j": {"k": ""},
	}
	many := func(n int) []string { return append(make([]string, n-1), "v") }
	distinct := func(n int) (all []string) {
		for i := range n {
			all = append(all, fmt.Sprint("x", i))
		}
		return all
	}
	type query = firestore.Query
	queries := map[string]struct {
		of   func(query) query
		want string
		code codes.Code
	}{
		"all":            {of: func(q query) query { return q }, want: "abcdefghij"},
		"equal":          {of: func(q query) query { return q.Where("k", "==", "v") }, want: "aci"},
		"equal, empty":   {of: func(q query) query { return q.Where("k", "==", "") }, want: "j"},
		"equal inside":   {of: func(q query) query { return q.Where("m.k", "==", "v") }, want: "h"},
		"none":           {of: func(q query) query { return q.Where("k", "==", "z") }},
		"in":             {of: func(q query) query { return q.Where("k", "in", []string{"w", "z", "v"}) }, want: "abci"},
		"in, one twice":  {of: func(q query) query { return q.Where("k", "in", []string{"v", "v"}) }, want: "aci"},
		"in, one":        {of: func(q query) query { return q.Where("k", "in", []string{"w"}) }, want: "b"},
		"in, inside":     {of: func(q query) query { return q.Where("m.k", "in", []string{"v", "w"}) }, want: "h"},
		"in, most":       {of: func(q query) query { return q.Where("k", "in", many(30)) }, want: "acij"},
		"in, too many":   {of: func(q query) query { return q.Where("k", "in", many(31)) }, code: codes.InvalidArgument},
		"in nothing":     {of: func(q query) query { return q.Where("k", "in", []string{}) }, code: codes.InvalidArgument},
		"in no array":    {of: func(q query) query { return q.Where("k", "in", "v") }, code: codes.InvalidArgument},
		"both":           {of: func(q query) query { return q.Where("k", "in", []string{"v", "w"}).Where("o", "==", "text") }, want: "c"},
		"both, many":     {of: func(q query) query { return q.Where("k", "in", distinct(10)).Where("o", "in", distinct(3)) }, want: ""},
		"both, too many": {of: func(q query) query { return q.Where("k", "in", distinct(11)).Where("o", "in", distinct(3)) }, code: codes.InvalidArgument},
		"by name":        {of: func(q query) query { return q.OrderBy(firestore.DocumentID, firestore.Asc) }, want: "abcdefghij"},
		"limit":          {of: func(q query) query { return q.Limit(2) }, want: "ab"},
		"limit above":    {of: func(q query) query { return q.Limit(20) }, want: "abcdefghij"},
		"equal, limited": {of: func(q query) query { return q.Where("k", "==", "v").Limit(2) }, want: "ac"},
		"in, named, limit": {of: func(q query) query {
			return q.Where("k", "in", []string{"w", "v"}).OrderBy(firestore.DocumentID, firestore.Asc).Limit(3)
		}, want: "abc"},
	}
	onBoth(t, func(t *testing.T, b *backend) {
		coll := b.client.Collection("q")
		for id, data := range docs {
			if _, err := coll.Doc(id).Create(t.Context(), data); err != nil {
				t.Fatal(err)
			}
		}
		wantCode(t, second(coll.Doc("a").Collection("q").Doc("inner").Create(t.Context(), docs["a"])), codes.OK)
		for name, q := range queries {
			got := ""
			snaps, err := q.of(coll.Query).Documents(t.Context()).GetAll()
			for _, s := range snaps {
				got += s.Ref.ID
			}
			if got != q.want || status.Code(err) != q.code {
				t.Errorf("%s: got %q (%v), want %q (%v)", name, got, err, q.want, q.code)
			}
		}
	})
}

func TestDocuments(t *testing.T) {
	service := gcptest.NewFirestore()
	b := newBackend(t, serve(t, service), "p", false)
	for _, path := range []string{"c/b", "c/a", "c/a/c/x", "cc/a"} {
		wantCode(t, second(b.client.Doc(path).Create(t.Context(), map[string]string{"k": path})), codes.OK)
	}
	docs := service.Documents(b.database() + "/documents/c")
	if len(docs) != 2 || docs[0].Fields["k"].GetStringValue() != "c/a" || docs[1].Fields["k"].GetStringValue() != "c/b" {
		t.Fatalf("got %v, want c/a and c/b", docs)
	}
	docs[0].Fields["k"] = nil
	if again := service.Documents(b.database() + "/documents/c"); again[0].Fields["k"] == nil {
		t.Error("a change of a returned document changed the stored one")
	}
	if none := service.Documents(b.database() + "/documents/none"); len(none) != 0 {
		t.Errorf("a collection that does not exist has %v", none)
	}
}
