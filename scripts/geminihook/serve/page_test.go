package serve

import (
	"encoding/json"
	"fmt"
	"html"
	"os"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/scripts/internal/browsertest"
	"github.com/geminihook/geminihook/scripts/internal/commandtest"
)

// A visitor is a browser at the page.
type visitor struct {
	*browsertest.Page
	t     *testing.T
	shots string // folder for screenshots; empty: none are taken
}

func visit(t *testing.T, args ...string) (*visitor, *commandtest.Serve) {
	t.Helper()
	v := &visitor{browsertest.New(t), t, os.Getenv("SCREENSHOTS")}
	s := commandtest.NewHome(t).Serve(t, args...)
	v.Look(1280, 800, false)
	v.Go(strings.TrimSuffix(s.Ready.StaticURL, staticPath) + "/")
	v.Wait(`document.getElementById("link").dataset.state === "live"`)
	return v, s
}

// send clicks on a sample and waits for rows with these outcomes, in any order.
func (v *visitor) send(sample, scheme string, outcomes ...string) {
	v.t.Helper()
	v.choose("scheme", scheme)
	before := v.Eval(`rows.children.length`)
	v.Click(`[data-sample=` + sample + `]`)
	v.Wait(fmt.Sprintf(`rows.children.length >= %s + %d`, before, len(outcomes)))
	got := v.Eval(fmt.Sprintf(`[...rows.children].slice(0, rows.children.length - %s).map((tr) => tr.dataset.outcome).join(" ")`, before))
	left := " " + got + " "
	for _, want := range outcomes {
		found := false
		for one := range strings.SplitSeq(want, "|") {
			if !found && strings.Contains(left, " "+one+" ") {
				left, found = strings.Replace(left, " "+one+" ", " ", 1), true
			}
		}
		if !found {
			v.t.Errorf("%s, %s: outcomes %q, want %q", sample, scheme, got, outcomes)
		}
	}
	if strings.TrimSpace(left) != "" {
		v.t.Errorf("%s, %s: outcomes %q, want no more than %q", sample, scheme, got, outcomes)
	}
}

// open opens the newest row with an outcome and returns the text of its detail.
func (v *visitor) open(outcome string) string {
	v.t.Helper()
	row := fmt.Sprintf(`#rows tr[data-outcome=%q]`, outcome)
	id := v.Eval(fmt.Sprintf(`document.querySelector(%q).dataset.id`, row))
	v.Click(row + " td")
	v.Wait(fmt.Sprintf(`opened === %s`, id))
	return v.Eval(`detail.innerText`)
}

// Each sample gets the expected outcomes, and the page shows their causes.
func TestPage(t *testing.T) {
	v, s := visit(t)
	v.Screenshot(v.shots, "empty-light")
	v.scene()
	for _, scheme := range []string{"v1", "v1a", "jwt"} {
		v.send("genuine", scheme, "published")
		v.send("stale", scheme, "stale")
		v.send("forged", scheme, "forged")
		v.send("unknown", scheme, "published")
		v.send("huge", scheme, "too_large")
		v.send("two", scheme, "published", "duplicate|busy")
		v.send("duplicate", scheme, "published", "duplicate")
	}
	v.send("audience", "v1", "audience")
	v.send("token", "v1", "unauthorized")
	v.send("types", "v1", "published", "published", "published", "published", "published", "published", "published", "published", "published")

	for outcome, want := range map[string][]string{
		"published":    {"✓\nSignature\nmatches version 1 of the signing secret", "ce-source", "attempt 1", "geminihook-video", "(hidden)|characters)"},
		"duplicate":    {"published no second message", "An earlier delivery with this id published it."},
		"stale":        {"✓\nSignature", "✗\nTimestamp|✗\nClaims", "10m0s old|10m1s old|10m2s old|expired 5m"},
		"forged":       {"✗\nSignature", "not reached", "compared with"},
		"audience":     {"✗\nAudience", "aud contains no configured audience"},
		"unauthorized": {"✗\nURL token", "version 1 of the URL token", "token=(hidden)"},
		"too_large":    {"✗\nBody", "1048577 bytes, more than the maximum of 1048576"},
	} {
		shown := v.open(outcome)
		for _, want := range want {
			if !containsOne(shown, want) {
				t.Errorf("%s: %q is not shown in:\n%s", outcome, want, shown)
			}
		}
		checkHides(t, s, v.Eval("document.documentElement.outerHTML"))
		v.Screenshot(v.shots, outcome+"-light")
	}
	v.hostile(s)
	v.send("genuine", "v1", "published")
	v.copies()
	v.replays()
	v.filters()
	v.keys()
	v.looks()
	if faults := v.Faults(); len(faults) > 0 {
		t.Errorf("the console shows errors: %q", faults)
	}
	s.Stop() // must not wait for the open page
}

