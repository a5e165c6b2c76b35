package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/gcptest/emulator"
)

// A quick run measures everything, and what it counts is right. Its times mean nothing.
func TestQuick(t *testing.T) {
	picture := filepath.Join(t.TempDir(), "bench.svg")
	var stdout, stderr bytes.Buffer
	err := run(t.Context(), []string{"-quick", "-json", "-records", "1000", "-picture", picture}, &stdout, &stderr)
	var missing *emulator.NotFoundError
	if errors.As(err, &missing) && os.Getenv("REQUIRE_EMULATORS") != "1" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	var r Report
	if err := json.Unmarshal(stdout.Bytes(), &r); err != nil {
		t.Fatal(err)
	}
	checkCalls(t, &r)
	for name, l := range map[string]Load{"near": r.Near, "far": r.Far, "among records": r.Among} {
		if len(l.Figures) != quickRounds*len(receivers)*len(concurrencies) || len(l.Bursts) != quickRounds*2 {
			t.Errorf("%s: %d figures and %d bursts", name, len(l.Figures), len(l.Bursts))
		}
		checkAnswers(t, name, l)
	}
	// Whatever the machine does, three round trips take 15 ms and five 25.
	if got := median(r.Far.of(this, 1), p50); got < 15 {
		t.Errorf("5 ms away this takes %v ms", got)
	}
	if got := median(r.Far.of(textbook, 1), p50); got < 25 {
		t.Errorf("5 ms away the textbook takes %v ms", got)
	}
	if len(r.Targets) != 11 {
		t.Errorf("%d targets, want 11", len(r.Targets))
	}
	// For each load, all turns and the copies; and the starts.
	want := quickRounds * (3*(len(concurrencies)*turnsPerRound+1) + startsPerRound)
	if got := r.Machine.Disturbance.Measurements; got != want {
		t.Errorf("%d measurements, want %d", got, want)
	}
	checkPicture(t, picture)
}

// checkAnswers wants an answer to each copy, and of this receiver nothing but "taken" and "come again".
func checkAnswers(t *testing.T, name string, l Load) {
	t.Helper()
	for _, b := range l.Bursts {
		all := 0
		for _, n := range b.Answers {
			all += n
		}
		if taken, again := b.Answers[204], b.Answers[503]; all != copies || b.Receiver == this && (taken == 0 || taken+again != copies) {
			t.Errorf("%s: %s answers %d copies %v", name, b.Receiver, copies, b.Answers)
		}
	}
}

// checkCalls holds this receiver to the price that the design names, and the others to what they stand for.
func checkCalls(t *testing.T, r *Report) {
	t.Helper()
	for _, c := range concurrencies {
		if got := r.calls(this, c); got != 3 {
			t.Errorf("%d at once: %v calls a delivery, want 3", c, got)
		}
		if got := r.calls(floor, c); got != 3 {
			t.Errorf("%d at once: the floor makes %v calls a delivery, want 3", c, got)
		}
	}
	if got := r.calls(textbook, 1); got != 5 {
		t.Errorf("the textbook makes %v calls a delivery, want 5", got)
	}
}

// checkPicture reads the picture as XML, and looks for a curve of each receiver.
func checkPicture(t *testing.T, file string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var curves []string
	d := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if start, ok := token.(xml.StartElement); ok && start.Name.Local == "polyline" {
			curves = append(curves, start.Name.Local)
		}
	}
	if len(curves) != len(receivers) || strings.Contains(string(text), "NaN") {
		t.Errorf("%d curves, want %d; or not a number:\n%s", len(curves), len(receivers), text)
	}
}

func TestFlags(t *testing.T) {
	for _, args := range [][]string{{"-rounds", "0"}, {"-turn", "0s"}, {"-records", "-1"}, {"now"}} {
		if _, err := parse(args, io.Discard); err == nil {
			t.Errorf("%v: no error", args)
		}
	}
}

func TestAnswers(t *testing.T) {
	bursts := []Burst{{Answers: map[int]int{503: 49, 204: 1}}, {Answers: map[int]int{204: 2, 503: 48}}}
	if got, want := answers(bursts), "3× 204, 97× 503"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestDisturbance(t *testing.T) {
	var d Disturbance
	for _, test := range []struct {
		others float64
		want   string
	}{
		{0.09, "0 of 1 measurements disturbed by other work"},
		{quietShare, "1 of 2 measurements disturbed by other work"},
		{math.NaN(), "measurements disturbed by other work: unknown"},
		{0.5, "measurements disturbed by other work: unknown"},
	} {
		if d.add(test.others); d.String() != test.want {
			t.Errorf("after %v: %q, want %q", test.others, d, test.want)
		}
	}
}

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1}, 2.5}, {[]float64{7}, 7}} {
		given := slices.Clone(test.values)
		if got := middle(test.values); got != test.want || !slices.Equal(given, test.values) {
			t.Errorf("median of %v: %v, want %v, and they are %v now", given, got, test.want, test.values)
		}
	}
}

func TestPercentile(t *testing.T) {
	var hundred []time.Duration
	for i := range 100 {
		hundred = append(hundred, time.Duration(i+1)*time.Millisecond)
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

// Bytes come late and in their order, the first ones by a round trip more, which the connection takes.
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
