package functiontest

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/funcframework"
)

const (
	servePort = "GEMINIHOOK_TEST_PORT"

	// patience is how long something in another process may take.
	patience = 20 * time.Second
)

// Main is a TestMain that is the buildpack's main where Deploy runs the test's
// binary again. The binary must import the functions.
func Main(m *testing.M) {
	if port := os.Getenv(servePort); port != "" {
		fmt.Fprintln(os.Stderr, funcframework.StartHostPort("127.0.0.1", port))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// Deploy runs one function as the platform does, in a process of its own, and waits
// until it listens. The test's TestMain must be Main.
func Deploy(t *testing.T, target string) (*exec.Cmd, *Endpoint) {
	t.Helper()
	port := FreePort(t)
	logged := new(Log)
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), "FUNCTION_TARGET="+target, servePort+"="+port)
	cmd.Stderr = logged
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	endpoint := &Endpoint{URL: "http://127.0.0.1:" + port + "/", Log: logged}
	Eventually(t, target+" listens", func() bool {
		resp, err := http.Get(endpoint.URL)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusMethodNotAllowed
	})
	return cmd, endpoint
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
