package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/gcptest/emulator"
)

// A short run measures every part, and its counts are correct. Its times are too short
// to be meaningful.
func TestShortRun(t *testing.T) {
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{"-count", "1", "-turn", "20ms", "-records", "1000"}, &stdout, &stderr)
	var missing *emulator.NotFoundError
	if errors.As(err, &missing) && os.Getenv("REQUIRE_EMULATORS") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	metric := parseResults(t, stdout.String())
	checkCalls(t, metric)
	for _, part := range []string{"distance=0s", "distance=5ms", "records=1000"} {
		for _, at := range concurrencies {
			for _, receiver := range receivers {
				metric(fmt.Sprintf("Load/%s/at=%d/receiver=%s", part, at, receiver), "p50-latency-ns")
			}
		}
		copied := "Copies/" + part + "/receiver="
		accepted, later := metric(copied+this, "answers-204"), metric(copied+this, "answers-503")
		if accepted == 0 || accepted+later != copies {
			t.Errorf("%s: %v answers are 204 and %v are 503, of %d", copied+this, accepted, later, copies)
		}
		metric(copied+textbook, "last-answer-ns")
	}
	// On any machine, three round trips of 5 ms take 15 ms and five 25.
	for receiver, least := range map[string]float64{this: 15e6, textbook: 25e6} {
		if got := metric("Load/distance=5ms/at=1/receiver="+receiver, "p50-latency-ns"); got < least {
			t.Errorf("at 5 ms, %s takes %v ns, want %v at least", receiver, got, least)
		}
	}
	for _, receiver := range append(receivers, empty) {
		metric("Start/receiver="+receiver, "first-answer-ns")
	}
}

// parseResults accepts only lines of Go's benchmark format. metric returns a value by
// benchmark and unit, and fails the test if there is none.
func parseResults(t *testing.T, text string) (metric func(benchmark, unit string) float64) {
	line := regexp.MustCompile(`^(?:# .*|[a-z]+: .*|Unit \S+ (?:better|assume)=\w+|Benchmark(\S+)\s+\d+((?:\s+[\d.]+ \S+)+))$`)
	values := make(map[string]float64)
	for l := range strings.Lines(text) {
		found := line.FindStringSubmatch(strings.TrimSpace(l))
		if found == nil {
			t.Errorf("not in the benchmark format: %q", l)
			continue
		}
		fields := strings.Fields(found[2])
		for i := 0; i < len(fields); i += 2 {
			values[found[1]+" "+fields[i+1]], _ = strconv.ParseFloat(fields[i], 64)
		}
	}
	return func(benchmark, unit string) float64 {
		t.Helper()
		value, ok := values[benchmark+" "+unit]
		if !ok {
			t.Errorf("%s: no %s", benchmark, unit)
		}
		return value
	}
}

// checkCalls compares with the design: an accepted delivery costs 3 RPCs, a duplicate
// 2. Each RPC that failed allows two more: itself, and a read of the record by its
// repetition.
func checkCalls(t *testing.T, metric func(benchmark, unit string) float64) {
	t.Helper()
	want := map[string]float64{"new/at=1/receiver=textbook": 5, "duplicate/at=1/receiver=textbook": 3}
	for _, at := range concurrencies {
		want[fmt.Sprintf("new/at=%d/receiver=floor", at)] = 3
	}
	want["new/at=1/receiver=this"], want["duplicate/at=1/receiver=this"] = 3, 2
	for name, calls := range want {
		got, failed := metric("Calls/delivery="+name, "calls/op"), metric("Calls/delivery="+name, "failed-calls/op")
		if got < calls || got > calls+2*failed {
			t.Errorf("%s: %v RPCs, %v of them failed; want %v", name, got, failed, calls)
		}
	}
	// Deliveries at the same time share calls.
	most := concurrencies[len(concurrencies)-1]
	for delivery, alone := range map[string]float64{"new": 3, "duplicate": 2} {
		if got := metric(fmt.Sprintf("Calls/delivery=%s/at=%d/receiver=this", delivery, most), "calls/op"); got <= 0 || got >= alone {
			t.Errorf("%s, %d at once: %v RPCs, want fewer than %v", delivery, most, got, alone)
		}
	}
}

