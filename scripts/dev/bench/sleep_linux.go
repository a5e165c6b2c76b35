package main

import (
	"syscall"
	"time"
)

// sleepUntil sleeps with the kernel's precision of 0.1 ms. time.Sleep rounds up to whole
// milliseconds if the process is otherwise idle: a third of the injected round trip.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		left := syscall.NsecToTimespec(d.Nanoseconds())
		_ = syscall.Nanosleep(&left, nil) // an interrupted sleep is continued
	}
}
