//go:build unix

package main

import (
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// The test binary is also the command that is run, controlled by CHILD, and a fake java
// that listens on the emulator's port.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "java" {
		_, port, _ := strings.Cut(strings.Join(os.Args, " "), "--port=")
		http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	}
	firestore, pubsub := os.Getenv("FIRESTORE_EMULATOR_HOST"), os.Getenv("PUBSUB_EMULATOR_HOST")
	switch os.Getenv("CHILD") {
	case "":
		os.Exit(m.Run())
	case "report": // the emulators that answer
		if !answers(firestore) || !answers(pubsub) {
			os.Exit(1)
		}
		os.WriteFile(os.Getenv("REPORT"), []byte(firestore+" "+pubsub), 0o600)
		os.Exit(5)
	case "wait": // for a signal
		signals := make(chan os.Signal, 1)
		signal.Notify(signals, passedOn...)
		net.Dial("tcp", firestore) // tells the test that it waits
		os.Exit(int((<-signals).(syscall.Signal)))
	case "die":
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
}

func answers(addr string) bool {
	res, err := http.Get("http://" + addr)
	if err != nil {
		return false
	}
	res.Body.Close()
	return true
}

// child makes the test binary a command with a given behaviour.
func child(t *testing.T, do string) string {
	t.Helper()
	t.Setenv("CHILD", do)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// install makes the fake java the only one in PATH, and installs emulators for it.
// Without jars, no emulator is installed.
func install(t *testing.T, jars ...string) {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "java")); err != nil {
		t.Fatal(err)
	}
	for _, jar := range jars {
		if err := os.WriteFile(filepath.Join(dir, jar), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv("GEMINIHOOK_EMULATORS", dir)
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
}

// stderr calls a function and returns the text that it writes to standard error.
func stderr(t *testing.T, do func()) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer func(old *os.File) { os.Stderr = old }(os.Stderr)
	os.Stderr = w
	do() // writes less than a pipe holds
	w.Close()
	out, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func TestCommandHasBothEmulators(t *testing.T) {
	install(t, "cloud-firestore-emulator.jar", "cloud-pubsub-emulator-1-all.jar")
	report := filepath.Join(t.TempDir(), "report")
	t.Setenv("REPORT", report)
	if got := run(false, []string{child(t, "report")}); got != 5 {
		t.Fatalf("the status is %d, want the command's 5", got)
	}
	addrs, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range strings.Fields(string(addrs)) {
		if answers(addr) {
			t.Errorf("%s still answers", addr)
		}
	}
}

func TestAbsence(t *testing.T) {
	ran := filepath.Join(t.TempDir(), "ran")
	touch := []string{"/bin/sh", "-c", `[ -z "$FIRESTORE_EMULATOR_HOST$PUBSUB_EMULATOR_HOST" ] && echo > "$0"`, ran}
	for _, jars := range [][]string{nil, {"cloud-firestore-emulator.jar"}} {
		install(t, jars...)
		var status int
		out := stderr(t, func() { status = run(false, touch) })
		if _, err := os.Stat(ran); err == nil || status != 1 || !strings.Contains(out, "gcloud components install") {
			t.Errorf("status %d, ran (%v), output %q: want 1 and how to install", status, err, out)
		}
		out = stderr(t, func() { status = run(true, touch) })
		if _, err := os.Stat(ran); err != nil || status != 0 || strings.Count(out, "\n") != 1 {
			t.Errorf("-if-found: status %d, ran (%v), output %q: want 0 and one line", status, err, out)
		}
		os.Remove(ran)
	}
	t.Setenv("FIRESTORE_EMULATOR_HOST", "192.0.2.1:8080") // not absent but wrong
	out := stderr(t, func() {
		if got := run(true, touch); got != 1 {
			t.Errorf("status %d, want 1", got)
		}
	})
	if !strings.Contains(out, "loopback") {
		t.Errorf("output %q", out)
	}
}

func TestStatus(t *testing.T) {
	t.Setenv("FIRESTORE_EMULATOR_HOST", "127.0.0.1:1")
	t.Setenv("PUBSUB_EMULATOR_HOST", "127.0.0.1:1")
	for want, command := range map[int][]string{
		0:   {"/bin/sh", "-c", "exit 0"},
		3:   {"/bin/sh", "-c", `test $PUBSUB_EMULATOR_HOST = 127.0.0.1:1 && exit 3`},
		126: {"/"},
		127: {"/no/such/command"},
		137: {child(t, "die")},
	} {
		stderr(t, func() {
			if got := run(false, command); got != want {
				t.Errorf("%q: status %d, want %d", command, got, want)
			}
		})
	}
}

func TestSignalsArePassedOn(t *testing.T) {
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		lis, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer lis.Close()
		t.Setenv("FIRESTORE_EMULATOR_HOST", lis.Addr().String())
		t.Setenv("PUBSUB_EMULATOR_HOST", lis.Addr().String())
		go func() {
			if conn, err := lis.Accept(); err == nil {
				conn.Close()
			}
			syscall.Kill(os.Getpid(), s)
		}()
		if got := run(false, []string{child(t, "wait")}); got != int(s) {
			t.Errorf("status %d, want the signal %d", got, s)
		}
	}
}
