package main

import (
	"syscall"
	"time"

	"github.com/prometheus/procfs"
)

// sleepUntil sleeps with the kernel's precision of 0.1 ms. time.Sleep rounds up to whole
// milliseconds if the process is otherwise idle, which would add a third to the injected
// round trip.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		left := syscall.NsecToTimespec(d.Nanoseconds())
		_ = syscall.Nanosleep(&left, nil) // an interrupted sleep is continued
	}
}

// processor returns the name of the processors' model.
func processor() string {
	if fs, err := procfs.NewDefaultFS(); err == nil {
		if cpus, err := fs.CPUInfo(); err == nil && len(cpus) > 0 {
			return cpus[0].ModelName
		}
	}
	return "unknown"
}
