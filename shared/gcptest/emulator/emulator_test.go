package emulator

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"
)

// If the test binary has the name java, it behaves as a fake emulator: it serves the
// port in its arguments, ends, or does not answer. So the tests need no Java.
func TestMain(m *testing.M) {
	if filepath.Base(os.Args[0]) == "java" {
		pretendJava()
	}
	os.Exit(m.Run())
}

func pretendJava() {
	args := strings.Join(os.Args[1:], " ")
	_, port, _ := strings.Cut(args, "--port=")
	switch os.Getenv("PRETEND_JAVA") {
	case "ends":
		io.WriteString(os.Stderr, "no such thing as "+args+strings.Repeat("!", 1<<20))
		os.Exit(3)
	case "silent":
		time.Sleep(time.Minute) // or until stopped
		os.Exit(4)
	}
	http.ListenAndServe("127.0.0.1:"+port, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, args)
	}))
}

// install makes a folder with both jars and a fake java that behaves as PRETEND_JAVA
// states. The environment contains no other folder.
func install(t *testing.T, behaviour string) string {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(self, filepath.Join(dir, "java")); err != nil {
		t.Fatal(err)
	}
	for _, jar := range []string{"cloud-firestore-emulator-v1.0.0.jar", "cloud-firestore-emulator-v1.0.1.jar", "cloud-pubsub-emulator-1-all.jar"} {
		if err := os.WriteFile(filepath.Join(dir, jar), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("FIRESTORE_EMULATOR_HOST", "")
	t.Setenv("PUBSUB_EMULATOR_HOST", "")
	t.Setenv("PRETEND_JAVA", behaviour)
	t.Setenv("PATH", dir)
	t.Setenv("HOME", dir)
	t.Setenv("GEMINIHOOK_EMULATORS", dir)
	return dir
}

// ask returns the body of an HTTP answer from addr, or "" if there is no answer.
func ask(t *testing.T, addr string) string {
	t.Helper()
	res, err := http.Get("http://" + addr)
	if err != nil {
		return ""
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestStartAndStop(t *testing.T) {
	dir := install(t, "answers")
	for name, test := range map[string]struct {
		open func(context.Context) (string, func(), error)
		want string
	}{
		"Firestore": {Firestore, "-cp " + dir + "/cloud-firestore-emulator-v1.0.1.jar com.google.cloud.datastore.emulator.firestore.CloudFirestore --host=127.0.0.1 --port="},
		"PubSub":    {PubSub, "-jar " + dir + "/cloud-pubsub-emulator-1-all.jar --host=127.0.0.1 --port="},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			addr, stop, err := test.open(ctx)
			if err != nil {
				t.Fatal(err)
			}
			defer stop()
			cancel() // ctx applies to the start only
			if got := ask(t, addr); !strings.Contains(got, test.want) || !strings.Contains(got, "-Xmx") {
				t.Errorf("java was called with %q, want %q and a heap limit in it", got, test.want)
			}
			stop()
			if got := ask(t, addr); got != "" {
				t.Errorf("after stop, the address answers %q", got)
			}
			stop()
		})
	}
}

func TestStartFails(t *testing.T) {
	t.Run("it ends", func(t *testing.T) {
		install(t, "ends")
		_, _, err := Firestore(t.Context())
		if err == nil || !strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such thing as") {
			t.Errorf("got %.200v, want the exit status and the output", err)
		}
		if n := len(err.Error()); n > maxOutput+1000 {
			t.Errorf("the error has %d bytes", n)
		}
	})
	t.Run("it does not answer", func(t *testing.T) {
		install(t, "silent")
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, _, err := PubSub(ctx); !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want the context's error", err)
		}
	})
}

