package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

const (
	// quietShare is how much of the processors' time others may take from what is measured.
	quietShare = 0.1

	// lookFor is how long it takes to see whether the machine is quiet.
	lookFor = 200 * time.Millisecond
)

// undisturbed waits until the machine does nothing else, and measures; again, if others came in between. When patience is
// over it takes what it gets, and counts that as disturbed.
func (b *bench) undisturbed(ctx context.Context, measure func() error) error {
	for {
		b.awaitQuiet(ctx)
		begin, before := time.Now(), readTicks()
		if err := measure(); err != nil {
			return err
		}
		others := othersSince(before)
		if others < quietShare || b.patience <= 0 {
			b.disturbance.add(others)
			return nil
		}
		b.patience -= time.Since(begin)
	}
}

func (b *bench) awaitQuiet(ctx context.Context) {
	for b.patience > 0 && ctx.Err() == nil {
		before := readTicks()
		time.Sleep(lookFor)
		if othersSince(before) < quietShare {
			return
		}
		b.patience -= lookFor
	}
}

// ticks are units of processor time since the machine was started, as Linux counts them; elsewhere they are all zero.
type ticks struct{ all, others float64 }

// othersSince returns the share of the processors' time that others than this process and its children have taken: not a
// number where there are no ticks, and then not less than anything.
func othersSince(before ticks) float64 {
	now := readTicks()
	return (now.others - before.others) / (now.all - before.all)
}

func readTicks() (t ticks) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return ticks{}
	}
	var user, nice, system, idle, waiting, irq, softirq, steal float64
	fmt.Sscanf(string(text), "cpu %f %f %f %f %f %f %f %f", &user, &nice, &system, &idle, &waiting, &irq, &softirq, &steal)
	t.others = user + nice + system + irq + softirq + steal
	t.all = t.others + idle + waiting
	processes, _ := filepath.Glob("/proc/[0-9]*/stat") // the pattern is well-formed
	for _, file := range processes {
		switch s := readStat(file); os.Getpid() {
		case s.process:
			t.others -= s.used + s.ended
		case s.parent:
			t.others -= s.used
		}
	}
	return t
}

// A stat is what is used of a process's line in /proc.
type stat struct {
	process, parent int
	used, ended     float64 // processor time of its own, and of children that have ended, in ticks
}

// readStat returns a zero stat where there is no such process any more.
func readStat(file string) (s stat) {
	text, err := os.ReadFile(file)
	if err != nil {
		return stat{}
	}
	// The second field is the program's name, in parentheses, and may hold anything.
	id, rest, _ := strings.Cut(string(text), " (")
	fields := strings.Fields(rest[strings.LastIndexByte(rest, ')')+1:])
	number := func(field int) float64 { // counted from one, as in the manual
		n, _ := strconv.ParseFloat(fields[field-3], 64)
		return n
	}
	s.process, _ = strconv.Atoi(id)
	s.parent = int(number(4))
	s.used, s.ended = number(14)+number(15), number(16)+number(17)
	return s
}
