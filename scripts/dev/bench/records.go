package main

import (
	"context"
	"fmt"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"golang.org/x/sync/errgroup"

	"github.com/geminihook/geminihook/scripts/dev/bench/internal/calls"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	writesPerCommit = 500
	fillers         = 4
)

// fill writes n records, as the receiver leaves them.
func (p *project) fill(ctx context.Context, n int) error {
	conn, err := calls.Dial(p.firestore.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	client := firestorepb.NewFirestoreClient(conn)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(fillers)
	for done := 0; done < n; done += writesPerCommit {
		group.Go(func() error {
			var writes []*firestorepb.Write
			for range min(writesPerCommit, n-done) {
				writes = append(writes, p.Mark(webhooktest.NewID(), time.Now()))
			}
			_, err := client.Commit(ctx, p.Commit(writes...))
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("write %d records: %w", n, err)
	}
	return nil
}