// The page's checks agree with the functions' results for all hostile deliveries.
func TestChecksAgree(t *testing.T) {
	home := commandtest.NewHome(t)
	s := home.Serve(t)
	if got := home.Run(t, "", "hostile"); got.Status != 0 {
		t.Fatalf("hostile: %s%s", got.Stdout, got.Stderr)
	}
	seen, failed := 0, 0
	for id := 1; ; id++ {
		shown := get(t, strings.TrimSuffix(s.Ready.StaticURL, staticPath)+fmt.Sprint("/inspector/deliveries/", id))
		if shown == "" {
			break
		}
		seen++
		for _, bad := range []string{"disagree with the function", "no log line", "reading the record failed"} {
			if strings.Contains(shown, bad) {
				t.Errorf("delivery %d: %s", id, shown)
			}
		}
		if strings.Contains(shown, `class="fail"`) {
			failed++
		}
		checkHides(t, s, shown)
	}
	if seen < 200 || failed < 100 {
		t.Errorf("%d deliveries seen, %d of them rejected, want at least 200 and 100", seen, failed)
	}
}

// choose selects a value in a list.
func (v *visitor) choose(id, value string) {
	v.t.Helper()
	v.Eval(fmt.Sprintf(`(() => { const s = document.getElementById(%q); s.value = %q; s.dispatchEvent(new Event("change")) })()`, id, value))
}

// scene makes the README's picture: few rows, with every colour.
func (v *visitor) scene() {
	v.t.Helper()
	v.Look(1200, 760, false)
	v.send("unknown", "v1", "published")
	v.send("audience", "v1", "audience")
	v.send("genuine", "v1a", "published")
	v.choose("type", "interaction.completed")
	v.send("duplicate", "v1a", "published", "duplicate")
	v.send("forged", "v1", "forged")
	v.choose("type", "video.generated")
	v.send("genuine", "v1", "published")
	v.send("stale", "v1", "stale")
	v.choose("type", "batch.succeeded")
	v.send("two", "v1", "published", "duplicate|busy")
	v.open("stale")
	v.Eval(`new Promise((done) => setTimeout(done, document.querySelector(".new") ? 1300 : 0))`)
	v.Eval(`document.activeElement.blur(); scrollTo(0, 0)`)
	v.Screenshot(v.shots, "inspector")
	v.Press("Escape")
	v.Look(1280, 800, false)
}

// hostile sends HTML and scripts, which the page must show as text.
func (v *visitor) hostile(s *commandtest.Serve) {
	v.t.Helper()
	body := `{"type": "<img src=x onerror=alert(1)>", "data": {"id": "</textarea></pre><script>alert(1)</script>"}}`
	if got := send(v.t, signed(v.t, s.Ready.StaticURL, s.Ready.StaticSecrets[0], "<b id=hostile>", []byte(body))); got != 204 {
		v.t.Fatalf("answered %d, want 204", got)
	}
	v.Wait(`rows.firstElementChild.dataset.type.startsWith("<img")`)
	if shown := v.open("published"); !strings.Contains(shown, "<b id=hostile>") || !strings.Contains(shown, "</script>") {
		v.t.Errorf("the delivery's HTML is not shown as text:\n%s", shown)
	}
	if got := v.Eval(`document.querySelectorAll("#hostile, img[src=x], main script").length`); got != "0" {
		v.t.Errorf("%s elements were made from a delivery's HTML", got)
	}
}

