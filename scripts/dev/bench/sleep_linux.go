package main

import (
	"syscall"
	"time"
)

// sleepUntil sleeps with the kernel's precision of 0.1 ms. In an idle process,
// time.Sleep rounds up to whole milliseconds, which would distort a round trip of 5 ms.
func sleepUntil(t time.Time) {
	for d := time.Until(t); d > 0; d = time.Until(t) {
		left := syscall.NsecToTimespec(d.Nanoseconds())
		_ = syscall.Nanosleep(&left, nil) // the loop continues after an interruption
	}
}
