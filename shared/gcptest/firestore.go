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

// A Firestore is a [firestorepb.FirestoreServer] with documents in memory. All
// projects and databases exist. It implements commits, reads, queries of one
// collection, and read-write transactions. It is safe for concurrent use; create one
// with [NewFirestore].
//
// Transactions are optimistic and take no locks: if a document that a transaction
// read has changed, its commit fails with Aborted. In production and in the official
// emulator, the other writer waits for a lock instead.
type Firestore struct {
	firestorepb.UnimplementedFirestoreServer

	mu    sync.Mutex
	last  time.Time                        // the last time that tick returned
	docs  map[string]*firestorepb.Document // by full name; a stored document is replaced, not changed
	open  map[string]*transaction          // by id
	begun uint64                           // transactions begun so far
}

// A transaction is an open transaction.
type transaction struct {
	database string
	reads    map[string]*firestorepb.Document // documents as first read, by name; nil if missing
}

// NewFirestore returns a Firestore without documents.
func NewFirestore() *Firestore {
	return &Firestore{docs: map[string]*firestorepb.Document{}, open: map[string]*transaction{}}
}

// Register implements [Service].
func (f *Firestore) Register(s grpc.ServiceRegistrar) { firestorepb.RegisterFirestoreServer(s, f) }

// Documents returns copies of the documents in a collection, without those in
// subcollections, in the order of their ids. The collection's name is in full,
// "projects/P/databases/(default)/documents/C". If it does not exist, Documents
// returns no documents.
func (f *Firestore) Documents(collection string) []*firestorepb.Document {
	docs, _ := f.collection(collection)
	for i, d := range docs {
		docs[i] = proto.CloneOf(d)
	}
	return docs
}

// collection returns the stored documents of a collection in the order of their ids,
// and the read time.
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

// tick returns the current time in microseconds. It is always later than the previous
// one, so that commits have different times, and a read contains all commits up to
// its read time.
func (f *Firestore) tick() *timestamppb.Timestamp {
	now := time.Now().Truncate(time.Microsecond)
	if !now.After(f.last) {
		now = f.last.Add(time.Microsecond)
	}
	f.last = now
	return timestamppb.New(now)
}

// BeginTransaction implements [firestorepb.FirestoreServer]. Read-only transactions
// are not implemented. Transactions do not expire.
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

// begin adds an open transaction, and returns its id. The caller holds the lock.
func (f *Firestore) begin(database string) ([]byte, *transaction) {
	f.begun++
	id := binary.BigEndian.AppendUint64(nil, f.begun)
	tx := &transaction{database, map[string]*firestorepb.Document{}}
	f.open[string(id)] = tx
	return id, tx
}

// transaction returns the open transaction with this id.
func (f *Firestore) transaction(database string, id []byte) (*transaction, error) {
	if tx := f.open[string(id)]; tx != nil && tx.database == database {
		return tx, nil
	}
	return nil, invalid("transaction has ended, or does not exist")
}

// Rollback implements [firestorepb.FirestoreServer]. It succeeds for a transaction
// that has ended, as the emulator does.
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

// BatchGetDocuments implements [firestorepb.FirestoreServer]. It sends each document
// once, in the order of the request. It fails with Unimplemented if the request has a
// mask or a read time, or begins a transaction that is not read-write. In this call a
// new transaction without options is read-only, unlike in BeginTransaction.
func (f *Firestore) BatchGetDocuments(req *firestorepb.BatchGetDocumentsRequest, stream firestorepb.Firestore_BatchGetDocumentsServer) error {
	out, err := f.read(req)
	for _, r := range out {
		if err := stream.Send(r); err != nil {
			return err
		}
	}
	return err
}

// read returns the answers of BatchGetDocuments.
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

// checkRead returns an error if a read is invalid or not implemented.
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

// result returns the answer for one document; doc is nil if it is missing.
func result(name string, doc *firestorepb.Document, now *timestamppb.Timestamp) *firestorepb.BatchGetDocumentsResponse {
	r := &firestorepb.BatchGetDocumentsResponse{ReadTime: now}
	if doc == nil {
		r.Result = &firestorepb.BatchGetDocumentsResponse_Missing{Missing: name}
	} else {
		r.Result = &firestorepb.BatchGetDocumentsResponse_Found{Found: doc}
	}
	return r
}

// saw records a document as the transaction first reads it. tx may be nil.
func (tx *transaction) saw(name string, doc *firestorepb.Document) {
	if tx == nil {
		return
	}
	if _, ok := tx.reads[name]; !ok {
		tx.reads[name] = doc
	}
}

// Commit implements [firestorepb.FirestoreServer]. It applies all writes, or fails
// and applies no write. If the request is malformed, its transaction stays open; any
// other failure ends it. Two writes to one document in one commit are not
// implemented.
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
		return &firestorepb.CommitResponse{}, nil // without a commit time, like the emulator
	}
	return f.apply(req.Writes)
}

// BatchWrite implements [firestorepb.FirestoreServer]. It applies or rejects each write by
// itself, in the order of the request. It rejects the whole request with InvalidArgument
// if a write is invalid or if two writes are to one document. Labels are ignored.
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

// finish ends a transaction before its commit. It fails with Aborted if a document
// that the transaction read has changed.
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

// apply applies checked writes, or returns an error and applies no write. The caller
// holds the lock.
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
