package main

import (
	"fmt"
	"math"
	"os"
	"strings"
	"time"
)

// What a process uses, as Linux tells in /proc. Elsewhere all of it is not a number.

// tick is the unit of processor time in /proc: USER_HZ is 100 wherever Go runs.
const tick = 10 * time.Millisecond

// cpuSeconds returns the processor time that the process has used.
func (r *process) cpuSeconds() float64 {
	s := readStat(r.proc("stat"))
	if s.process == 0 {
		return math.NaN()
	}
	return s.used * tick.Seconds()
}

// resetPeak has peakMiB start anew.
func (r *process) resetPeak() { _ = os.WriteFile(r.proc("clear_refs"), []byte("5"), 0) }

// peakMiB returns the most memory that was resident, residentMiB what is now.
func (r *process) peakMiB() float64     { return r.memory("VmHWM:") }
func (r *process) residentMiB() float64 { return r.memory("VmRSS:") }

func (r *process) memory(field string) float64 {
	status, err := os.ReadFile(r.proc("status"))
	if err != nil {
		return math.NaN()
	}
	_, rest, _ := strings.Cut(string(status), field)
	var kib float64
	if _, err := fmt.Sscan(rest, &kib); err != nil {
		return math.NaN()
	}
	return kib / 1024
}

func (r *process) proc(file string) string {
	return fmt.Sprintf("/proc/%d/%s", r.cmd.Process.Pid, file)
}
