// Package emulatortest provides the official emulators to tests. A test process
// starts each emulator once. Each test gets a project of its own.
package emulatortest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/geminihook/geminihook/shared/gcptest/emulator"
)

var (
	firestore = sync.OnceValues(func() (string, error) { return start(emulator.Firestore, "FIRESTORE_EMULATOR_HOST") })
	pubsub    = sync.OnceValues(func() (string, error) { return start(emulator.PubSub, "PUBSUB_EMULATOR_HOST") })
)

// errOrphan means that the emulator would continue to run after the test process.
var errOrphan = errors.New("emulator not started: on this system it would outlive the test: " +
	"run `go run ./scripts/dev/emulators -- go test ./...`")

// Firestore returns the address, HOST:PORT, of the official Firestore emulator, and a
// project id that no other test has. The first call starts the emulator. It ends with
// the process.
//
// If the emulator is not installed, Firestore skips the test with the reason, or
// fails it if the environment variable REQUIRE_EMULATORS is 1. The same applies on
// systems other than Linux, unless FIRESTORE_EMULATOR_HOST names a running emulator.
// If the emulator is installed but does not start, Firestore fails the test.
func Firestore(t testing.TB) (addr, project string) {
	t.Helper()
	addr, err := firestore()
	need(t, err)
	return addr, newProject()
}

// PubSub is like [Firestore], for the official Pub/Sub emulator.
func PubSub(t testing.TB) (addr, project string) {
	t.Helper()
	addr, err := pubsub()
	need(t, err)
	return addr, newProject()
}

// start opens an emulator that ends with this process, or fails with errOrphan.
func start(open func(context.Context) (string, func(), error), variable string) (string, error) {
	if runtime.GOOS != "linux" && os.Getenv(variable) == "" {
		return "", errOrphan
	}
	addr, _, err := open(context.Background()) // not stopped: it ends with this process
	return addr, err
}

// need skips or fails the test unless err is nil.
func need(t testing.TB, err error) {
	t.Helper()
	var missing *emulator.NotFoundError
	switch {
	case err == nil:
	case os.Getenv("REQUIRE_EMULATORS") != "1" && (errors.As(err, &missing) || errors.Is(err, errOrphan)):
		t.Skip(err)
	default:
		t.Fatal(err)
	}
}

// newProject returns a random project id that is valid by Google Cloud's rules.
func newProject() string { return fmt.Sprintf("test-%.12s", strings.ToLower(rand.Text())) }
