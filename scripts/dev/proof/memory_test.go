package proof

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

const (
	// judgedFrom is the shortest run in which memory growth is checked, and maxGrowth
	// the allowed growth in MiB.
	judgedFrom = time.Minute
	maxGrowth  = 16.0
)

// samples are the resident memory of a process over time.
type samples struct {
	seconds, mebibytes []float64
}

func (s *samples) add(at time.Duration, pid int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return // no such system, or the process has ended
	}
	pages, _ := strconv.Atoi(fields[1])
	s.seconds = append(s.seconds, at.Seconds())
	s.mebibytes = append(s.mebibytes, float64(pages*os.Getpagesize())/(1<<20))
}

// fifth returns the mean of one fifth of the samples, 0 to 4. During fifth 0, a process
// grows to its normal size.
func (s *samples) fifth(i int) float64 {
	n, sum := len(s.mebibytes), 0.0
	part := s.mebibytes[i*n/5 : (i+1)*n/5]
	for _, m := range part {
		sum += m
	}
	return sum / float64(len(part))
}

// check fails the test if a process grew by more than maxGrowth in a run of at least
// judgedFrom.
func (s *samples) check(t *testing.T) {
	n := len(s.seconds)
	if n < 10 || s.seconds[n-1] < judgedFrom.Seconds() {
		return
	}
	if grown, limit := s.fifth(4)-s.fifth(1), maxGrowth*raceFactor(); grown > limit {
		t.Errorf("memory grew by %.1f MiB, want at most %.1f", grown, limit)
	}
}

func (s *samples) String() string {
	n := len(s.seconds)
	if n < 10 {
		return "memory: too few samples"
	}
	minutes := s.seconds[n-1] / 60
	return fmt.Sprintf("memory of the instance that lived: on average %.1f MiB in the second fifth of %.1f minutes, %.1f MiB in the last: %+.2f MiB a minute",
		s.fifth(1), minutes, s.fifth(4), (s.fifth(4)-s.fifth(1))/(minutes*3/5))
}
