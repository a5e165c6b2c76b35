package child

import (
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
)

// draws is the number of ports that a process draws in TestFreePort. They are all in
// one block.
const draws = 300

// printPorts draws ports and prints them, one a line.
func printPorts() {
	for range draws {
		port, err := FreePort()
		if err != nil {
			panic(err)
		}
		os.Stdout.WriteString(port + "\n")
	}
}

// No port is drawn twice, by this process or by another one, although no child
// listens on the ports yet. The system gives no drawn port to a listener on port 0.
func TestFreePort(t *testing.T) {
	drawn := map[string]bool{}
	draw := func(port string) {
		if n, err := strconv.Atoi(port); err != nil || n < firstPort || n >= firstPort+blocks*blockSize {
			t.Fatalf("drew port %q", port)
		}
		if drawn[port] {
			t.Fatalf("drew port %s twice", port)
		}
		drawn[port] = true
	}
	for range draws {
		port, err := FreePort()
		if err != nil {
			t.Fatal(err)
		}
		draw(port)
	}
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), role+"=ports")
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	for port := range strings.Lines(string(out)) {
		draw(strings.TrimSpace(port))
	}
	if len(drawn) != 2*draws {
		t.Fatalf("drew %d ports", len(drawn))
	}
	for range draws {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, port, _ := net.SplitHostPort(l.Addr().String()); drawn[port] {
			t.Fatalf("the system gave port %s to another listener", port)
		}
	}
}

// FreePort does not return a port on which a process listens.
func TestFreePortInUse(t *testing.T) {
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", port))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for range blockSize {
		if next, err := FreePort(); err != nil || next == port {
			t.Fatalf("drew port %s, in use, or failed: %v", next, err)
		}
	}
}