func TestNotFound(t *testing.T) {
	var missing *NotFoundError
	t.Run("no java", func(t *testing.T) {
		install(t, "answers")
		t.Setenv("PATH", "")
		_, _, err := Firestore(t.Context())
		if !errors.As(err, &missing) || missing.Missing != "java" || missing.Product != "Firestore" {
			t.Errorf("got %v, want java to be missing", err)
		}
	})
	t.Run("no jar", func(t *testing.T) {
		dir := install(t, "answers")
		t.Setenv("GEMINIHOOK_EMULATORS", "")
		_, _, err := PubSub(t.Context())
		if !errors.As(err, &missing) || missing.Missing != "cloud-pubsub-emulator-*-all.jar" {
			t.Fatalf("got %v, want the jar to be missing", err)
		}
		for _, want := range []string{"Pub/Sub", dir + "/.cache/firebase/emulators", "gcloud components install cloud-firestore-emulator pubsub-emulator", "java 17"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("error %q does not contain %q", err, want)
			}
		}
	})
}

func TestFoundWhereInstallersPutThem(t *testing.T) {
	dir := install(t, "answers")
	t.Setenv("GEMINIHOOK_EMULATORS", "")
	gcloud := "#!/bin/sh\necho " + dir + "/sdk\n"
	if err := os.WriteFile(filepath.Join(dir, "gcloud"), []byte(gcloud), 0o700); err != nil {
		t.Fatal(err)
	}
	firebase := ".cache/firebase/emulators/"
	for _, jar := range []struct {
		p    product
		path string
	}{
		{firestore, firebase + "cloud-firestore-emulator-v1.19.8.jar"},
		{pubsub, firebase + "pubsub-emulator-0.8.14/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.14-all.jar"},
		{firestore, "sdk/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar"},
		{pubsub, "sdk/platform/pubsub-emulator/lib/cloud-pubsub-emulator-0.8.20-all.jar"},
	} {
		path := filepath.Join(dir, jar.path)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, got, err := jar.p.find(t.Context()); got != path {
			t.Errorf("found %q (%v), want %q", got, err, path)
		}
	}
}

func TestEnvironment(t *testing.T) {
	install(t, "ends")
	for value, ok := range map[string]bool{
		"127.0.0.1:8080": true, "localhost:8080": true, "[::1]:8080": true, "127.1.2.3:1": true,
		"0.0.0.0:8080": false, "192.0.2.1:8080": false, "firestore.googleapis.com:443": false, ":8080": false, "127.0.0.1": false,
		"127.0.0.1:": false, "localhost.example.com:8080": false, "http://127.0.0.1:8080": false,
	} {
		t.Setenv("PUBSUB_EMULATOR_HOST", value)
		addr, stop, err := PubSub(t.Context())
		if (err == nil) != ok || ok && addr != value {
			t.Errorf("%q: got %q (%v)", value, addr, err)
		}
		if err == nil {
			stop()
		} else if missing := new(NotFoundError); errors.As(err, &missing) {
			t.Errorf("%q: got a NotFoundError: %v", value, err)
		}
	}
}

// An emulator ends with its parent, even if the parent is killed.
func TestEndsWithParent(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("only Linux ends a child with its parent")
	}
	if os.Getenv("START_AND_WAIT") != "" {
		addr, _, err := Firestore(t.Context())
		fmt.Println(addr, err)
		time.Sleep(time.Minute) // or until killed
		return
	}
	install(t, "answers")
	t.Setenv("START_AND_WAIT", "1")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(self, "-test.run=^TestEndsWithParent$")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	defer parent.Wait()
	defer parent.Process.Kill()

	line, err := bufio.NewReader(out).ReadString('\n')
	addr, _, _ := strings.Cut(line, " ")
	conn, dialErr := net.Dial("tcp", addr)
	if dialErr != nil {
		t.Fatalf("%q (%v): %v", line, err, dialErr)
	}
	defer conn.Close()
	parent.Process.Kill()
	conn.SetReadDeadline(time.Now().Add(30 * time.Second))
	if _, err := conn.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("the emulator still runs after its parent was killed")
	}
}
