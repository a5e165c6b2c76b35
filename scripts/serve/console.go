package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"path"
	"strings"
	"sync/atomic"
	"time"
	"unicode"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/scripts/internal/command"
	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/scripts/serve/before"
	"github.com/geminihook/geminihook/scripts/serve/inspector"
)

// maxShown is how much of a body is shown, in bytes, where it names no job. The page
// shows all of it.
const maxShown = 120

// A console shows what happens: on standard output what was asked for, the rest on
// standard error. It may be used concurrently.
type console struct {
	screen   *screen
	out, err io.Writer
	json     bool
	paint    command.Paint // on out
	logPaint command.Paint // on err

	deliveries *inspector.Deliveries // what the page shows

	published atomic.Int64
}

func newConsole(json bool) *console {
	return &console{
		screen:   newScreen(),
		out:      before.Stdout,
		err:      before.Stderr,
		json:     json,
		paint:    command.PaintFor(before.Stdout),
		logPaint: command.PaintFor(before.Stderr),

		deliveries: inspector.NewDeliveries(),
	}
}

// The events of -json, a line each.
type (
	ready struct {
		Event         string   `json:"event"`
		StaticURL     string   `json:"static_url"`
		DynamicURL    string   `json:"dynamic_url"` // with its token
		StaticSecrets []string `json:"static_secrets"`
		JWKSURL       string   `json:"jwks_url"`
		Audience      string   `json:"audience"`
	}
	published struct {
		Event      string            `json:"event"`
		Topic      string            `json:"topic"` // in full: projects/P/topics/T
		Attributes map[string]string `json:"attributes"`
		Data       []byte            `json:"data"` // in base64
	}
)

// event shows a JSON line.
func (c *console) event(e any) {
	var line strings.Builder
	enc := json.NewEncoder(&line)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(e); err != nil {
		panic(err) // events are texts and bytes
	}
	c.screen.put(c.out, line.String())
}

// ready says that the functions serve, and all that it takes to use them.
func (c *console) ready(s *running.Serve, p *parts) {
	if c.json {
		c.event(ready{"ready", s.StaticURL, s.DynamicURL, s.Secrets, p.jwksURL, s.Audience})
		return
	}
	var b strings.Builder
	row := func(name, value string) {
		fmt.Fprintf(&b, "  %-15s %s\n", name, value)
	}
	fmt.Fprintf(&b, "%s\n\n", c.paint.In(command.Bold, "geminihook serves both functions, as deployed, on this machine"))
	row("page", strings.TrimSuffix(s.StaticURL, staticPath)+"/")
	row("static", s.StaticURL)
	for _, secret := range s.Secrets {
		row("  secret", secret)
	}
	row("dynamic", s.DynamicURL)
	row("  public keys", p.jwksURL)
	row("  JWT audience", s.Audience)
	p.describeProducts(row)
	fmt.Fprintf(&b, "\n%s\n\n", next)
	c.screen.put(c.out, b.String())
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

const next = `Open the page to watch deliveries and to send samples. Or, in another terminal:

  go run ./scripts/deliver             one event of each type, to both endpoints
  go run ./scripts/deliver -hostile    everything that must be refused, and why

Every message that reaches a topic is shown below. Ctrl-C ends it.`

// message shows a message that reached a topic.
func (c *console) message(topic string, m *pubsubpb.PubsubMessage) {
	c.published.Add(1)
	c.deliveries.Published(topic, m)
	if c.json {
		c.event(published{"published", topic, m.Attributes, m.Data})
		return
	}
	a := m.Attributes
	head := line{
		time:   m.PublishTime.AsTime(),
		what:   c.paint.In(command.Cyan, pad(path.Base(topic), whatWidth)),
		about:  a["ce-type"],
		id:     a["ce-id"],
		where:  strings.TrimPrefix(a["ce-source"], sourcePrefix),
		amount: fmt.Sprintf("%d B", len(m.Data)),
		rest:   cmp.Or(a["ce-subject"], shown(m.Data)),
	}
	c.screen.put(c.out, head.String()+"\n")
}

// note says something on standard error.
func (c *console) note(text string) {
	c.screen.put(c.err, c.logPaint.In(command.Yellow, text)+"\n")
}

// stopped is the last line. With -json standard output has events only.
func (c *console) stopped() {
	to := c.out
	if c.json {
		to = c.err
	}
	c.screen.put(to, fmt.Sprintf("stopped; deliveries in flight were finished; messages published: %d\n", c.published.Load()))
}

// sourcePrefix is what every ce-source begins with, and needs no showing.
const sourcePrefix = "//generativelanguage.googleapis.com/webhooks/"

// A line is a message or a delivery, in columns.
type line struct {
	time   time.Time
	what   string // padded to whatWidth, perhaps coloured
	about  string
	id     string
	where  string
	amount string
	rest   string
}

const (
	whatWidth = 18
	indent    = "              " // as wide as the time
)

func (l line) String() string {
	text := fmt.Sprintf("%s  %s  %s  %s  %s %9s  %s", clock(l.time), l.what,
		pad(l.about, 27), pad(l.id, 40), pad(l.where, 11), l.amount, printable(l.rest))
	return strings.TrimRight(text, " ")
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

// pad makes text exactly width characters wide: what is absent is a dash, and what
// is longer is cut.
func pad(text string, width int) string {
	if text == "" {
		text = "-"
	}
	chars := []rune(printable(text))
	if len(chars) > width {
		return string(chars[:width-1]) + "…"
	}
	return string(chars) + strings.Repeat(" ", width-len(chars))
}

// shown is a body on one line, cut.
func shown(body []byte) string {
	var compact bytes.Buffer
	if json.Compact(&compact, body) == nil {
		body = compact.Bytes()
	}
	if len(body) <= maxShown {
		return printable(string(body))
	}
	return fmt.Sprintf("%s … %d bytes more", printable(string(body[:maxShown])), len(body)-maxShown)
}

// printable keeps a terminal from obeying what a delivery says.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '·'
	}, text)
}
