package functiontest

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
)

const (
	servePort = "GEMINIHOOK_TEST_PORT"

	// patience is how long something in another process may take on a machine that has
	// much else to do.
	patience = 2 * time.Minute
)

// Main is a TestMain that is the buildpack's main where a [Process] runs the test's
// binary again. The binary must import the functions.
func Main(m *testing.M) {
	if port := os.Getenv(servePort); port != "" {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin) // ends with the test, however that ends
			os.Exit(1)
		}()
		// Where the port was taken in between, Start takes another, and the log is the
		// function's alone.
		if err := funcframework.StartHostPort("127.0.0.1", port); !errors.Is(err, syscall.EADDRINUSE) {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(1)
	}
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
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
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
