// Command worth measures what webhooks save over polling: the same jobs, on a stand-in
// for the Gemini API, whose ends are noticed in several ways.
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

Starts the same jobs several times and notices their ends in several ways:

  get                    one loop a job: batches every 30 s, Deep Research and video 10 s
  get, doubling          the same, with intervals that double to sixteen times the first
  list                   one loop for all batches, pages of 100 every 60 s. The other
                         kinds have no list: they are polled by get
  webhooks               this project's receivers, and a subscriber that fetches each
                         result with one call
  webhooks, 1 % lost     of 100 deliveries one is never made, and one is made twice
  webhooks + reconciler  the same, with a pass of the reconciler every ten minutes

The jobs run on virtual time, in this process: a week takes seconds, a call takes no
time, and there is no noise of a clock. Then jobs of seconds run over HTTP in real time;
there the user's side is a process of its own, whose CPU time is measured. Tables are
printed in Markdown.

Examples:
  go run ./scripts/dev/worth -jobs 50       two minutes, to see that it works
  go run ./scripts/dev/worth -write docs    the figures in docs: half an hour at most

Flags:
`

// perWeek is how many jobs of each kind start in a week.
const perWeek = 1000

// usualLatency is the latency of deliveries unless another is said. None is published.
const usualLatency = time.Second

// The ranges over which the figures are repeated.
var (
	limits    = []int{15, 60, 150} // calls a minute
	latencies = []time.Duration{0, 10 * time.Second, time.Minute, 5 * time.Minute}
)

// A command is one run.
type command struct {
	jobs  int // of each kind
	seed  uint64
	write string // folder; empty: none
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
	os.Args = os.Args[:1] // testing parses them
	// A bubble of testing/synctest has to be inside a test. Main exits.
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
	flags.IntVar(&c.jobs, "jobs", perWeek, "jobs of each of the three kinds; 1000 start in a week")
	flags.Uint64Var(&c.seed, "seed", 1, "of the draw of jobs")
	flags.StringVar(&c.write, "write", "", "`folder` for worth.json and worth.svg")
	if err := flags.Parse(args); err != nil {
		return c, err
	}
	if flags.NArg() > 0 || c.jobs < 1 {
		flags.Usage()
		return c, flag.ErrHelp
	}
	return c, nil
}

// run measures, prints, and writes.
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

// measure runs the jobs on virtual time, under usual conditions and over the ranges, and
// then other jobs in real time.
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
