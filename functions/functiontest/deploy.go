package functiontest

import (
	"os"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/gcptest/child"
	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"
)

// patience is how long something in another process may take on a machine that has
// much else to do.
const patience = 2 * time.Minute

// Main is a TestMain of tests that start a [Process]: in the process that is started, it
// serves the function. The binary must import the functions.
func Main(m *testing.M) {
	cloudrun.Main()
	os.Exit(m.Run())
}

// Deploy starts one function in a process of its own, which listens.
func Deploy(t *testing.T, target string) (*Process, *Endpoint) {
	t.Helper()
	p := NewProcess(t, target)
	p.Start()
	return p, &Endpoint{URL: p.URL(), Log: p.Log}
}

// FreePort returns a port that nobody listens on at the moment.
func FreePort(t *testing.T) string {
	t.Helper()
	port, err := child.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// Eventually polls something in another process.
func Eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}
