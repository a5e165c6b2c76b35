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

// A situation is the state at the arrival of a delivery.
type situation int

const (
	first      situation = iota // no record
	retry                       // an expired claim of a killed owner
	concurrent                  // a concurrent duplicate at another instance
)

var situations = []string{"first", "retry", "concurrent"}

// A step is one call of a function during a delivery or during its start, or the
// answer.
type step struct {
	name   string
	method string // the call's method; empty for the answer and for idle

	atStart   bool // the step belongs to an instance's warm-up
	idle      bool // between two deliveries
	takesOver bool // the step needs an expired claim
	dupFirst  bool // the fault affects the duplicate, so the other delivery is sent first

	// leads are the calls that must precede the step, by situation.
	leads [3][]lead
}

// A lead is a call that must precede a step, with its handling.
type lead struct {
	method string
	act    func(c *cell, apply func() error) error
}

func pass(_ *cell, apply func() error) error { return apply() }

func loseReply(_ *cell, apply func() error) error {
	_ = apply()
	return proxy.Refuse()
}

// refuseOutright makes a publish fail with an error after which it certainly has not
// happened.
func refuseOutright(*cell, func() error) error { return status.Error(codes.NotFound, "no such topic") }

// letVictimIn delays the owner's call until the fault has occurred at the duplicate.
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

// cannot returns the reason for which a cell is impossible, or "" if it is possible.
func cannot(s *step, f *fault, in situation) string {
	switch {
	case s.takesOver && in == first:
		return "there is no claim to take over"
	case s.idle && f.idle == nil:
		return "there is no call between two deliveries"
	case s == answer && f.answer == nil:
		return "an answer can only be lost; a fault of the function before it belongs to mark"
	}
	return ""
}

// plans returns all possible cells. Cells with long times are first, because they take
// the longest.
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

// TestMatrix runs every fault at every step in every situation.
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

// A matrix collects the results of cells.
type matrix struct {
	machine *machine

	mu    sync.Mutex
	cells []*cell
}

// run runs a plan when the machine has a free slot.
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

// signs returns the results of the cells, by name.
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

// table returns the matrix as text. Each cell shows three results: a first delivery, a
// retry after the owner was killed and its lease expired, and a concurrent duplicate.
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
		fmt.Sprintf("2  there was a second copy with a cause that the contract allows\n%s", list(seen)) +
		fmt.Sprintf("–  cannot occur\n%s", list(impossible))
}

func list(reasons map[string]int) string {
	var b strings.Builder
	for _, reason := range slices.Sorted(maps.Keys(reasons)) {
		fmt.Fprintf(&b, "     %s: %d\n", reason, reasons[reason])
	}
	return b.String()
}
