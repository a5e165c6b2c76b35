package dedup

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/api/iterator"
)

const (
	// MaxIDs is the maximum number of ids for Done: Firestore's limit for an "in" filter.
	MaxIDs = 30

	// maxFound is the maximum number of records that Done reads. A job has one record for
	// each webhook that it was delivered to, and one more each time it required an action.
	maxFound = 3000
)

// Done returns the records in state done whose JobID is one of jobIDs, in no defined
// order. JobID is compared exactly. It is unknown in which form Gemini writes it, so
// pass each form of a job's name: for a batch "batches/ID" and "ID". Check Type too,
// because an id alone does not name the kind of job. Done reads all records of these
// jobs; Firestore bills one read if there is none. In production it needs the
// single-field index of job_id.
//
// It fails if jobIDs is empty or has more than [MaxIDs] ids. It also fails if there are
// more than 3,000 records of these jobs, in all states together, because a record that
// it did not read could be the one that the caller looks for.
func (l *Ledger) Done(ctx context.Context, jobIDs []string) ([]Record, error) {
	docs := l.records.Where("job_id", "in", jobIDs).Limit(maxFound + 1).Documents(ctx)
	defer docs.Stop()
	var done []Record
	for n := 0; ; n++ {
		doc, err := docs.Next()
		switch {
		case errors.Is(err, iterator.Done):
			return done, nil
		case err != nil:
			return nil, fmt.Errorf("find the records of jobs: %w", err)
		case n == maxFound:
			return nil, fmt.Errorf("find the records of jobs: more than %d records of %d jobs", maxFound, len(jobIDs))
		}
		var record Record
		if err := doc.DataTo(&record); err != nil {
			return nil, fmt.Errorf("find the records of jobs: %w", err)
		}
		if record.State == StateDone {
			done = append(done, record)
		}
	}
}

// Any reports whether a record, in any state, has one of these endpoints and one of these
// types. It reads one record. It fails if a slice is empty, or if there are more than 30
// pairs of an endpoint and a type, which is Firestore's limit. In production it needs the
// single-field indexes of endpoint and type.
func (l *Ledger) Any(ctx context.Context, endpoints, types []string) (bool, error) {
	docs, err := l.records.Where("endpoint", "in", endpoints).Where("type", "in", types).Limit(1).Documents(ctx).GetAll()
	if err != nil {
		return false, fmt.Errorf("find a record by its type: %w", err)
	}
	return len(docs) > 0, nil
}
