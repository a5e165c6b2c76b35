// Package emulatortest gives tests the official emulators: one start for a test process, a project of its own for each test.
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

// errOrphan stands for an emulator that the test process could not take with it when it ends.
var errOrphan = errors.New("this system does not end an emulator with the test that started it: " +
	"run `go run ./scripts/dev/emulators -- go test ./...`")

// Firestore returns the address of the official Firestore emulator, started by the first test that asks and ended with the
// process, and a project id that no other test has.
//
// Without an emulator the test is skipped and says why, or fails if REQUIRE_EMULATORS is 1. An emulator that is there and
// does not come up fails it.
func Firestore(t testing.TB) (addr, project string) {
	t.Helper()
	addr, err := firestore()
	need(t, err)
	return addr, newProject()
}

// PubSub is [Firestore] for the official Pub/Sub emulator.
func PubSub(t testing.TB) (addr, project string) {
	t.Helper()
	addr, err := pubsub()
	need(t, err)
	return addr, newProject()
}

func start(open func(context.Context) (string, func(), error), variable string) (string, error) {
	if runtime.GOOS != "linux" && os.Getenv(variable) == "" {
		return "", errOrphan
	}
	addr, _, err := open(context.Background()) // not stopped: it ends with this process
	return addr, err
}

// need ends the test unless err is nil.
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

// newProject returns an id that Google Cloud's rules for project ids allow.
func newProject() string { return fmt.Sprintf("test-%.12s", strings.ToLower(rand.Text())) }