func containsOne(text, alternatives string) bool {
	for one := range strings.SplitSeq(alternatives, "|") {
		if strings.Contains(text, one) {
			return true
		}
	}
	return false
}

// checkHides fails the test if a page contains a secret.
func checkHides(t *testing.T, s *commandtest.Serve, page string) {
	t.Helper()
	_, token, _ := strings.Cut(s.Ready.DynamicURL, "=")
	for _, secret := range append(s.Ready.StaticSecrets, token) {
		if strings.Contains(html.UnescapeString(page), strings.TrimPrefix(secret, "whsec_")) {
			t.Errorf("the page contains the secret %s", secret)
		}
	}
}

func (v *visitor) copies() {
	v.t.Helper()
	v.open("published")
	v.Click("[data-copy]")
	v.Wait(`document.querySelector("[data-copy]").textContent === "Copied"`)
	var message struct {
		Topic      string
		Attributes map[string]string
		Data       struct{ Type string }
	}
	text := v.Eval("navigator.clipboard.readText()")
	if err := json.Unmarshal([]byte(text), &message); err != nil || message.Attributes["ce-type"] == "" || message.Data.Type != message.Attributes["ce-type"] {
		v.t.Errorf("copied: %v\n%s", err, text)
	}
}

// replays replays a published, a forged and a stale delivery.
func (v *visitor) replays() {
	v.t.Helper()
	for _, r := range []struct{ outcome, way, want string }{
		{"published", "same", "duplicate"}, {"published", "anew", "duplicate"},
		{"forged", "same", "forged"}, {"forged", "anew", "published"}, {"stale", "same", "stale"},
	} {
		v.open(r.outcome)
		before := v.Eval(`rows.children.length`)
		v.Click("[data-again=" + r.way + "]")
		v.Wait(`rows.children.length > ` + before)
		if got := v.Eval(`rows.firstElementChild.dataset.outcome`); got != r.want {
			v.t.Errorf("%s, replayed %s: %s, want %s", r.outcome, r.way, got, r.want)
		}
	}
}

func (v *visitor) filters() {
	v.t.Helper()
	choose := func(id, value string) string {
		v.choose(id, value)
		return v.Eval(`[...new Set([...rows.children].filter((tr) => tr.offsetParent).map((tr) => tr.dataset.outcome + " " + tr.dataset.type))].sort().join(", ")`)
	}
	if got := choose("by-outcome", "stale"); got != "stale batch.succeeded, stale video.generated" {
		v.t.Errorf("filtered by outcome: %q", got)
	}
	choose("by-outcome", "")
	if got := choose("by-type", "model.retired"); got != "published model.retired" {
		v.t.Errorf("filtered by type: %q", got)
	}
	choose("by-type", "")
}

// keys selects, opens and closes a row with the keyboard.
func (v *visitor) keys() {
	v.t.Helper()
	v.Press("Escape")
	v.Wait(`detail.hidden`)
	v.Eval(`rows.children[0].focus()`)
	v.Press("ArrowDown")
	v.Press("Enter")
	v.Wait(`opened === Number(rows.children[1].dataset.id)`)
	v.Press("Escape")
	v.Wait(`detail.hidden && document.activeElement === rows.children[1]`)
}

// looks takes a picture of each view, and fails the test if a view is wider than its
// screen.
func (v *visitor) looks() {
	v.t.Helper()
	for _, look := range []struct {
		name          string
		width, height int
		dark          bool
	}{{"dark", 1280, 800, true}, {"phone", 360, 780, false}, {"phone-dark", 360, 780, true}, {"light", 1280, 800, false}} {
		v.Look(look.width, look.height, look.dark)
		v.Screenshot(v.shots, "list-"+look.name)
		v.open("stale")
		v.Screenshot(v.shots, "stale-"+look.name)
		if got := v.Eval(`document.documentElement.scrollWidth - document.documentElement.clientWidth`); got != "0" {
			v.t.Errorf("%s: the page is %s pixels too wide", look.name, got)
		}
		v.Press("Escape")
		v.Wait(`detail.hidden`)
	}
	v.Look(1280, 1500, false) // high enough for all of one
	v.open("duplicate")
	v.Screenshot(v.shots, "duplicate-whole")
}
