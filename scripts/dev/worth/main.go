// Command worth compares webhooks with polling. It runs the same jobs on a stand-in for
// the Gemini API, and measures the API calls, the delay and the cost of several ways to
// notice their ends.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const usage = `Usage: go run ./scripts/dev/worth [flags] >tables.md

Runs the same jobs once for each way to notice their ends:

  get                    one polling loop per job: every 30 s for batches, every 10 s for
                         Deep Research and video
  get, doubling          the same, with intervals that double up to 16 times the first
  list                   one loop for all batches, with pages of 100 every 60 s. The API
                         does not list the other kinds, so they are polled as in get
  webhooks               this project's receivers, and a subscriber that fetches each
                         result with one call
  webhooks, 1 % lost     the same, but 1 % of deliveries are lost and 1 % are made twice
  webhooks + reconciler  the same, with a reconciler pass every ten minutes

The jobs first run on virtual time in this process: a week takes seconds, and a call takes
no time. Then jobs of a few seconds run over HTTP in real time. The user's side is then a
separate process, whose CPU time is measured. The tables are printed in Markdown.

Examples:
  go run ./scripts/dev/worth -jobs 50       a quick try: two minutes
  go run ./scripts/dev/worth -write docs    the figures in docs: up to half an hour

Flags:
`

// perWeek is the number of jobs of each kind that start in a week.
const perWeek = 1000

// usualLatency is the assumed latency of deliveries. Google publishes no figure.
const usualLatency = time.Second

// The ranges of other conditions.
var (
	limits    = []int{15, 60, 150} // calls per minute
	latencies = []time.Duration{0, 10 * time.Second, time.Minute, 5 * time.Minute}
)

// A command is the command's flags.
type command struct {
	jobs  int // number of jobs of each kind
	seed  uint64
	write string // folder for the result files; empty: do not write them
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == sideFlag {
		if err := beSide(os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "worth:", err)
			os.Exit(1)
		}
		return
	}
	c, err := parse(os.Args[1:])
	if err != nil {
		os.Exit(2)
	}
	os.Args = os.Args[:1] // else testing parses the flags
	// testing/synctest works only inside a test. Main exits the process.
	all := func(_, _ string) (bool, error) { return true, nil }
	testing.Main(all, []testing.InternalTest{{Name: "worth", F: func(t *testing.T) {
		if err := c.run(t); err != nil {
			t.Error(err)
		}
	}}}, nil, nil)
}

func parse(args []string) (c command, err error) {
	flags := flag.NewFlagSet("worth", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(flags.Output(), usage)
		flags.PrintDefaults()
	}
	flags.IntVar(&c.jobs, "jobs", perWeek, "`number` of jobs of each of the three kinds; 1000 start per week")
	flags.Uint64Var(&c.seed, "seed", 1, "`seed` of the random jobs")
	flags.StringVar(&c.write, "write", "", "write worth.json and worth.svg to this `folder`")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 || c.jobs < 1 {
		flags.Usage()
		return c, flag.ErrHelp
	}
	return c, nil
}

// run measures, prints the tables, and writes the files.
func (c command) run(t *testing.T) error {
	r, err := c.measure(t)
	if err != nil {
		return err
	}
	fmt.Printf("Seed %d, %d jobs of each kind.\n\n%s\n", r.Seed, r.Jobs, strings.Join(r.Tables(), "\n"))
	if c.write == "" {
		return nil
	}
	figures, err := json.Marshal(r)
	return errors.Join(err, os.WriteFile(filepath.Join(c.write, "worth.json"), append(figures, '\n'), 0o644),
		os.WriteFile(filepath.Join(c.write, "worth.svg"), []byte(r.Picture()), 0o644))
}

// measure runs the jobs on virtual time, under usual and other conditions, and then
// short jobs in real time.
func (c command) measure(t *testing.T) (*Report, error) {
	within := time.Duration(c.jobs) * 7 * 24 * time.Hour / perWeek
	plan := draw(c.seed, c.jobs, within, realistic)
	r := &Report{Seed: c.seed, Jobs: c.jobs}
	run := func(w way, plan []job, at pace, under Conditions) Figures {
		begun := time.Now()
		f := virtually(t, w, plan, at, under)
		fmt.Fprintf(os.Stderr, "%v: %s, %+v\n", time.Since(begun).Round(time.Second), w.name, under)
		return f
	}
	for _, w := range ways {
		r.Ways = append(r.Ways, run(w, plan, usual, Conditions{Latency: usualLatency}))
	}
	for _, limit := range limits {
		for _, w := range []way{get, doubling, list, reconciled} {
			r.Ranges = append(r.Ranges, run(w, plan, usual, Conditions{limit, usualLatency}))
		}
	}
	for _, latency := range latencies {
		r.Ranges = append(r.Ranges, run(webhooks, plan, usual, Conditions{Latency: latency}))
	}
	plan = draw(c.seed, 100, 10*time.Second, seconds)
	for _, w := range []way{get, doubling, list, webhooks} {
		p := Pair{Virtual: run(w, plan, quick, Conditions{})}
		idle, err := really(t.Context(), w, nil, quick)
		if err == nil {
			p.Real, err = really(t.Context(), w, plan, quick)
		}
		if err != nil {
			return nil, err
		}
		p.Idle = idle.CPU
		r.Real = append(r.Real, p)
	}
	return r, nil
}
