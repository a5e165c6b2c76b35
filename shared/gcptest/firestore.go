package gcptest

import (
	"context"
	"encoding/binary"
	"slices"
	"strings"
	"sync"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// A Firestore is a [firestorepb.FirestoreServer] that keeps its documents in memory: any number of projects and databases,
// made by their first use. It commits, reads, queries one collection by a field, and runs read-write transactions.
// It may be used concurrently; make one with [NewFirestore].
//
// Transactions are optimistic: nothing is locked, and one whose reads have changed is refused with Aborted at its commit,
// where production and the official emulator make the other side wait for a lock.
type Firestore struct {
	firestorepb.UnimplementedFirestoreServer

	mu    sync.Mutex
	last  time.Time                        // the latest time given out
	docs  map[string]*firestorepb.Document // by full name; a stored document is never changed, only replaced
	open  map[string]*transaction          // by id
	begun uint64                           // transactions begun so far
}

// A transaction remembers what it was shown.
type transaction struct {
	database string
	reads    map[string]*firestorepb.Document // nil for a document that was missing
}

// NewFirestore returns a Firestore without documents.
func NewFirestore() *Firestore {
	return &Firestore{docs: map[string]*firestorepb.Document{}, open: map[string]*transaction{}}
}

// Register implements [Service].
func (f *Firestore) Register(s grpc.ServiceRegistrar) { firestorepb.RegisterFirestoreServer(s, f) }

// Documents returns copies of the documents directly in a collection, in the order of their ids. The collection is named in
// full, "projects/P/databases/(default)/documents/C"; one that does not exist has no documents.
func (f *Firestore) Documents(collection string) []*firestorepb.Document {
	docs, _ := f.collection(collection)
	for i, d := range docs {
		docs[i] = proto.CloneOf(d)
	}
	return docs
}

// collection returns the stored documents of a collection in the order of their ids, and the time of the reading.
func (f *Firestore) collection(name string) ([]*firestorepb.Document, *timestamppb.Timestamp) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var docs []*firestorepb.Document
	for n, d := range f.docs {
		if i := strings.LastIndexByte(n, '/'); n[:i] == name {
			docs = append(docs, d)
		}
	}
	slices.SortFunc(docs, func(a, b *firestorepb.Document) int { return strings.Compare(a.Name, b.Name) })
	return docs, f.tick()
}

// tick returns the current time in microseconds, always later than the one before: no two commits share a time, and a read
// shows all that was committed up to its time.
func (f *Firestore) tick() *timestamppb.Timestamp {
	now := time.Now().Truncate(time.Microsecond)
	if !now.After(f.last) {
		now = f.last.Add(time.Microsecond)
	}
	f.last = now
	return timestamppb.New(now)
}

