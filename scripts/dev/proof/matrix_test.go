package proof

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/gcptest/proxy"
)

// A situation is what a delivery finds.
type situation int

const (
	first      situation = iota // nothing
	retry                       // the expired claim of an owner that was killed
	concurrent                  // a duplicate at the same moment, at another instance
)

var situations = []string{"first", "retry", "concurrent"}

// A step is one thing that a function does with a delivery.
type step struct {
	name   string
	method string // the call that it is; empty for the answer

	atStart   bool // an instance does it by itself when it starts
	idle      bool // an instance does nothing
	takesOver bool // only if there is an expired claim
	dupFirst  bool // done to the duplicate: the other one is there first

	// leads are what has to come about before, by situation.
	leads [3][]lead
}

// A lead is a call that precedes a step, and what is done to it.
type lead struct {
	method string
	act    func(c *cell, apply func() error) error
}

func pass(_ *cell, apply func() error) error { return apply() }

func loseReply(_ *cell, apply func() error) error {
	_ = apply()
	return proxy.Refuse()
}

// refuseOutright is the one answer to a publish after which it has certainly not
// happened.
func refuseOutright(*cell, func() error) error { return status.Error(codes.NotFound, "no such topic") }

// letVictimIn holds the owner up until the fault has come over the duplicate.
func letVictimIn(c *cell, apply func() error) error {
	c.begin(c.victim)
	<-c.struck
	return apply()
}

func always(leads ...lead) [3][]lead { return [3][]lead{leads, leads, leads} }

var (
	listSecret = &step{name: "list the secret's versions", method: functiontest.ListVersions, atStart: true}
	readSecret = &step{name: "read the secret", method: functiontest.AccessVersion, atStart: true}
	fetchKeys  = &step{name: "fetch the keys", method: functiontest.FetchKeys, atStart: true}
	claim      = &step{name: "claim", method: functiontest.Commit}
	read       = &step{name: "read the record", method: functiontest.Read, dupFirst: true, leads: [3][]lead{
		first:      {{functiontest.Commit, loseReply}},
		concurrent: {{functiontest.Publish, letVictimIn}},
	}}
	begin      = &step{name: "take over: begin", method: functiontest.Begin, takesOver: true}
	takeOver   = &step{name: "take over: commit", method: functiontest.Commit, takesOver: true, leads: always(lead{functiontest.Begin, pass})}
	publishing = &step{name: "publish", method: functiontest.Publish}
	release    = &step{name: "release", method: functiontest.Commit, leads: always(lead{functiontest.Publish, refuseOutright})}
	mark       = &step{name: "mark", method: functiontest.Commit, leads: always(lead{functiontest.Publish, pass})}
	answer     = &step{name: "answer"}
	idle       = &step{name: "between two deliveries", idle: true}
	steps      = []*step{idle, listSecret, readSecret, fetchKeys, claim, read, begin, takeOver, publishing, release, mark, answer}
)

// cannot returns why a cell cannot occur, "" if it can.
func cannot(s *step, f *fault, in situation) string {
	switch {
	case s.takesOver && in == first:
		return "there is no claim to take over"
	case s.idle && f.idle == nil:
		return "between two deliveries nothing is under way"
	case s == answer && f.answer == nil:
		return "an answer is a reply: it can be lost, and what befalls the function before it is the mark's"
	}
	return ""
}

// plans are all cells that can occur, of the functions with short times. Those that
// idle, and so take longest, come first.
func plans() []plan {
	var all []plan
	for _, s := range steps {
		for _, f := range faults {
			for in := range situations {
				if cannot(s, f, situation(in)) == "" {
					all = append(all, newPlan(s, f, situation(in)))
				}
			}
		}
	}
	slices.SortStableFunc(all, func(a, b plan) int { return cmp.Compare(b.times.process, a.times.process) })
	return all
}

func newPlan(s *step, f *fault, in situation) plan {
	p := plan{step: s, fault: f, situation: in, function: shortStatic, times: shortTimes}
	if s == fetchKeys {
		p.function = shortDynamic
	}
	if f == forgotten {
		p.times = wireTimes
	}
	return p
}

// TestMatrix tries every fault at every step in every situation.
func TestMatrix(t *testing.T) {
	m := matrix{machine: calibrate(t)}
	t.Run("cell", func(t *testing.T) {
		for _, s := range []*step{claim, publishing} { // the deployed function, with its own times
			p := newPlan(s, killedAfter, first)
			p.function, p.times = realStatic, realTimes
			m.run(t, p)
		}
		for _, p := range plans() {
			m.run(t, p)
		}
	})
	if testing.Verbose() {
		fmt.Println(m.table())
	}
}

// A matrix collects the cells that were run.
type matrix struct {
	machine *machine

	mu    sync.Mutex
	cells []*cell
}

// run runs a plan as soon as the machine has a slot for it.
func (m *matrix) run(t *testing.T, p plan) {
	name := fmt.Sprintf("%s/%s/%s/%s", p.step.name, p.fault.name, situations[p.situation], p.function)
	t.Run(strings.ReplaceAll(name, " ", "-"), func(t *testing.T) {
		t.Parallel()
		m.machine.acquire()
		defer m.machine.release()
		c := newCell(t, m.machine, p, newProject(t))
		m.mu.Lock()
		m.cells = append(m.cells, c)
		m.mu.Unlock()
		c.run()
	})
}

// signs are the cells by their names.
func (m *matrix) signs() map[string]string {
	signs := make(map[string]string)
	for _, c := range m.cells {
		sign := "✓"
		switch {
		case c.t.Failed():
			sign = "✗"
		case len(c.second) > 0:
			sign = "2"
		}
		if c.function != realStatic {
			signs[fmt.Sprint(c.step.name, c.fault.name, c.situation)] = sign
		}
	}
	return signs
}

// table is the matrix as text, three signs a cell.
func (m *matrix) table() string {
	signs := m.signs()
	var b strings.Builder
	fmt.Fprintf(&b, "| first, retry, concurrent |")
	for _, f := range faults {
		fmt.Fprintf(&b, " %s |", f.name)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(faults)) + "\n")
	for _, s := range steps {
		fmt.Fprintf(&b, "| %s |", s.name)
		for _, f := range faults {
			b.WriteString(" ")
			for in := range situations {
				sign, ok := signs[fmt.Sprint(s.name, f.name, situation(in))]
				if !ok {
					sign = "–"
				}
				b.WriteString(sign)
			}
			b.WriteString(" |")
		}
		b.WriteString("\n")
	}
	return b.String() + "\n" + m.summary()
}

func (m *matrix) summary() string {
	seen, impossible := make(map[string]int), make(map[string]int)
	for _, c := range m.cells {
		for _, cause := range c.second {
			seen[cause]++
		}
	}
	for _, s := range steps {
		for _, f := range faults {
			for in := range situations {
				if why := cannot(s, f, situation(in)); why != "" {
					impossible[why]++
				}
			}
		}
	}
	return fmt.Sprintf("%d cells\n", len(m.cells)) +
		fmt.Sprintf("2  there was a second copy, and the log of the delivery's own requests says why\n%s", list(seen)) +
		fmt.Sprintf("–  cannot occur\n%s", list(impossible))
}

func list(reasons map[string]int) string {
	var b strings.Builder
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&b, "     %s: %d\n", reason, reasons[reason])
	}
	return b.String()
}
