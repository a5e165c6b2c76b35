package functiontest

import (
	"os"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/gcptest/child"
	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"
)

// patience is the maximum time to wait for another process. It is long enough for a
// busy machine.
const patience = 2 * time.Minute

// Main is a TestMain for tests that start a [Process]. In the started process it
// serves the function. The test binary must import the functions.
func Main(m *testing.M) {
	cloudrun.Main()
	os.Exit(m.Run())
}

// Deploy starts the function registered as target in a process of its own, and waits
// until it listens, as [Process.Start] does. The process ends with the test.
func Deploy(t *testing.T, target string) (*Process, *Endpoint) {
	t.Helper()
	p := NewProcess(t, target)
	p.Start()
	return p, &Endpoint{URL: p.URL(), Log: p.Log}
}

// FreePort returns a port on which no process listens. Another process may take it
// later.
func FreePort(t *testing.T) string {
	t.Helper()
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Eventually polls holds until it returns true. It fails the test after two minutes,
// with what as the name of the condition.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not true within %v: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
