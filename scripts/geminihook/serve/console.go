package serve

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/scripts/geminihook/serve/inspector"
	"github.com/geminihook/geminihook/scripts/internal/messages"
	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"
)

// A console shows what happens: on standard output what was asked for, the rest on
// standard error. It may be used concurrently.
type console struct {
	screen   *screen
	out, err io.Writer
	json     bool
	paint    terminal.Paint // on out
	logPaint terminal.Paint // on err

	deliveries *inspector.Deliveries // what the page shows
	passes     *inspector.Passes

	published atomic.Int64
}

func newConsole(json bool) *console {
	return &console{
		screen:   newScreen(),
		out:      os.Stdout,
		err:      os.Stderr,
		json:     json,
		paint:    terminal.PaintFor(os.Stdout),
		logPaint: terminal.PaintFor(os.Stderr),

		deliveries: inspector.NewDeliveries(),
		passes:     new(inspector.Passes),
	}
}

// The events of --json, a line each.
type (
	ready struct {
		Event         string   `json:"event"`
		StaticURL     string   `json:"static_url"`
		DynamicURL    string   `json:"dynamic_url"` // with its token
		StaticSecrets []string `json:"static_secrets"`
		JWKSURL       string   `json:"jwks_url"`
		Audience      string   `json:"audience"`
		GeminiURL     string   `json:"gemini_url"` // base URL of the stand-in
		GeminiAPIKey  string   `json:"gemini_api_key"`
		Project       string   `json:"project"`
		PubSub        string   `json:"pubsub"`     // for PUBSUB_EMULATOR_HOST
		JobsTopic     string   `json:"jobs_topic"` // in full
	}
	published struct {
		Event      string            `json:"event"`
		Topic      string            `json:"topic"` // in full: projects/P/topics/T
		Attributes map[string]string `json:"attributes"`
		Data       []byte            `json:"data"` // in base64
	}
	passed struct {
		Event string `json:"event"`
		*inspector.Pass
	}
)

// event shows a JSON line.
func (c *console) event(e any) { c.screen.put(c.out, messages.Line(e)) }

// ready says that the functions serve, and all that it takes to use them.
func (c *console) ready(o *Options, s *running.Serve, p *parts) {
	if c.json {
		c.event(ready{"ready", s.StaticURL, s.DynamicURL, s.Secrets, p.jwksURL, s.Audience, s.GeminiURL, s.GeminiAPIKey,
			s.Project, s.PubSub, topicName(jobsTopic)})
		return
	}
	var b strings.Builder
	row := func(name, value string) {
		fmt.Fprintf(&b, "  %-15s %s\n", name, value)
	}
	fmt.Fprintf(&b, "%s\n\n", c.paint.In(terminal.Bold, "geminihook serves its functions, as deployed, on this machine"))
	row("page", strings.TrimSuffix(s.StaticURL, staticPath)+"/")
	row("static", s.StaticURL)
	for _, secret := range s.Secrets {
		row("  secret", secret)
	}
	row("dynamic", s.DynamicURL)
	row("  public keys", p.jwksURL)
	row("  JWT audience", s.Audience)
	row("reconcile", o.describePasses())
	row("Gemini API", s.GeminiURL+", a stand-in")
	row("  API key", s.GeminiAPIKey)
	p.describeProducts(row)
	fmt.Fprintf(&b, "\n%s\n\n", next(s))
	c.screen.put(c.out, b.String())
}

// describePasses says when there are passes, and what they take for missed.
func (o *Options) describePasses() string {
	when := "a pass every " + o.ReconcileEvery.String() + ", and"
	if o.ReconcileEvery == 0 {
		when = "a pass"
	}
	return fmt.Sprintf("%s if the page asks for one; an event is missed %s after its job ended", when, o.Grace)
}

func (p *parts) describeProducts(row func(name, value string)) {
	const embedded = "embedded, not the official emulators; nothing is kept"
	if !p.official {
		row("Firestore", embedded)
		row("Secret Manager", embedded)
		row("Pub/Sub", embedded)
		return
	}
	row("Firestore", "official emulator at "+p.firestore)
	row("Secret Manager", "embedded: there is no official emulator")
	row("Pub/Sub", "official emulator at "+p.pubsub)
}

// next is the advice below all that ready shows.
func next(s *running.Serve) string {
	return fmt.Sprintf(`Open the page to watch deliveries and to send samples. Or, in another terminal:

  %-40s one event of each type, to both endpoints
  %-40s everything that must be rejected, and why

To use an SDK there:

  export GOOGLE_GEMINI_BASE_URL=%s GEMINI_API_KEY=%s
  export PUBSUB_EMULATOR_HOST=%s GOOGLE_CLOUD_PROJECT=%s

Every message that reaches a topic is shown below. Ctrl-C ends it.`,
		terminal.Command("send"), terminal.Command("hostile"), s.GeminiURL, s.GeminiAPIKey, s.PubSub, s.Project)
}

// message shows a message that reached a topic.
func (c *console) message(topic string, m *pubsubpb.PubsubMessage) {
	c.published.Add(1)
	c.deliveries.Published(topic, m)
	if c.json {
		attributes, data := messages.Parts(m)
		c.event(published{"published", topic, attributes, data})
		return
	}
	row := messages.NewRow(c.paint, topic, m)
	row.Rest = cmp.Or(row.Rest, messages.Body(m.Data))
	c.screen.put(c.out, row.String()+"\n")
}

// byHand tells how to start each function once more, beside this serve, for a debugger.
func (c *console) byHand(fs functions) {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	for i, f := range fs {
		var b strings.Builder
		fmt.Fprintf(&b, "%s is process %d. While serve runs, this starts another, as for a debugger:\n  env -i", f.name, f.instance.PID())
		for _, variable := range cloudrun.Environment(f.name, fmt.Sprint("127.0.0.1:", firstByHand+i), f.env) {
			b.WriteString(" " + quoted(variable))
		}
		c.screen.put(c.err, b.String()+" "+quoted(self)+"\n")
	}
}

// firstByHand is the port that byHand proposes for the first function.
const firstByHand = 8081

// quoted returns a word as a shell takes it.
func quoted(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// ended shows the last lines of a function that ended by itself, and returns the error
// with which serve ends. serve does not start the function again, as the platform would:
// a restart would hide a crash from the developer or from the script that uses serve.
func (c *console) ended(f *function) error {
	if last := f.output.end(); len(last) > 0 {
		c.note(fmt.Sprintf("%s ended by itself, after these lines:", f.name))
		for _, line := range last {
			c.screen.put(c.err, c.logLine(line))
		}
	}
	return fmt.Errorf("%s ended by itself: %s", f.name, f.instance.Status())
}

// note says something on standard error.
func (c *console) note(text string) {
	c.screen.put(c.err, c.logPaint.In(terminal.Yellow, text)+"\n")
}

// stopped is the last line. With --json standard output has events only.
func (c *console) stopped() {
	to := c.out
	if c.json {
		to = c.err
	}
	c.screen.put(to, fmt.Sprintf("stopped; deliveries in flight were finished; messages published: %d\n", c.published.Load()))
}
