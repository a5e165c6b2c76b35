package proof

import (
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A machine is the measured speed of this machine under its current load.
type machine struct {
	slowness int           // multiplies the times of the functions under test
	slots    chan struct{} // one for each cell that may be active at a time
}

const (
	// An idle machine with two cores starts an instance in less than quickStart (with
	// the race detector), and answers 90 % of deliveries, eight at a time, in less than
	// quickAnswer. On a slower machine, the functions' times are proportionally longer,
	// so that the same number of cells can run. On a very slow machine, fewer cells
	// run.
	quickStart  = 750 * time.Millisecond
	quickAnswer = 100 * time.Millisecond

	mostSlowness = 4
	mostAtOnce   = 16 // per core: cells mostly wait
	leastAtOnce  = 4  // per core
)

var measured struct {
	sync.Mutex
	*machine
}

// calibrate measures the machine once, and prints its slowness and its slots.
func calibrate(t *testing.T) *machine {
	t.Helper()
	measured.Lock()
	defer measured.Unlock()
	if measured.machine == nil {
		measured.machine = measure(t)
	}
	return measured.machine
}

// measure starts an instance and sends it deliveries, eight at a time. It ignores the
// first half, in which the emulators warm up.
func measure(t *testing.T) *machine {
	p := newProject(t)
	s := newSigner(t, p, shortStatic)
	instance := functiontest.NewProcess(t, shortStatic, environment(p, realTimes)...)
	begun := time.Now()
	instance.Start()
	start := time.Since(begun)

	const senders, each = 8, 24
	client := newClient()
	var mu sync.Mutex
	var answers []time.Duration
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for i := range each {
				id, body, sent := webhooktest.NewID(), webhooktest.NewEvent("batch.succeeded"), time.Now()
				_, _ = post(t.Context(), client, instance.URL(), s, id, body) // a failure takes its time, too
				mu.Lock()
				if i >= each/2 {
					answers = append(answers, time.Since(sent))
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	instance.Kill()
	slices.Sort(answers)
	answer := answers[len(answers)*9/10]
	m := newMachine(start, answer)
	fmt.Printf("calibrated: an instance starts in %v, nine of ten deliveries take at most %v: times × %d, %d cells at a time\n",
		start.Round(time.Millisecond), answer.Round(time.Millisecond), m.slowness, cap(m.slots))
	return m
}

func newMachine(start, answer time.Duration) *machine {
	slower := max(float64(start)/float64(quickStart), float64(answer)/float64(quickAnswer), 1)
	slowness := min(int(slower+0.5), mostSlowness)
	atOnce := max(int(mostAtOnce*float64(slowness)/slower), leastAtOnce) * runtime.NumCPU()
	atOnce = min(atOnce, mostAtOnce*runtime.NumCPU())
	return &machine{slowness: slowness, slots: make(chan struct{}, atOnce)}
}

func (m *machine) acquire() { m.slots <- struct{}{} }
func (m *machine) release() { <-m.slots }

// idle sleeps, and frees the cell's slot meanwhile.
func (m *machine) idle(d time.Duration) {
	m.release()
	time.Sleep(d)
	m.acquire()
}

func TestMachine(t *testing.T) {
	for _, test := range []struct {
		start, answer time.Duration
		slowness      int
		perCore       int
	}{
		{quickStart / 2, quickAnswer / 2, 1, mostAtOnce},
		{4 * quickStart, quickAnswer, 4, mostAtOnce},
		{quickStart, 2 * quickAnswer, 2, mostAtOnce},
		{quickStart, 8 * quickAnswer, mostSlowness, mostAtOnce / 2},
		{1000 * quickStart, quickAnswer, mostSlowness, leastAtOnce},
	} {
		m := newMachine(test.start, test.answer)
		if m.slowness != test.slowness || cap(m.slots) != test.perCore*runtime.NumCPU() {
			t.Errorf("start %v, answer %v: times × %d, %d cells at a time", test.start, test.answer, m.slowness, cap(m.slots))
		}
	}
}
