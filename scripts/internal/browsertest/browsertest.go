// Package browsertest drives a headless Chromium in tests, with chromedp. A test gets
// one page, which can reach only this machine. The errors of the page's console are
// recorded.
package browsertest

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
)

// timeout bounds one step on a page. It is generous, for a loaded machine.
const timeout = time.Minute

// nowhere is the proxy for all requests that leave this machine. No process listens on
// its port, so these requests fail: a page under test must not use the network.
const nowhere = "http://127.0.0.1:9"

// A Page is the only page of its own browser, which ends with the test. Its methods
// fail the test if the browser reports an error or does not answer within a minute. Use
// a Page from one goroutine.
type Page struct {
	t   *testing.T
	ctx context.Context // chromedp's context for the page

	mu     sync.Mutex
	faults []string
}

// New starts a browser with an empty page. If Chromium is not installed, New skips the
// test; if the environment variable REQUIRE_BROWSER is 1, New fails it.
func New(t *testing.T) *Page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(context.Background(), chromedp.WithAllocatorOptions(
		chromedp.NoSandbox, // Chromium's sandbox does not work for root
		chromedp.DisableGPU,
		chromedp.ProxyServer(nowhere),
		chromedp.Flag("disable-component-update", true),
		chromedp.Flag("disable-quic", true)))
	t.Cleanup(cancel)
	p := &Page{t: t, ctx: ctx}
	switch err := chromedp.Do(ctx); { // starts it
	case errors.Is(err, exec.ErrNotFound) && os.Getenv("REQUIRE_BROWSER") != "1":
		t.Skip("no Chromium (Debian: apt-get install chromium)")
	case err != nil:
		t.Fatalf("start the browser: %v", err)
	}
	go p.listen(chromedp.Console(ctx))
	for _, right := range []*browser.PermissionDescriptor{{Name: "clipboard-read"}, {Name: "clipboard-write"}} {
		params := browser.SetPermissionParams{Permission: right, Setting: browser.PermissionSettingGranted}
		if _, err := chromedp.CallBrowser(ctx, browser.SetPermission, params); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// listen records the errors and uncaught exceptions of the console.
func (p *Page) listen(console iter.Seq2[chromedp.ConsoleMessage, error]) {
	for m, err := range console {
		if err != nil {
			return // the browser has ended
		}
		if m.IsException() || m.Type == chromedp.ConsoleError {
			p.mu.Lock()
			p.faults = append(p.faults, m.Text+" "+m.URL)
			p.mu.Unlock()
		}
	}
}

// Faults returns the errors that the page's console has shown so far, in order. It is
// safe for concurrent use.
func (p *Page) Faults() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.faults)
}

// run runs an action. It fails if the action takes longer than timeout.
func run[T any](p *Page, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(p.ctx, timeout)
	defer cancel()
	return chromedp.Run(ctx, action)
}

// do runs an action that has no result, and fails the test if the action fails.
func (p *Page) do(action chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	if _, err := run(p, action); err != nil {
		p.t.Fatal(err)
	}
}

// Go opens a URL and waits until the page has loaded.
func (p *Page) Go(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
}

// Eval evaluates a JavaScript expression and returns its value as text, "<nil>" for
// null and undefined. If the value is a promise, Eval awaits it.
func (p *Page) Eval(expression string) string {
	p.t.Helper()
	value, err := run(p, chromedp.Evaluate[any](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return fmt.Sprint(value)
}

// Wait waits until a JavaScript expression is true. If it is still false after a
// minute, Wait fails the test and shows the page's text.
func (p *Page) Wait(expression string) {
	p.t.Helper()
	if _, err := run(p, chromedp.Poll[chromedp.Void](expression, chromedp.WithPollingTimeout(timeout))); err != nil {
		p.t.Fatalf("%s: %v\n%s", expression, err, p.Eval("document.body.innerText"))
	}
}

// Click clicks with the mouse on the first element that matches a CSS selector. It
// finds the element's position in one step. chromedp.Click takes several steps, and
// fails if the page replaces the element in between.
func (p *Page) Click(selector string) {
	p.t.Helper()
	at, err := run(p, chromedp.Evaluate[struct{ X, Y float64 }](fmt.Sprintf(`(() => {
		const e = document.querySelector(%q); e.scrollIntoView({ block: "nearest" });
		const r = e.getBoundingClientRect(); return { x: r.x + r.width / 2, y: r.y + r.height / 2 } })()`, selector)))
	if err != nil {
		p.t.Fatalf("%s: %v", selector, err)
	}
	p.do(chromedp.MouseClickXY(at.X, at.Y))
}

// Press presses and releases a key, given by its DOM name, for example "Enter".
func (p *Page) Press(key string) {
	p.t.Helper()
	for _, kind := range []input.DispatchKeyEventType{input.DispatchKeyEventTypeRawKeyDown, input.DispatchKeyEventTypeKeyUp} {
		p.do(call(input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: kind, Key: key, Code: key}))
	}
}

// Look sets the window's size, in CSS pixels, and whether the user prefers dark
// colours. Below a width of 600 pixels, the page is told that the device is a phone.
func (p *Page) Look(width, height int, dark bool) {
	p.t.Helper()
	scheme := &emulation.MediaFeature{Name: "prefers-color-scheme", Value: "light"}
	if dark {
		scheme.Value = "dark"
	}
	p.do(call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: int64(width), Height: int64(height), DeviceScaleFactor: 1, Mobile: width < 600,
	}))
	p.do(call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{scheme}}))
}

// call returns the action of one protocol command that has no result.
func call[P any](command cdp.Command[P, cdp.Empty], params P) chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, command, params)
		return err
	})
}

// Screenshot writes the visible part of the page to the folder dir, as name.png. It
// creates the folder. If dir is empty, it takes no screenshot.
func (p *Page) Screenshot(dir, name string) {
	p.t.Helper()
	if dir == "" {
		return
	}
	picture, err := run(p, chromedp.CaptureScreenshot())
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
