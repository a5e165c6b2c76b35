// Command bench measures this project's receiver beside what it could be at best and what it might be otherwise.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

const usage = `Usage: go run ./scripts/dev/bench [flags]

Measures three receivers, each a process of its own, on Google's official Firestore and Pub/Sub emulators, which it
starts (Java 17 and gcloud's components; the error says how to get them):

  floor     a handler that makes the three calls of a delivery from generated stubs, and nothing else:
            it neither verifies nor parses, logs or retries
  this      the static function of this project, as it is deployed
  textbook  what the samples of the client libraries lead to: the Standard Webhooks library, a transaction that
            reads and then creates, a publisher with its default batching, an update

All three are Cloud Functions under the same framework and HTTP server, and get the same signed deliveries from this
process over connections that stay open. They take turns of 350 ms, in all six orders, so that whatever else the machine
does falls on all alike. A figure is the median of the rounds, a ratio the median of the rounds' ratios. Trust the ratios:
the rest belongs to the machine and to this hour. Each part has new emulators, which are warmed up, with a heap of at most
4 GB: they keep every version of every document, and with less they are soon busy looking for memory.

What is measured:
  calls     RPCs per delivery, counted on the wire in a pass of its own that measures no time
  load      latency, rate, CPU time and peak memory at 1, 16 and 80 deliveries at once; the rate is not counted but
            concurrency divided by mean latency, which leaves out the sender's own time between two requests
  copies    one delivery 50 times at once, to the last answer, and the answers by status: while one copy is under way
            this receiver answers the others 503 with Retry-After at once, where the textbook holds them until its
            transactions have settled, and then answers 204 or an error
  distance  load again, with 5 ms of round trip injected between receivers and emulators: each byte is held back for
            2.5 ms each way, connections are set up in a round trip of their own, bandwidth is left alone
  start     process start to first answer, beside the framework with an empty function; the first delivery at 5 ms,
            beside a later one; resident memory once idle
  records   load again with N records in Firestore (-records N)

At the end each target is held against what was measured. The exit status is 0 whether or not they are met: what
decides is a machine that does nothing else.

Verification by itself is measured by
  go test -run '^$' -bench . -benchmem ./shared/webhook ./shared/receiver

Where FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST name emulators that run already, these are used, with the heap that
they have and without restarts. CPU time and memory are read from /proc, and missing where there is none. So is the number
of disturbed measurements, those in which other work took a tenth of the processors' time or more; beside emulators that
ran already it is unknown too, since they look like other work.

Examples:
  go run ./scripts/dev/bench                                       about five minutes
  go run ./scripts/dev/bench -records 200000 -picture bench.svg    about nine
  go run ./scripts/dev/bench -patience 20m                         on a machine that others use
  go run ./scripts/dev/bench -quick                                half a minute, to see that it works
`

// options are what the flags say.
type options struct {
	rounds   int
	turn     time.Duration // one receiver's turn
	records  int           // to measure among; 0: not measured
	patience time.Duration // with a machine that does other things
	picture  string        // file
	json     bool
	quick    bool
}

// The sizes of a quick run, which shows that all works and measures nothing.
const (
	quickRounds = 1
	quickTurn   = 20 * time.Millisecond
)

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parse(args []string, out io.Writer) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.IntVar(&o.rounds, "rounds", 5, "measure `N` rounds")
	flags.DurationVar(&o.turn, "turn", 350*time.Millisecond, "let a receiver's turn last this `LONG`; it has six a round")
	flags.IntVar(&o.records, "records", 0, "measure also among `N` records in Firestore")
	flags.DurationVar(&o.patience, "patience", 0, "wait until the machine does nothing else, and measure again what was disturbed, for up to this `LONG` in all")
	flags.StringVar(&o.picture, "picture", "", "draw latency by concurrency into this `FILE`, as SVG")
	flags.BoolVar(&o.json, "json", false, "write all that was measured as JSON, instead of tables")
	flags.BoolVar(&o.quick, "quick", false, "run through everything in short: one round of turns of 20 ms")
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprint(out, usage, "\nFlags:\n")
		flags.PrintDefaults()
	}
	if err := flags.Parse(args); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q: everything is a flag", flags.Arg(0))
	}
	if o.quick {
		o.rounds, o.turn = quickRounds, quickTurn
	}
	if o.rounds < 1 || o.turn <= 0 || o.records < 0 {
		return nil, errors.New("-rounds, -turn or -records is too small")
	}
	return o, nil
}

// run measures, and writes the tables or the JSON to stdout; stderr gets a line as each part begins.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	o, err := parse(args, stdout)
	if err != nil {
		return err
	}
	b, err := newBench(ctx, o, stderr)
	if err != nil {
		return err
	}
	defer b.close()
	r, err := b.measure(ctx)
	if err != nil {
		return err
	}
	if o.picture != "" {
		if err := draw(o.picture, r); err != nil {
			return err
		}
	}
	if o.json {
		return r.writeJSON(stdout)
	}
	return r.writeTables(stdout)
}
