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
	// judgedFrom is how long a run must be for its memory to tell anything, and
	// maxGrowth by how many MiB a process may then grow.
	judgedFrom = time.Minute
	maxGrowth  = 16.0
)

// samples are a process's resident memory over time.
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

// fifth is the mean over one fifth of the samples. In the first, 0, a process comes to
// its size.
func (s *samples) fifth(i int) float64 {
	n, sum := len(s.mebibytes), 0.0
	part := s.mebibytes[i*n/5 : (i+1)*n/5]
	for _, m := range part {
		sum += m
	}
	return sum / float64(len(part))
}

// check fails if a process has grown in a run that was long enough to tell.
func (s *samples) check(t *testing.T) {
	n := len(s.seconds)
	if n < 10 || s.seconds[n-1] < judgedFrom.Seconds() {
		return
	}
	if grown, limit := s.fifth(4)-s.fifth(1), maxGrowth*raceFactor(); grown > limit {
		t.Errorf("memory grew by %.1f MiB, of at most %.1f", grown, limit)
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
