package emulatortest

import (
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/shared/gcptest/emulator"
)

// A recorder is a test that records its outcome.
type recorder struct {
	testing.TB
	outcome string
}

func (r *recorder) Helper() {}

func (r *recorder) Skip(args ...any) { r.end("skipped: " + fmt.Sprint(args...)) }

func (r *recorder) Fatal(args ...any) { r.end("failed: " + fmt.Sprint(args...)) }

func (r *recorder) end(outcome string) {
	r.outcome = outcome
	runtime.Goexit()
}

// outcome returns the outcome of a test that needs an emulator.
func outcome(err error) string {
	r := &recorder{outcome: "goes on"}
	done := make(chan struct{})
	go func() {
		defer close(done)
		need(r, err)
	}()
	<-done
	return r.outcome
}

func TestWithoutEmulators(t *testing.T) {
	missing := &emulator.NotFoundError{Product: "Firestore", Missing: "java", Looked: []string{"PATH"}}
	for _, test := range []struct {
		required string
		err      error
		want     string
	}{
		{"", nil, "goes on"},
		{"", missing, "skipped: no Firestore emulator: java not found in PATH"},
		{"", errOrphan, "skipped: emulator not started"},
		{"", errors.New("broken"), "failed: broken"},
		{"0", missing, "skipped: no Firestore emulator"},
		{"1", nil, "goes on"},
		{"1", missing, "failed: no Firestore emulator"},
		{"1", errOrphan, "failed: emulator not started"},
	} {
		t.Setenv("REQUIRE_EMULATORS", test.required)
		if got := outcome(test.err); !strings.HasPrefix(got, test.want) {
			t.Errorf("REQUIRE_EMULATORS=%s and %v: %q, want %q", test.required, test.err, got, test.want)
		}
	}
}

func TestOneStartAndManyProjects(t *testing.T) {
	first, project := Firestore(t)
	second, another := Firestore(t)
	if first != second {
		t.Errorf("two emulators were started, %s and %s", first, second)
	}
	legal := regexp.MustCompile(`^[a-z][a-z0-9-]{4,28}[a-z0-9]$`)
	if project == another || !legal.MatchString(project) || !legal.MatchString(another) {
		t.Errorf("projects %q and %q", project, another)
	}
}
