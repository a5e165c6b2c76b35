// Command bench measures the deployed static function beside two other receivers.
// It prints Go's benchmark format (https://go.dev/design/14313-benchmark-format), from
// which benchstat computes medians, confidence intervals and ratios.
//
// It is a module of its own: go.mod is uploaded with the functions, so a dependency of
// the bench there would redeploy them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"
)

const usage = `Usage: go run -C scripts/dev/bench . [flags] >bench.out
       go tool -modfile=scripts/dev/tools.mod benchstat -col /receiver bench.out

Measures three receivers, each a process of its own, on Google's Firestore and Pub/Sub
emulators, and prints Go's benchmark format. The receivers are:

  floor     makes the three calls of a delivery from generated stubs, and nothing else:
            it does not verify, parse, log or retry
  this      the static function of this project, as it is deployed
  textbook  follows the samples of the client libraries: the Standard Webhooks library,
            a transaction that reads and then creates, a publisher with its default
            batching, an update

All three are functions under the same framework and get the same signed deliveries over
connections that stay open. They take short turns, in all six orders, so that other load
on the machine affects all of them alike. Trust the ratios: the absolute times belong to
the machine. benchstat compares with the floor, which is printed first.

Benchmarks:
  Calls    RPCs per accepted delivery and per duplicate, counted on the wire; no time is
           measured. The floor does not detect duplicates.
  Load     1, 16 and 80 deliveries at once. One line is one receiver's six turns.
             deliveries/s    concurrency ÷ mean latency, without the sender's own time
                             between an answer and the next delivery
             cpu-ns/op       processor time of the receiver per delivery
             peak-RSS-bytes  of the receiver
  Copies   one delivery 50 times at once: the time until the last answer, and the number
           of answers by status. While one copy is processed, this receiver answers the
           others 503 with Retry-After; the textbook keeps them waiting.
  Start    one start of the process. The empty function is the framework alone.
             first-answer-ns       from the start of the process to its first answer
             start-to-delivery-ns  from the start of the process until a delivery, sent
                                   as soon as the port is open, is answered
             first-delivery-ns     the latency of that delivery
             later-delivery-ns     the latency of the ones after it
             idle-RSS-bytes        afterwards

  distance=5ms  a round trip of 5 ms is injected between receivers and emulators: each
                byte arrives 2.5 ms late, and opening a connection takes a round trip.
                The deliveries of Start have this distance.
  records=N     N records are in Firestore already (-records)

Emulators are started (Java 17 and gcloud's components; the error explains how to get
them) unless FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST are set. New ones are
started for each part, with a heap of 4 GB, because the Firestore emulator keeps every
version of every document.

CPU time and memory are read from /proc and left out on systems that have none. A warning
is printed at the end if other programs used a tenth or more of the processors' time
during a measurement.

The exit status is 0 unless a measurement failed. For verification alone, run
  go test -run '^$' -bench . -benchmem ./shared/webhook

Examples:
  go run -C scripts/dev/bench .                     six minutes
  go run -C scripts/dev/bench . -records 200000     nine
  go run -C scripts/dev/bench . -count 1 -turn 20ms half a minute, to see that it works

Flags:
`

// distance is the injected round trip.
const distance = 5 * time.Millisecond

// A bench is one run of the command.
type bench struct {
	count   int           // lines per benchmark and receiver
	turn    time.Duration // length of one receiver's turn
	records int           // to measure among; 0: not measured

	stdout, stderr io.Writer
	programs       string // folder of the built receivers
	sender         *sender
	machine        machine
}

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures. stdout gets the results; stderr gets progress.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	b := &bench{stdout: stdout, stderr: stderr, sender: newSender()}
	if err := b.parse(args); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	b.programs = dir
	b.progress("building the receivers")
	if err := errors.Join(b.build(ctx), setJavaOptions()); err != nil {
		return err
	}
	b.header()
	if err := b.measure(ctx); err != nil {
		return err
	}
	if warning := b.machine.warning(); warning != "" {
		fmt.Fprintf(io.MultiWriter(stdout, stderr), "# %s\n", warning)
	}
	return nil
}

func (b *bench) parse(args []string) error {
	flags := flag.NewFlagSet("bench", flag.ExitOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	flags.IntVar(&b.count, "count", 6, "print `N` lines per benchmark and receiver; benchstat needs 6 for a confidence interval")
	flags.DurationVar(&b.turn, "turn", 350*time.Millisecond, "`length` of a receiver's turn; it has six per line")
	flags.IntVar(&b.records, "records", 0, "measure also with `N` records in Firestore")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("unexpected argument %q: only flags are accepted", flags.Arg(0))
	}
	if b.count < 1 || b.turn <= 0 || b.records < 0 {
		return errors.New("-count, -turn or -records is too small")
	}
	return nil
}

// measure runs the parts one after another.
func (b *bench) measure(ctx context.Context) error {
	if err := b.measureCalls(ctx); err != nil {
		return fmt.Errorf("calls: %w", err)
	}
	if err := b.measureLoad(ctx, "distance=0s", direct, 0); err != nil {
		return err
	}
	if err := b.measureLoad(ctx, fmt.Sprintf("distance=%v", distance), delayed(distance), 0); err != nil {
		return err
	}
	if err := b.measureStart(ctx); err != nil {
		return fmt.Errorf("start: %w", err)
	}
	if b.records > 0 {
		return b.measureLoad(ctx, fmt.Sprintf("records=%d", b.records), direct, b.records)
	}
	return nil
}

func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(b.stderr, "bench: "+format+"\n", args...)
}

// header prints the machine that the results belong to, and the units in which more is
// better or which do not vary. benchstat ignores lines with # and splits its tables by the
// others, so a date among those would prevent comparisons.
func (b *bench) header() {
	fmt.Fprintf(b.stdout, "# %s, %d cores, %s\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	fmt.Fprintf(b.stdout, "goos: %s\ngoarch: %s\ncpu: %s\n", runtime.GOOS, runtime.GOARCH, processor())
	fmt.Fprint(b.stdout, "Unit deliveries/s better=higher\nUnit calls/op assume=exact\n")
}

// result prints one line: the metrics by unit of n operations. Those that are not a
// number could not be measured and are left out.
func (b *bench) result(name, receiver string, n int, metrics map[string]float64) {
	maps.DeleteFunc(metrics, func(_ string, value float64) bool { return math.IsNaN(value) })
	fmt.Fprintf(b.stdout, "Benchmark%s/receiver=%s\t%s\n", name, receiver, testing.BenchmarkResult{N: n, Extra: metrics})
}
