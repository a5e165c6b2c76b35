package dedup

import (
	"context"
	"errors"
	"fmt"

	"google.golang.org/api/iterator"
)

const (
	// MaxIDs is how many ids Done accepts: Firestore's limit on the values of an "in".
	MaxIDs = 30

	// maxFound bounds how many records Done reads. A job has one, or two if it was sent
	// to two webhooks, and one for each time that it required an action.
	maxFound = 3000
)

// Done returns the records that are done of deliveries whose events name one of at most
// 30 jobs by its id. It reads each such record, and one if there is none.
//
// It fails if there are more than 3,000, since one that it did not read could be the one
// that matters.
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

// Any reports whether there is a record, done or not, of an endpoint and a type among
// these; of both together there are at most 30 pairs. It reads one record.
//
// In production it needs the single-field indexes of endpoint and type.
func (l *Ledger) Any(ctx context.Context, endpoints, types []string) (bool, error) {
	docs, err := l.records.Where("endpoint", "in", endpoints).Where("type", "in", types).Limit(1).Documents(ctx).GetAll()
	if err != nil {
		return false, fmt.Errorf("find a record by its type: %w", err)
	}
	return len(docs) > 0, nil
}
