package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/shared/embedded/emulator"
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
	for name, rounds := range map[string]Rounds{"near": r.Near.Rounds, "far": r.Far.Rounds, "among records": r.Among.Rounds} {
		if len(rounds) != quickRounds || len(rounds[0]) != len(receivers)*len(concurrencies) {
			t.Errorf("%s: %d rounds of %d figures", name, len(rounds), len(rounds[0]))
		}
	}
	// Whatever the machine does, five round trips take longer than three.
	if far := r.Far.Rounds; far.median(textbook, 1, p50) < 25 || far.median(this, 1, p50) < 15 {
		t.Errorf("5 ms away the textbook takes %v ms and this %v", far.median(textbook, 1, p50), far.median(this, 1, p50))
	}
	if len(r.Targets) != 11 {
		t.Errorf("%d targets, want 11", len(r.Targets))
	}
	checkPicture(t, picture)
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

func TestMedian(t *testing.T) {
	for _, test := range []struct {
		values []float64
		want   float64
	}{{[]float64{3, 1, 2}, 2}, {[]float64{4, 1}, 2.5}, {[]float64{7}, 7}} {
		given := slices.Clone(test.values)
		if got := median(test.values); got != test.want || !slices.Equal(given, test.values) {
			t.Errorf("median of %v: %v, want %v, and they are %v now", given, got, test.want, test.values)
		}
	}
}
