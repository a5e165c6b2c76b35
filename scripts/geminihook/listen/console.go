package listen

import (
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"sync"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/scripts/internal/messages"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

// A console writes messages, and with --json the ready event, to standard output.
// Without --json it writes the ready line to standard error. It is safe for concurrent
// use.
type console struct {
	json  bool
	paint terminal.Paint

	mu sync.Mutex
}

func newConsole(json bool) *console {
	return &console{json: json, paint: terminal.PaintFor(os.Stdout)}
}

// ready reports the topics or the subscription that are listened to. Every message that
// is published from now on is shown.
func (c *console) ready(p *place, sources []*source) {
	var names, subs []string
	for _, s := range sources {
		names, subs = append(names, path.Base(s.name)), append(subs, s.sub)
	}
	if c.json {
		c.write(os.Stdout, messages.Line(struct {
			Event         string   `json:"event"`
			Subscriptions []string `json:"subscriptions"`
		}{"ready", subs}))
		return
	}
	how := "acknowledging each message"
	switch {
	case sources[0].ours:
		how = "with temporary subscriptions"
	case sources[0].peek:
		how = "acknowledging no message"
	}
	c.write(os.Stderr, terminal.PaintFor(os.Stderr).In(terminal.Yellow, fmt.Sprintf("listening to %s, %s, %s; Ctrl-C ends it", strings.Join(names, ", "), p.name, how))+"\n")
}

// message shows a message of a topic or subscription, by its full name.
func (c *console) message(from string, m *pubsubpb.PubsubMessage) {
	if c.json {
		c.write(os.Stdout, messages.JSON(from, m))
		return
	}
	c.write(os.Stdout, messages.Text(c.paint, from, m))
}

func (c *console) write(to io.Writer, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, _ = io.WriteString(to, text)
}
