package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/prometheus/procfs"
)

// busyShare is the share of the processors' time from which on other programs disturb a
// measurement.
const busyShare = 0.1

// A machine tells whether other programs disturbed measurements.
type machine struct {
	measurements, disturbed int
	unknown                 error // the reason for which it cannot tell
}

// watch measures, and counts the measurement as disturbed if other programs used too much
// of the processors' time meanwhile.
func (m *machine) watch(measure func() error) error {
	before, beforeErr := readProcessors()
	if err := measure(); err != nil {
		return err
	}
	after, afterErr := readProcessors()
	if err := errors.Join(beforeErr, afterErr); err != nil {
		m.unknown = err
		return nil
	}
	others := (after.busy - after.ours) - (before.busy - before.ours)
	m.add(others / (after.all - before.all))
	return nil
}

func (m *machine) add(othersShare float64) {
	m.measurements++
	if othersShare >= busyShare {
		m.disturbed++
	}
}

// warning returns "" if no measurement was disturbed.
func (m *machine) warning() string {
	switch {
	case emulatorsRun():
		return "it is unknown whether the machine was busy: the emulators were running already and look like other programs"
	case m.unknown != nil:
		return fmt.Sprintf("it is unknown whether the machine was busy: %v", m.unknown)
	case m.disturbed > 0:
		return fmt.Sprintf("the machine was busy: other programs disturbed %d of %d measurements; repeat on an idle machine", m.disturbed, m.measurements)
	}
	return ""
}

// emulatorsRun reports whether emulators are used that this process does not start.
func emulatorsRun() bool {
	return os.Getenv("FIRESTORE_EMULATOR_HOST")+os.Getenv("PUBSUB_EMULATOR_HOST") != ""
}

// processors are seconds of processor time since the machine was started.
type processors struct {
	all  float64 // idle time included
	busy float64
	ours float64 // used by this process and its children
}

// ticksPerSecond is the unit of processor time in /proc: USER_HZ is 100 on all systems
// that Go supports.
const ticksPerSecond = 100

// readProcessors fails on systems without /proc.
func readProcessors() (p processors, err error) {
	fs, err := procfs.NewDefaultFS()
	if err != nil {
		return p, err
	}
	stat, err := fs.Stat()
	if err != nil {
		return p, err
	}
	t := stat.CPUTotal
	p.busy = t.User + t.Nice + t.System + t.IRQ + t.SoftIRQ + t.Steal
	p.all = p.busy + t.Idle + t.Iowait
	all, err := fs.AllProcs()
	if err != nil {
		return p, err
	}
	for _, proc := range all {
		stat, err := proc.Stat()
		if err != nil {
			continue // it has ended
		}
		switch os.Getpid() {
		case stat.PID:
			p.ours += stat.CPUTime() + float64(stat.CUTime+stat.CSTime)/ticksPerSecond
		case stat.PPID:
			p.ours += stat.CPUTime()
		}
	}
	return p, nil
}
