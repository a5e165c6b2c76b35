package main

import (
	"syscall"
	"time"
)

// sleepUntil sleeps with the kernel's precision, 0.1 ms late. time.Sleep rounds up to whole milliseconds where nothing
// else happens, which would add a third to the injected round trip.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		left := syscall.NsecToTimespec(d.Nanoseconds())
		_ = syscall.Nanosleep(&left, nil) // an interrupted one is gone on with
	}
}
