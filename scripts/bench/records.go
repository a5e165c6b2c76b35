package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"golang.org/x/sync/errgroup"

	"github.com/geminihook/geminihook/scripts/bench/internal/calls"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	writesPerCommit = 500
	fillers         = 4

	// javaOptions is read by every Java program and goes before what its command line says.
	javaOptions = "_JAVA_OPTIONS"
	largeHeap   = "-Xmx4g"
)

// measureAmong measures load among n records, all rounds in one project.
func (b *bench) measureAmong(ctx context.Context, n int) (Rounds, error) {
	b.say("writing %d records", n)
	os.Setenv(javaOptions, largeHeap)
	defer os.Unsetenv(javaOptions)
	p, err := b.newProject(ctx, direct)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if err := p.fill(ctx, n); err != nil {
		return nil, err
	}
	f, err := b.deploy(ctx, p)
	if err != nil {
		return nil, err
	}
	defer f.stop()
	var rounds Rounds
	for i := range b.rounds {
		b.say("load among records, round %d of %d", i+1, b.rounds)
		round, err := b.round(ctx, f)
		if err != nil {
			return nil, err
		}
		rounds = append(rounds, round)
	}
	return rounds, nil
}

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
