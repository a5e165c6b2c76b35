package docs_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	followed = "from-a-job-to-its-event.md"

	// command is how the page runs geminihook. The test runs a binary.
	command = "go run ./scripts/geminihook"

	// patience bounds everything that a reader of the page waits for, on a machine that has
	// much else to do.
	patience = 2 * time.Minute
)

var (
	fence    = regexp.MustCompile("(?ms)^```([a-z]*)\n(.*?)^```$")
	exported = regexp.MustCompile(`\b(?:GOOGLE|GEMINI|PUBSUB)_[A-Z_]+=`)
)

// blocks returns the page's blocks of code in a language, in order.
func blocks(t *testing.T, language string) (texts []string) {
	t.Helper()
	page, err := os.ReadFile(followed)
	if err != nil {
		t.Fatal(err)
	}
	for _, match := range fence.FindAllStringSubmatch(string(page), -1) {
		if match[1] == language {
			texts = append(texts, match[2])
		}
	}
	return texts
}

// What the page shows of a program is a part of the program.
func TestShownCode(t *testing.T) {
	for language, file := range map[string]string{"go": "main.go", "js": "job.mjs", "python": "job.py"} {
		program, err := os.ReadFile("../examples/job/" + file)
		if err != nil {
			t.Fatal(err)
		}
		shown := blocks(t, language)
		if len(shown) != 1 || !bytes.Contains(program, []byte(shown[0])) {
			t.Errorf("%s does not hold what the page shows: %q", file, shown)
		}
	}
}

// The page's commands, run as they stand in two terminals, bring what the page says: with
// shorter times, at another port, and with a binary in place of `go run`.
func TestFromAJobToItsEvent(t *testing.T) {
	for _, program := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("the page is not followed: no %s", program)
		}
	}
	steps := blocks(t, "sh")
	if len(steps) != 10 {
		t.Fatalf("the page has %d steps, want 10: adapt this test", len(steps))
	}
	binary := filepath.Join(t.TempDir(), "geminihook")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "./scripts/geminihook")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for i := range steps {
		steps[i] = strings.ReplaceAll(strings.TrimSpace(steps[i]), command, binary)
	}
	t.Run("Go", func(t *testing.T) {
		t.Parallel()
		follow(t, steps, func(c *terminal) { c.run(steps[2]) })
	})
	t.Run("JavaScript", func(t *testing.T) {
		t.Parallel()
		for _, program := range []string{"node", "npm"} {
			if _, err := exec.LookPath(program); err != nil {
				t.Skipf("the page is not followed in JavaScript: no %s", program)
			}
		}
		follow(t, steps, func(c *terminal) {
			if out, ok := c.try(steps[3]); !ok {
				t.Skipf("the page is not followed in JavaScript: npm cannot install the SDKs: %s", out)
			}
		})
	})
}

// follow follows the page, in the language that choose chooses.
func follow(t *testing.T, steps []string, choose func(*terminal)) {
	first := newScreen(t, steps[0]+" --addr 127.0.0.1:0 --job-time 8s --grace 1s --reconcile-every 3s")
	first.wait("Press Ctrl-C to stop")
	second := newTerminal(t, first.env)
	for _, line := range strings.Split(first.shown.String(), "\n") {
		if strings.Contains(line, "  export ") {
			second.run(line)
		}
	}
	if out := second.run(steps[1]); !strings.Contains(out, "nothing was changed") || !strings.Contains(out, "enabled") {
		t.Errorf("register and list printed %q", out)
	}
	choose(second)

	batch := second.run(steps[4])
	first.wait("geminihook-batch", "batch.succeeded", " static ", batch)
	if got := second.run(steps[5]); got != "Answer 1." {
		t.Errorf("results %q", got)
	}

	if out := second.run(steps[6]); out != "" {
		t.Fatalf("lose: %q", out)
	}
	lost := second.run(`echo "$lost"`)
	if out := second.run(steps[7]); out != "" { // perhaps too early for the event, as for a reader
		t.Errorf("reconcile: %q", out)
	}
	first.wait("geminihook-batch", "batch.succeeded", " reconciled ", lost)
	first.wait("reconcile", "1 delivered, 1 missed, 1 handed over")

	second.run(steps[8])
	video := second.run(`echo "$video"`)
	first.wait("geminihook-jobs", video)
	first.wait("geminihook-video", "video.generated", " reconciled ", video)
	if shown := first.shown.String(); strings.Count(shown, batch+"\n")+strings.Count(shown, lost+"\n") != 2 {
		t.Errorf("an event came twice:\n%s", shown)
	}

	second.run(steps[9])
	for _, name := range exported.FindAllString(first.shown.String(), -1) {
		if value := second.run(`echo "${` + strings.TrimSuffix(name, "=") + `-}"`); value != "" {
			t.Errorf("the page does not unset %s%s", name, value)
		}
	}
}

