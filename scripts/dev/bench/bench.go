package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"
)

// The receivers, by their folders.
const (
	floor    = "floor"
	this     = "this"
	textbook = "textbook"
	empty    = "empty" // the framework alone
)

var (
	receivers = []string{floor, this, textbook}

	// targets are the functions' names.
	targets = map[string]string{floor: "Floor", this: "StaticWebhook", textbook: "Textbook", empty: "Empty"}

	concurrencies = []int{1, 16, 80}
)

const (
	// distance is the round trip that is injected.
	distance = 5 * time.Millisecond

	// copies is how often one delivery comes at once.
	copies = 50
)

// A bench is one run of the command.
type bench struct {
	*options
	sender      *sender
	programs    string // folder of the built receivers
	progress    io.Writer
	disturbance Disturbance
}

func newBench(ctx context.Context, o *options, progress io.Writer) (*bench, error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return nil, err
	}
	b := &bench{options: o, programs: dir, progress: progress, sender: newSender()}
	if emulatorsRun() {
		b.disturbance.Disturbed = missing // they look like other work
	}
	b.say("building the receivers")
	if err := errors.Join(build(ctx, dir), setJavaOptions()); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bench) close() { os.RemoveAll(b.programs) }

func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(b.progress, "bench: "+format+"\n", args...)
}

// measure measures one thing after another.
func (b *bench) measure(ctx context.Context) (r *Report, err error) {
	r = &Report{Records: b.records}
	if r.Machine, err = b.describeMachine(ctx); err != nil {
		return nil, err
	}
	if r.Calls, err = b.countCalls(ctx); err != nil {
		return nil, fmt.Errorf("calls: %w", err)
	}
	if r.Near, err = b.measureLoad(ctx, "load", direct, 0); err != nil {
		return nil, fmt.Errorf("load: %w", err)
	}
	if r.Far, err = b.measureLoad(ctx, "load at a distance", delayed(distance), 0); err != nil {
		return nil, fmt.Errorf("load at a distance: %w", err)
	}
	if r.Start, err = b.measureStart(ctx); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	if b.records > 0 {
		if r.Among, err = b.measureLoad(ctx, "load among records", direct, b.records); err != nil {
			return nil, fmt.Errorf("load among %d records: %w", b.records, err)
		}
	}
	r.Machine.LoadAfter = loadAverage()
	r.Machine.Disturbance = b.disturbance
	r.Targets = judge(r)
	return r, nil
}
