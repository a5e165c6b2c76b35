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

// A console prints URLs, keys, published messages and --json events on standard output,
// and the functions' log and notes on standard error. It also passes messages and log
// lines to the page. It is safe for concurrent use.
type console struct {
	screen   *screen
	out, err io.Writer
	json     bool
	paint    terminal.Paint // for out
	logPaint terminal.Paint // for err

	deliveries *inspector.Deliveries // shown on the page
	passes     *inspector.Passes     // shown on the page

	published atomic.Int64 // number of messages published
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

// The events of --json. Each is one line.
type (
	ready struct {
		Event         string   `json:"event"`
		StaticURL     string   `json:"static_url"`
		DynamicURL    string   `json:"dynamic_url"` // with the URL token
		StaticSecrets []string `json:"static_secrets"`
		JWKSURL       string   `json:"jwks_url"`
		Audience      string   `json:"audience"`
		GeminiURL     string   `json:"gemini_url"` // base URL of the Gemini API's stand-in
		GeminiAPIKey  string   `json:"gemini_api_key"`
		Project       string   `json:"project"`
		PubSub        string   `json:"pubsub"`     // for PUBSUB_EMULATOR_HOST
		JobsTopic     string   `json:"jobs_topic"` // full name: projects/P/topics/T
	}
	published struct {
		Event      string            `json:"event"`
		Topic      string            `json:"topic"` // full name: projects/P/topics/T
		Attributes map[string]string `json:"attributes"`
		Data       []byte            `json:"data"` // in base64
	}
	passed struct {
		Event string `json:"event"`
		*inspector.Pass
	}
)

// event prints an event as a JSON line.
func (c *console) event(e any) { c.screen.put(c.out, messages.Line(e)) }

// ready prints that the functions accept deliveries, with the URLs and keys to use
// them.
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
	fmt.Fprintf(&b, "%s\n\n", c.paint.In(terminal.Bold, "geminihook runs its functions on this machine, as deployed"))
	row("page", strings.TrimSuffix(s.StaticURL, staticPath)+"/")
	row("static", s.StaticURL)
	for _, secret := range s.Secrets {
		row("  secret", secret)
	}
	row("dynamic", s.DynamicURL)
	row("  public keys", p.jwksURL)
	row("  JWT audience", s.Audience)
	row("reconcile", o.describePasses())
	row("Gemini API", s.GeminiURL+" (a stand-in)")
	row("  API key", s.GeminiAPIKey)
	p.describeProducts(row)
	fmt.Fprintf(&b, "\n%s\n\n", next(s))
	c.screen.put(c.out, b.String())
}

// describePasses describes when passes run, and when an event counts as missed.
func (o *Options) describePasses() string {
	when := "every " + o.ReconcileEvery.String() + " and"
	if o.ReconcileEvery == 0 {
		when = "only"
	}
	return fmt.Sprintf("%s by the page's button; an event counts as missed %s after its job ended", when, o.Grace)
}

func (p *parts) describeProducts(row func(name, value string)) {
	const embedded = "embedded stand-in, in memory only"
	if !p.official {
		row("Firestore", embedded)
		row("Secret Manager", embedded)
		row("Pub/Sub", embedded)
		return
	}
	row("Firestore", "official emulator at "+p.firestore)
	row("Secret Manager", embedded+"; there is no official emulator")
	row("Pub/Sub", "official emulator at "+p.pubsub)
}

// next returns the last part of ready's output: the next steps.
func next(s *running.Serve) string {
	return fmt.Sprintf(`Open the page to watch deliveries and to send samples. Or, in another terminal:

  %-40s sends one event of each type to both endpoints
  %-40s sends deliveries that must be accepted or rejected, and checks the answers

To use a Gemini SDK with this serve, set in its terminal:

  export GOOGLE_GEMINI_BASE_URL=%s GEMINI_API_KEY=%s
  export PUBSUB_EMULATOR_HOST=%s GOOGLE_CLOUD_PROJECT=%s

Published messages and the functions' logs are shown below. Press Ctrl-C to stop.`,
		terminal.Command("send"), terminal.Command("hostile"), s.GeminiURL, s.GeminiAPIKey, s.PubSub, s.Project)
}

// message prints a published message, counts it, and passes it to the page.
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

// byHand prints a command that starts another process of each function, for use with a
// debugger. The process uses this serve's Firestore, Pub/Sub and Secret Manager.
func (c *console) byHand(fs functions) {
	self, err := os.Executable()
	if err != nil {
		self = os.Args[0]
	}
	for i, f := range fs {
		var b strings.Builder
		fmt.Fprintf(&b, "%s is process %d. To start another one while serve runs, for example in a debugger:\n  env -i", f.name, f.instance.PID())
		for _, variable := range cloudrun.Environment(f.name, fmt.Sprint("127.0.0.1:", firstByHand+i), f.env) {
			b.WriteString(" " + quoted(variable))
		}
		c.screen.put(c.err, b.String()+" "+quoted(self)+"\n")
	}
}

// firstByHand is the port that byHand gives to the first function. The others get the
// ports after it.
const firstByHand = 8081

// quoted quotes a word for a POSIX shell.
func quoted(word string) string {
	return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
}

// ended prints the last lines of a function that ended by itself, and returns serve's
// error. serve does not restart the function, although Cloud Run would: a restart would
// hide the crash from a developer or from a script that uses serve.
func (c *console) ended(f *function) error {
	if last := f.output.end(); len(last) > 0 {
		c.note(fmt.Sprintf("%s ended by itself, after these lines:", f.name))
		for _, line := range last {
			c.screen.put(c.err, c.logLine(line))
		}
	}
	return fmt.Errorf("%s ended by itself: %s", f.name, f.instance.Status())
}

// note prints a note on standard error.
func (c *console) note(text string) {
	c.screen.put(c.err, c.logPaint.In(terminal.Yellow, text)+"\n")
}

// stopped prints the last line. With --json it goes to standard error, because standard
// output has only events.
func (c *console) stopped() {
	to := c.out
	if c.json {
		to = c.err
	}
	c.screen.put(to, fmt.Sprintf("stopped; deliveries in flight were finished; messages published: %d\n", c.published.Load()))
}