// environment is that of both terminals: a running serve is found within it only.
func environment(t *testing.T) []string {
	t.Helper()
	cache, err := exec.CommandContext(t.Context(), "go", "env", "GOCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	return append(os.Environ(), "GOCACHE="+strings.TrimSpace(string(cache)), "XDG_CACHE_HOME="+t.TempDir(), "TMPDIR="+t.TempDir(),
		"GOOGLE_API_KEY=", "npm_config_fetch_retries=0", "npm_config_prefer_offline=true")
}

// A screen is the first terminal, in which serve runs.
type screen struct {
	t     *testing.T
	env   []string
	lines chan string
	shown strings.Builder // the lines that were waited through
}

func newScreen(t *testing.T, line string) *screen {
	t.Helper()
	s := &screen{t: t, env: environment(t), lines: make(chan string, 1000)}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 5*patience)
	cmd := exec.CommandContext(ctx, "bash", "-c", "exec "+line)
	cmd.Dir, cmd.Env = "..", s.env
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cmd.Process.Signal(syscall.SIGINT)
		if err := cmd.Wait(); err != nil {
			t.Errorf("serve: %v", err)
		}
		w.Close()
		cancel()
	})
	go func() {
		for scanner := bufio.NewScanner(r); scanner.Scan(); {
			s.lines <- scanner.Text()
		}
		close(s.lines)
	}()
	return s
}

// wait waits for a line that holds all of the texts.
func (s *screen) wait(texts ...string) {
	s.t.Helper()
	late := time.After(patience)
	for {
		select {
		case line, ok := <-s.lines:
			fmt.Fprintln(&s.shown, line)
			if !ok {
				s.t.Fatalf("serve ended:\n%s", s.shown.String())
			}
			if all(line, texts) {
				return
			}
		case <-late:
			s.t.Fatalf("no line with %q:\n%s", texts, s.shown.String())
		}
	}
}

func all(line string, texts []string) bool {
	for _, text := range texts {
		if !strings.Contains(line, text) {
			return false
		}
	}
	return true
}

// A terminal is the second one, with a shell that keeps what was defined in it.
type terminal struct {
	t   *testing.T
	in  io.Writer
	out *bufio.Reader
}

func newTerminal(t *testing.T, env []string) *terminal {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, "bash")
	cmd.Dir, cmd.Env = "..", env
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = cmd.Stdout
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		_ = cmd.Wait()
	})
	return &terminal{t, in, bufio.NewReader(out)}
}

// run runs the commands of a block, one on each line, which must all succeed, and returns
// what they print.
func (c *terminal) run(block string) string {
	c.t.Helper()
	out, ok := c.try(block)
	if !ok {
		c.t.Fatalf("%s\nprinted %s", block, out)
	}
	return out
}

// try runs commands until one fails, and reports whether none did.
func (c *terminal) try(block string) (printed string, ok bool) {
	c.t.Helper()
	const end = "end of the block: "
	fmt.Fprintf(c.in, "%s\necho \"%s$?\"\n", strings.ReplaceAll(block, "\n", " &&\n"), end)
	for {
		line, err := c.out.ReadString('\n')
		if err != nil {
			c.t.Fatalf("%s\nprinted %s, and then: %v", block, printed, err)
		}
		if status, found := strings.CutPrefix(line, end); found {
			return strings.TrimSpace(printed), status == "0\n"
		}
		printed += line
	}
}
