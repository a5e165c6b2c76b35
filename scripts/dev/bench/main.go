// Command bench compares the deployed static function with two other receivers. It
// prints Go's benchmark format, https://go.dev/design/14313-benchmark-format, from
// which benchstat computes medians, confidence intervals and ratios.
//
// It is a separate module, because the main go.mod is uploaded with the functions: a
// change of the bench's dependencies there would redeploy them.
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

Measures three receivers, each in its own process, with Google's Firestore and Pub/Sub
emulators. They take short turns in all six orders, so that other load on the machine
affects all of them equally. Compare the ratios; absolute times depend on the machine.

  floor     only makes the three calls of a delivery, with generated stubs
  this      the static function of this project, as it is deployed
  textbook  follows the samples of the client libraries: the Standard Webhooks library,
            a transaction that reads and then creates, a publisher with default batching

Benchmarks:
  Calls   RPCs per accepted delivery and per duplicate, counted on the wire
  Load    1, 16 and 80 deliveries at once. deliveries/s is concurrency ÷ mean latency,
          without the sender's time between an answer and the next delivery. CPU time and
          memory are the receiver's, on systems with /proc
  Copies  50 concurrent copies of one delivery: the time to the last answer, and the
          answers
  Start   from the start of the process to the first answer of any kind, and to the
          answer to a delivery sent as soon as the port is open; the latency of that
          delivery and of later ones; memory when idle. Also for an empty function, which
          shows the framework's share

  distance=5ms  with a simulated round trip of 5 ms between receivers and emulators, also
                for new connections. Start has it too
  records=N     with N records in Firestore (-records)

Emulators are started for each part, unless FIRESTORE_EMULATOR_HOST and
PUBSUB_EMULATOR_HOST name running ones. At the end, a warning is printed if other programs
used 10 % of the processor time or more.

Examples:
  go run -C scripts/dev/bench . -records 200000       ten minutes
  go run -C scripts/dev/bench . -count 1 -turn 20ms   a quick try: one minute

Flags:
`

// distance is the injected round trip.
const distance = 5 * time.Millisecond

// A bench is one run of the command.
type bench struct {
	count   int           // lines per benchmark and receiver
	turn    time.Duration // length of one receiver's turn
	records int           // records in Firestore in the last part; 0: no such part

	stdout, stderr io.Writer
	programs       string // folder with the built receivers
	sender         *sender
}

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // a second signal ends the process at once
	if err := run(ctx, os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// run measures, and writes results to stdout and progress to stderr.
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
	// benchstat ignores lines with #. Lines with a colon separate its tables.
	fmt.Fprintf(stdout, "# %s, %d cores, %s\n", time.Now().UTC().Format(time.DateOnly), runtime.NumCPU(), runtime.Version())
	fmt.Fprintf(stdout, "goos: %s\ngoarch: %s\n", runtime.GOOS, runtime.GOARCH)
	fmt.Fprint(stdout, "Unit deliveries/s better=higher\nUnit calls/op assume=exact\n")
	before := readProcessors()
	if err := b.measure(ctx); err != nil {
		return err
	}
	if warning := warn(before, readProcessors()); warning != "" {
		fmt.Fprintln(io.MultiWriter(stdout, stderr), "#", warning)
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
	flags.Parse(args) // exits on an error
	if flags.NArg() > 0 || b.count < 1 || b.turn <= 0 || b.records < 0 {
		return fmt.Errorf("invalid arguments %q: only flags are accepted, -count and -turn must be positive, -records not negative", args)
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

// result prints a line with the metrics of n operations, by unit. It omits metrics that
// are NaN because they could not be measured.
func (b *bench) result(name, receiver string, n int, metrics map[string]float64) {
	maps.DeleteFunc(metrics, func(_ string, value float64) bool { return math.IsNaN(value) })
	fmt.Fprintf(b.stdout, "Benchmark%s/receiver=%s\t%s\n", name, receiver, testing.BenchmarkResult{N: n, Extra: metrics})
}