// The bench measures the function with the versions that are deployed, although its own
// module could select later ones.
func TestDeployedVersions(t *testing.T) {
	versions := func(dir string) string {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
			"{{with .Module}}{{if not .Replace}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{end}}{{end}}",
			"github.com/geminihook/geminihook/functions/static")
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(slices.Compact(slices.Sorted(strings.Lines(string(out)))), "")
	}
	if here, deployed := versions("."), versions("../../.."); here != deployed || deployed == "" {
		t.Errorf("the bench selects other versions than go.mod at the top: change its go.mod\nhere:\n%s\ndeployed:\n%s", here, deployed)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-count", "0"}, {"-turn", "0s"}, {"-records", "-1"}, {"now"}} {
		if err := new(bench).parse(args); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestWarn(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	before := processors{all: 100, busy: 50, ours: 10}
	for _, test := range []struct {
		after processors
		want  string // "": no warning
	}{
		{processors{all: 200, busy: 150, ours: 101}, ""},
		{processors{all: 200, busy: 150, ours: 90}, "20%"},
		{processors{err: errors.New("no /proc")}, "no /proc"},
	} {
		if got := warn(before, test.after); !strings.Contains(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%+v: %q, want %q", test.after, got, test.want)
		}
	}
	t.Setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
	if got := warn(before, before); !strings.Contains(got, "unknown") {
		t.Errorf("with emulators that were running: %q", got)
	}
}

// The processor time of this process and of children that have ended is the bench's
// own, not that of other programs.
func TestOwnProcessorTime(t *testing.T) {
	before := readProcessors()
	if before.err != nil {
		t.Skip(before.err)
	}
	for begin, now := time.Now(), before; now.ours-before.ours < 0.1; now = readProcessors() {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("before: %+v, 30 s later: %+v", before, now)
		}
	}
	before = readProcessors()
	child := exec.CommandContext(t.Context(), "sh", "-c", "i=0; while [ $i -lt 1000000 ]; do i=$((i+1)); done")
	if err := child.Run(); err != nil {
		t.Fatal(err)
	}
	used := (child.ProcessState.UserTime() + child.ProcessState.SystemTime()).Seconds()
	if got := readProcessors().ours - before.ours; got < used-0.1 {
		t.Errorf("%.2f s are the bench's own, want the child's %.2f s", got, used)
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1))
	}
	for p, want := range map[float64]float64{50: 50, 95: 95, 99: 99, 100: 100} {
		if got := percentile(hundred, p); got != want {
			t.Errorf("p%v of 1 to 100 is %v", p, got)
		}
	}
	if got := percentile(hundred[:1], 50); got != 1 {
		t.Errorf("p50 of 1 is %v", got)
	}
}

// Bytes arrive delayed and in order. The first ones arrive a round trip later, because
// the connection must be opened.
func TestDelayed(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer echo.Close()
	go func() {
		conn, err := echo.Accept()
		if err == nil {
			io.Copy(conn, conn)
			conn.Close()
		}
	}()
	const roundTrip = 20 * time.Millisecond
	addr, stop, err := delayed(roundTrip)(echo.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	begin := time.Now()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	for i, least := range []time.Duration{2 * roundTrip, roundTrip} {
		text := strings.Repeat("x", 100_000)
		go io.WriteString(conn, text)
		if _, err := io.ReadFull(conn, make([]byte, len(text))); err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took < least {
			t.Errorf("%d: there and back in %v, want %v", i, took, least)
		}
		begin = time.Now()
	}
	conn.(*net.TCPConn).CloseWrite()
	if n, err := conn.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("at the end: %d bytes, %v", n, err)
	}
}