// BeginTransaction implements [firestorepb.FirestoreServer]. Read-only transactions are not modelled; one that is never
// finished is remembered for ever.
func (f *Firestore) BeginTransaction(_ context.Context, req *firestorepb.BeginTransactionRequest) (*firestorepb.BeginTransactionResponse, error) {
	if err := checkDatabase(req.Database); err != nil {
		return nil, err
	}
	if req.Options.GetReadOnly() != nil {
		return nil, unmodelled("a read-only transaction")
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	id, _ := f.begin(req.Database)
	return &firestorepb.BeginTransactionResponse{Transaction: id}, nil
}

func (f *Firestore) begin(database string) ([]byte, *transaction) {
	f.begun++
	id := binary.BigEndian.AppendUint64(nil, f.begun)
	tx := &transaction{database, map[string]*firestorepb.Document{}}
	f.open[string(id)] = tx
	return id, tx
}

// transaction returns the open transaction of that id.
func (f *Firestore) transaction(database string, id []byte) (*transaction, error) {
	if tx := f.open[string(id)]; tx != nil && tx.database == database {
		return tx, nil
	}
	return nil, invalid("the transaction is finished, or never was")
}

// Rollback implements [firestorepb.FirestoreServer]. To roll back a finished transaction is no error.
func (f *Firestore) Rollback(_ context.Context, req *firestorepb.RollbackRequest) (*emptypb.Empty, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := req.Transaction
	if len(id) != 8 || binary.BigEndian.Uint64(id)-1 >= f.begun {
		return nil, invalid("no such transaction")
	}
	delete(f.open, string(id))
	return &emptypb.Empty{}, nil
}

// BatchGetDocuments implements [firestorepb.FirestoreServer]: documents are sent in the order asked for, each once. Masks,
// read times and read-only transactions, which is what a new transaction without options is, are not modelled.
func (f *Firestore) BatchGetDocuments(req *firestorepb.BatchGetDocumentsRequest, stream firestorepb.Firestore_BatchGetDocumentsServer) error {
	out, err := f.read(req)
	for _, r := range out {
		if err := stream.Send(r); err != nil {
			return err
		}
	}
	return err
}

func (f *Firestore) read(req *firestorepb.BatchGetDocumentsRequest) (out []*firestorepb.BatchGetDocumentsResponse, err error) {
	if err := checkRead(req); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	var tx *transaction
	switch {
	case req.GetNewTransaction() != nil:
		var id []byte
		id, tx = f.begin(req.Database)
		out = append(out, &firestorepb.BatchGetDocumentsResponse{Transaction: id})
	case req.GetTransaction() != nil:
		if tx, err = f.transaction(req.Database, req.GetTransaction()); err != nil {
			return nil, err
		}
	}
	now := f.tick()
	for i, name := range req.Documents {
		if !slices.Contains(req.Documents[:i], name) {
			doc := f.docs[name]
			tx.saw(name, doc)
			out = append(out, result(name, doc, now))
		}
	}
	return out, nil
}

func checkRead(req *firestorepb.BatchGetDocumentsRequest) error {
	if err := checkDatabase(req.Database); err != nil {
		return err
	}
	switch tx := req.GetNewTransaction(); {
	case req.Mask != nil:
		return unmodelled("a mask on a read")
	case req.GetReadTime() != nil:
		return unmodelled("a read time")
	case tx != nil && tx.GetReadWrite() == nil:
		return unmodelled("a read-only transaction")
	}
	for _, name := range req.Documents {
		if err := checkDocument(req.Database, name); err != nil {
			return err
		}
	}
	return nil
}

func result(name string, doc *firestorepb.Document, now *timestamppb.Timestamp) *firestorepb.BatchGetDocumentsResponse {
	r := &firestorepb.BatchGetDocumentsResponse{ReadTime: now}
	if doc == nil {
		r.Result = &firestorepb.BatchGetDocumentsResponse_Missing{Missing: name}
	} else {
		r.Result = &firestorepb.BatchGetDocumentsResponse_Found{Found: doc}
	}
	return r
}

// saw records the first sight of a document; a nil transaction records nothing.
func (tx *transaction) saw(name string, doc *firestorepb.Document) {
	if tx == nil {
		return
	}
	if _, ok := tx.reads[name]; !ok {
		tx.reads[name] = doc
	}
}

// Commit implements [firestorepb.FirestoreServer]: all writes or none. A refusal of the request's form leaves its transaction
// open, any other ends it. Two writes to one document in one commit are not modelled.
func (f *Firestore) Commit(_ context.Context, req *firestorepb.CommitRequest) (*firestorepb.CommitResponse, error) {
	if err := checkCommit(req); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(req.Transaction) > 0 {
		if err := f.finish(req.Database, req.Transaction); err != nil {
			return nil, err
		}
	}
	if len(req.Writes) == 0 {
		return &firestorepb.CommitResponse{}, nil // without a time, like the emulator
	}
	return f.apply(req.Writes)
}

// BatchWrite implements [firestorepb.FirestoreServer]: each write is made or refused by itself, in the order of the request.
// Two writes to one document, or one that is refused for its form, refuse the whole request. Labels are ignored.
func (f *Firestore) BatchWrite(_ context.Context, req *firestorepb.BatchWriteRequest) (*firestorepb.BatchWriteResponse, error) {
	if err := checkBatch(req); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	res := &firestorepb.BatchWriteResponse{}
	for i := range req.Writes {
		made, err := f.apply(req.Writes[i : i+1])
		result := &firestorepb.WriteResult{}
		if err == nil {
			result = made.WriteResults[0]
		}
		res.WriteResults = append(res.WriteResults, result)
		res.Status = append(res.Status, status.Convert(err).Proto())
	}
	return res, nil
}

// finish closes a transaction that is about to be committed. Aborted if what it read is no longer so.
func (f *Firestore) finish(database string, id []byte) error {
	tx, err := f.transaction(database, id)
	if err != nil {
		return err
	}
	delete(f.open, string(id))
	for name, seen := range tx.reads {
		if f.docs[name] != seen {
			return status.Errorf(codes.Aborted, "%s has changed since the transaction read it", name)
		}
	}
	return nil
}

func (f *Firestore) apply(writes []*firestorepb.Write) (*firestorepb.CommitResponse, error) {
	now := f.tick()
	next := map[string]*firestorepb.Document{}
	res := &firestorepb.CommitResponse{CommitTime: now}
	for _, w := range writes {
		name := written(w)
		doc, values, err := applyWrite(w, f.docs[name], now)
		if err != nil {
			return nil, err
		}
		next[name] = doc
		res.WriteResults = append(res.WriteResults, &firestorepb.WriteResult{UpdateTime: doc.GetUpdateTime(), TransformResults: values})
	}
	for name, doc := range next {
		if doc == nil {
			delete(f.docs, name)
		} else {
			f.docs[name] = doc
		}
	}
	return res, nil
}
