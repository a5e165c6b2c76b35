package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/gcptest/emulator"
)

// A short run measures everything, and its counts are right. Its times mean nothing.
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
	r := parseResults(t, stdout.String())
	checkCalls(t, r)
	for _, part := range []string{"distance=0s", "distance=5ms", "records=1000"} {
		for _, receiver := range receivers {
			for _, at := range []string{"1", "16", "80"} {
				r.metric(t, "Load/"+part+"/at="+at+"/receiver="+receiver, "p50-latency-sec")
			}
		}
		checkCopies(t, r, part)
	}
	// On any machine, three round trips take 15 ms and five 25.
	if got := r.metric(t, "Load/distance=5ms/at=1/receiver=this", "p50-latency-sec"); got < 0.015 {
		t.Errorf("at 5 ms, this takes %v s", got)
	}
	if got := r.metric(t, "Load/distance=5ms/at=1/receiver=textbook", "p50-latency-sec"); got < 0.025 {
		t.Errorf("at 5 ms, the textbook takes %v s", got)
	}
	for _, receiver := range append(receivers, empty) {
		r.metric(t, "Start/receiver="+receiver, "first-answer-sec")
		if runtime.GOOS == "linux" {
			r.metric(t, "Start/receiver="+receiver, "idle-RSS-bytes")
		}
	}
}

// results are metrics by benchmark and unit. Units in ns are in seconds.
type results map[string]map[string]float64

func (r results) metric(t *testing.T, benchmark, unit string) float64 {
	t.Helper()
	value, ok := r[benchmark][unit]
	if !ok {
		t.Errorf("%s: no %s", benchmark, unit)
	}
	return value
}

// parseResults accepts only lines of Go's benchmark format.
func parseResults(t *testing.T, text string) results {
	t.Helper()
	other := regexp.MustCompile(`^(# .*|[a-z]+: .*|Unit \S+ (better|assume)=\w+)$`)
	r := make(results)
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		name, ok := strings.CutPrefix(line, "Benchmark")
		if !ok {
			if !other.MatchString(line) {
				t.Errorf("not in the benchmark format: %q", line)
			}
			continue
		}
		fields := strings.Fields(name)
		if len(fields) < 4 || len(fields)%2 != 0 {
			t.Fatalf("not a result: %q", line)
		}
		metrics := make(map[string]float64)
		for i := 2; i < len(fields); i += 2 {
			value, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			unit := fields[i+1]
			if strings.HasSuffix(unit, "-ns") {
				value, unit = value/1e9, strings.TrimSuffix(unit, "ns")+"sec"
			}
			metrics[unit] = value
		}
		r[fields[0]] = metrics
	}
	return r
}

// checkCalls compares with the design's figures: an accepted delivery costs 3 RPCs, a
// duplicate 2.
func checkCalls(t *testing.T, r results) {
	t.Helper()
	want := map[string]float64{
		"delivery=new/at=1/receiver=textbook":       5,
		"delivery=duplicate/at=1/receiver=textbook": 3,
	}
	for _, at := range []string{"1", "16", "80"} {
		want["delivery=new/at="+at+"/receiver=floor"] = 3
		want["delivery=new/at="+at+"/receiver=this"] = 3
		want["delivery=duplicate/at="+at+"/receiver=this"] = 2
	}
	for name, calls := range want {
		if got := r.metric(t, "Calls/"+name, "calls/op"); got != calls {
			t.Errorf("%s: %v RPCs, want %v", name, got, calls)
		}
	}
}

// checkCopies wants 204 and 503 only from this receiver, and 204 at least once.
func checkCopies(t *testing.T, r results, part string) {
	t.Helper()
	name := "Copies/" + part + "/receiver=this"
	accepted, later := r.metric(t, name, "answers-204"), r.metric(t, name, "answers-503")
	if accepted == 0 || accepted+later != copies || r.metric(t, name, "answers-other") != 0 {
		t.Errorf("%s: %v", name, r[name])
	}
	r.metric(t, "Copies/"+part+"/receiver=textbook", "last-answer-sec")
}

// The bench measures the function with the versions that are deployed, although its own
// module could select later ones.
func TestDeployedVersions(t *testing.T) {
	versions := func(dir string) string {
		cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f",
			"{{with .Module}}{{if .Version}}{{.Path}} {{.Version}}{{end}}{{end}}",
			"github.com/geminihook/geminihook/functions/static")
		cmd.Dir = dir
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		return strings.ReplaceAll(string(out), "github.com/geminihook/geminihook v0.0.0\n", "")
	}
	if here, deployed := versions("."), versions("../../.."); here != deployed || deployed == "" {
		t.Errorf("the bench selects other versions than go.mod at the top: run go get in scripts/dev/bench\nhere:\n%s\ndeployed:\n%s", here, deployed)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-count", "0"}, {"-turn", "0s"}, {"-records", "-1"}, {"now"}} {
		if err := new(bench).parse(args); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestWarning(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	var m machine
	for _, test := range []struct {
		share float64
		want  string
	}{
		{0.09, ""},
		{busyShare, "1 of 2 measurements"},
		{0.5, "2 of 3 measurements"},
	} {
		if m.add(test.share); !strings.Contains(m.warning(), test.want) || (test.want == "") != (m.warning() == "") {
			t.Errorf("after a share of %v: %q, want %q", test.share, m.warning(), test.want)
		}
	}
	t.Setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
	if !strings.Contains(m.warning(), "unknown") {
		t.Errorf("with emulators that run already: %q", m.warning())
	}
}

// The processor time of this process is its own, not that of other programs.
func TestOwnProcessorTime(t *testing.T) {
	before, err := readProcessors()
	if err != nil {
		t.Skip(err)
	}
	for begin := time.Now(); ; {
		now, err := readProcessors()
		if err != nil {
			t.Fatal(err)
		}
		if now.ours-before.ours > 0.1 {
			return
		}
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("before: %+v, 30 s later: %+v", before, now)
		}
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

// Metrics follow their definitions in -help.
func TestMetrics(t *testing.T) {
	s := sample{latencies: []time.Duration{3 * time.Second, time.Second}, cpuSeconds: 0.5}
	got := s.metrics(4)
	if got["deliveries/s"] != 2 || got["cpu-ns/op"] != 0.25e9 || got["p50-latency-ns"] != 1e9 {
		t.Errorf("%v", got)
	}
}

// Only 204 is an accepted delivery.
func TestLoadNeeds204(t *testing.T) {
	f := fakeReceiver(t, http.StatusServiceUnavailable)
	if _, err := newSender().load(t.Context(), f, 1, each(newIDs(1))); err == nil || !strings.Contains(err.Error(), "status 503") {
		t.Errorf("503: error %v", err)
	}
	f = fakeReceiver(t, http.StatusNoContent)
	latencies, err := newSender().load(t.Context(), f, 2, each(newIDs(5)))
	if err != nil || len(latencies) != 5 {
		t.Errorf("204: %d latencies of 5, error %v", len(latencies), err)
	}
}

func fakeReceiver(t *testing.T, status int) *process {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	t.Cleanup(server.Close)
	log, err := os.CreateTemp(t.TempDir(), "log")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	return &process{name: this, url: server.URL, log: log}
}

// Bytes arrive late and in order; the first ones by a round trip more, which the
// connection takes.
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
