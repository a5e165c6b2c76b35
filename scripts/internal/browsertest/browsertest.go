// Package browsertest drives a headless Chromium in tests, over the DevTools
// protocol on a pipe: no port is opened, and no library is needed for the few
// commands that a page takes.
package browsertest

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	// callTimeout bounds one command, on a loaded machine.
	callTimeout = 60 * time.Second

	// waitTimeout bounds the wait for something to appear on a page.
	waitTimeout = 60 * time.Second
)

// nowhere is the proxy of all that is not on this machine: pages under test have
// nothing to ask of anybody else.
const nowhere = "127.0.0.1:9"

// binaries are the names under which Chromium is installed.
var binaries = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable"}

// A Page is one of a browser of its own, which ends with the test.
type Page struct {
	t       *testing.T
	to      *os.File
	session string

	mu      sync.Mutex
	last    int
	answers map[int]chan answer
	faults  []string
}

type answer struct {
	ID     int             `json:"id"`
	Result json.RawMessage `json:"result"`
	Error  *struct {
		Message string `json:"message"`
	} `json:"error"`

	Method string          `json:"method"` // of an event
	Params json.RawMessage `json:"params"`
}

// New starts a browser with an empty page. Where there is none it skips the test,
// or fails it under REQUIRE_BROWSER=1.
func New(t *testing.T) *Page {
	t.Helper()
	p := &Page{t: t, answers: make(map[int]chan answer)}
	p.start(find(t))
	var target struct{ TargetID string }
	p.call("Target.createTarget", args{"url": "about:blank"}, &target)
	var attached struct{ SessionID string }
	p.call("Target.attachToTarget", args{"targetId": target.TargetID, "flatten": true}, &attached)
	p.session = attached.SessionID
	for _, domain := range []string{"Runtime.enable", "Log.enable", "Page.enable"} {
		p.call(domain, nil, nil)
	}
	p.call("Browser.grantPermissions", args{"permissions": []string{"clipboardReadWrite", "clipboardSanitizedWrite"}}, nil)
	return p
}

// Go goes to a URL and waits until all of it is there.
func (p *Page) Go(url string) {
	p.t.Helper()
	p.call("Page.navigate", args{"url": url}, nil)
	p.Wait(`document.readyState === "complete" && location.href !== "about:blank"`)
}

func find(t *testing.T) (path string) {
	t.Helper()
	for _, name := range binaries {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	message := "no Chromium on PATH (Debian: apt-get install chromium)"
	if os.Getenv("REQUIRE_BROWSER") == "1" {
		t.Fatal(message)
	}
	t.Skip(message)
	return ""
}

// start starts the browser, which reads commands on its file descriptor 3 and
// writes answers on 4.
func (p *Page) start(binary string) {
	in, to, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	from, out, err := os.Pipe()
	if err != nil {
		p.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--proxy-server=http://"+nowhere, "--hide-scrollbars", "--remote-debugging-pipe", "--user-data-dir="+p.t.TempDir())
	cmd.ExtraFiles = []*os.File{in, out}
	if err := cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	in.Close()
	out.Close()
	p.to = to
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.read(from)
	}()
	p.t.Cleanup(func() {
		p.send("Browser.close", nil)
		select {
		case <-done: // it is about to end by itself
		case <-time.After(5 * time.Second):
		}
		time.AfterFunc(5*time.Second, cancel)
		cmd.Wait()
		cancel()
		to.Close()
		from.Close()
	})
}

type args map[string]any

// send sends a command and returns where its answer will come.
func (p *Page) send(method string, params args) chan answer {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last++
	ch := make(chan answer, 1)
	p.answers[p.last] = ch
	command := args{"id": p.last, "method": method, "params": params}
	if p.session != "" && !strings.HasPrefix(method, "Browser.") {
		command["sessionId"] = p.session
	}
	text, err := json.Marshal(command)
	if err != nil {
		panic(err) // commands are texts and numbers
	}
	_, _ = p.to.Write(append(text, 0)) // a browser that has gone does not answer
	return ch
}

// call sends a command and reads its result.
func (p *Page) call(method string, params args, result any) {
	p.t.Helper()
	ch := p.send(method, params)
	select {
	case a := <-ch:
		if a.Error != nil {
			p.t.Fatalf("%s: %s", method, a.Error.Message)
		}
		if result != nil {
			if err := json.Unmarshal(a.Result, result); err != nil {
				p.t.Fatalf("%s: %v", method, err)
			}
		}
	case <-time.After(callTimeout):
		p.t.Fatalf("%s: no answer after %v", method, callTimeout)
	}
}

// read takes what the browser writes: texts that end in NUL.
func (p *Page) read(from *os.File) {
	in := bufio.NewReader(from)
	for {
		text, err := in.ReadBytes(0)
		if err != nil {
			return
		}
		var a answer
		if json.Unmarshal(text[:len(text)-1], &a) != nil {
			continue
		}
		p.mu.Lock()
		if ch := p.answers[a.ID]; ch != nil {
			delete(p.answers, a.ID)
			ch <- a
		}
		p.notice(a)
		p.mu.Unlock()
	}
}

// notice keeps what a developer would see in red.
func (p *Page) notice(a answer) {
	var event struct {
		Type  string `json:"type"`
		Entry struct {
			Level, Text, URL string
		} `json:"entry"`
	}
	_ = json.Unmarshal(a.Params, &event)
	switch {
	case a.Method == "Runtime.exceptionThrown", a.Method == "Runtime.consoleAPICalled" && event.Type == "error":
		p.faults = append(p.faults, string(a.Params))
	case a.Method == "Log.entryAdded" && event.Entry.Level == "error":
		p.faults = append(p.faults, event.Entry.Text+" "+event.Entry.URL)
	}
}

// Faults are the errors that the page's console has shown.
func (p *Page) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.faults
}

