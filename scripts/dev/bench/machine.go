package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"
)

// A Machine is what the figures belong to.
type Machine struct {
	Time       time.Time         `json:"time"`
	Cores      int               `json:"cores"`
	Processor  string            `json:"processor"`
	System     string            `json:"system"`
	Go         string            `json:"go"`
	Emulators  string            `json:"emulators"`
	Modules    map[string]string `json:"modules"`     // versions of what is measured
	LoadBefore string            `json:"load_before"` // averages of 1, 5 and 15 minutes
	LoadAfter  string            `json:"load_after"`

	Disturbance Disturbance `json:"disturbance"`
}

func (b *bench) describeMachine(ctx context.Context) (Machine, error) {
	found, err := versions(filepath.Join(b.programs, this))
	if err != nil {
		return Machine{}, err
	}
	m := Machine{
		Time:       time.Now().UTC().Truncate(time.Second),
		Cores:      runtime.NumCPU(),
		Processor:  processor(),
		System:     runtime.GOOS + "/" + runtime.GOARCH,
		Go:         runtime.Version(),
		Emulators:  emulatorVersions(ctx),
		Modules:    make(map[string]string),
		LoadBefore: loadAverage(),
	}
	for _, module := range measured {
		m.Modules[module] = found[module]
	}
	return m, nil
}

const unknown = "unknown"

// emulatorVersions asks gcloud, which has installed them, usually.
func emulatorVersions(ctx context.Context) string {
	if emulatorsRun() {
		return "ran already"
	}
	out, err := exec.CommandContext(ctx, "gcloud", "version", "--format=json").Output()
	if err != nil {
		return unknown
	}
	var versions map[string]string
	if err := json.Unmarshal(out, &versions); err != nil {
		return unknown
	}
	return fmt.Sprintf("Firestore %s, Pub/Sub %s", versions["cloud-firestore-emulator"], versions["pubsub-emulator"])
}

// emulatorsRun says whether emulators are used that this process has not started.
func emulatorsRun() bool {
	return os.Getenv("FIRESTORE_EMULATOR_HOST")+os.Getenv("PUBSUB_EMULATOR_HOST") != ""
}

func processor() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return unknown
	}
	return strings.Join(strings.Fields(string(text))[:3], " ")
}
