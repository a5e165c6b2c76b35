package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/procfs"
)

// processors is the processor time used since the machine was started, in seconds.
type processors struct {
	all  float64 // including idle time
	busy float64
	ours float64 // of this process and of its children that have ended
	err  error   // set if /proc cannot be read
}

func readProcessors() (p processors) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return processors{err: err}
	}
	stat, err1 := fs.Stat()
	self, err2 := fs.Self()
	own, err3 := self.Stat()
	p.err = errors.Join(err1, err2, err3)
	t := stat.CPUTotal
	p.busy = t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ + t.Steal
	p.all = p.busy + t.Idle + t.Iowait
	const ticksPerSecond = 100 // USER_HZ on all systems that Go supports
	p.ours = own.CPUTime() + float64(own.CUTime+own.CSTime)/ticksPerSecond
	return p
}

// warn returns a warning if the machine was busy or if that is unknown, otherwise "".
func warn(before, after processors) string {
	if os.Getenv("FIRESTORE_EMULATOR_HOST")+os.Getenv("PUBSUB_EMULATOR_HOST") != "" {
		return "unknown whether the machine was busy: emulators that were already running count as other programs"
	}
	if err := errors.Join(before.err, after.err); err != nil {
		return fmt.Sprintf("unknown whether the machine was busy: %v", err)
	}
	others := (after.busy - after.ours) - (before.busy - before.ours)
	if share := others / (after.all - before.all); share >= 0.1 {
		return fmt.Sprintf("the machine was busy: other programs used %.0f%% of the processors' time; repeat on an idle machine", share*100)
	}
	return ""
}