// Eval returns what an expression is, awaited, as a text.
func (p *Page) Eval(expression string) string {
	p.t.Helper()
	var got struct {
		Result           struct{ Value any }
		ExceptionDetails *struct {
			Exception struct{ Description string }
		}
	}
	p.call("Runtime.evaluate", args{"expression": expression, "returnByValue": true, "awaitPromise": true, "userGesture": true}, &got)
	if got.ExceptionDetails != nil {
		p.t.Fatalf("%s: %s", expression, got.ExceptionDetails.Exception.Description)
	}
	return fmt.Sprint(got.Result.Value)
}

// Wait waits until an expression is true.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	for end := time.Now().Add(waitTimeout); p.Eval("Boolean("+expression+")") != "true"; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			p.t.Fatalf("not so after %v: %s\n%s", waitTimeout, expression, p.Eval("document.body.innerText"))
		}
	}
}

// Click clicks, with the mouse, on the first element of a selector.
func (p *Page) Click(selector string) {
	p.t.Helper()
	var at struct{ X, Y float64 }
	text := p.Eval(fmt.Sprintf(`(() => { const e = document.querySelector(%q); e.scrollIntoView({ block: "nearest" });
		const r = e.getBoundingClientRect(); return JSON.stringify({ x: r.x + r.width / 2, y: r.y + r.height / 2 }) })()`, selector))
	if err := json.Unmarshal([]byte(text), &at); err != nil {
		p.t.Fatal(err)
	}
	for _, kind := range []string{"mousePressed", "mouseReleased"} {
		p.call("Input.dispatchMouseEvent", args{"type": kind, "x": at.X, "y": at.Y, "button": "left", "clickCount": 1}, nil)
	}
}

// Press presses a key, by its name in the DOM.
func (p *Page) Press(key string) {
	p.t.Helper()
	for _, kind := range []string{"rawKeyDown", "keyUp"} {
		p.call("Input.dispatchKeyEvent", args{"type": kind, "key": key, "code": key}, nil)
	}
}

// Look sets the window's size and whether the user likes the dark.
func (p *Page) Look(width, height int, dark bool) {
	p.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	p.call("Emulation.setDeviceMetricsOverride", args{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	p.call("Emulation.setEmulatedMedia", args{"features": []args{{"name": "prefers-color-scheme", "value": scheme}}}, nil)
}

// Screenshot writes what is seen to dir as a PNG file, or does nothing where dir is
// empty.
func (p *Page) Screenshot(dir, name string) {
	p.t.Helper()
	if dir == "" {
		return
	}
	var shot struct{ Data string }
	p.call("Page.captureScreenshot", args{"format": "png"}, &shot)
	picture, err := base64.StdEncoding.DecodeString(shot.Data)
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}
