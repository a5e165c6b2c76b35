package manage

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/geminihook/geminihook/scripts/internal/messages"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

// Options are the settings of an invocation, apart from the deployment's values.
type Options struct {
	Terraform    string        // the folder whose Terraform outputs are read
	APIKeySecret string        // the name of the secret with the Gemini API key; empty means the variable GEMINI_API_KEY
	ID           string        // the webhook's id; empty means the webhook for the static function's URL
	Events       []string      // the events to subscribe to
	Rotate       bool          // create a new URL token
	Finish       bool          // disable old versions if they are no longer in use; not with Rotate or Immediately
	Immediately  bool          // disable old versions now
	Yes          bool          // delete the webhook; if false, only show it
	Wait         time.Duration // how long to wait for a ping or a job's event
	Job          bool          // start a job instead of making the checks
	Model        string        // the job's model
	Limit        int           // the largest number of messages to move
	DryRun       bool          // change nothing, and report what would be done
	JSON         bool          // write JSON lines to standard output
	Serve        bool          // use the serve on this machine instead of a deployment
}

// An Invocation is one run of a management command. Use it once.
type Invocation struct {
	*App
	Options
	Values Values // the deployment's values; Run adds the missing ones
}

// Run adds the needed values that are missing from Terraform's outputs, and calls do.
// If do returns a failure with a next step, Run writes it to Err and returns
// terminal.ErrReported.
func (inv *Invocation) Run(ctx context.Context, needed []string, do func(*Invocation, context.Context) error) error {
	var err error
	if inv.Serve {
		err = inv.useServe(ctx)
	}
	if err == nil {
		err = inv.Values.complete(ctx, needed, inv.Terraform)
	}
	if err == nil {
		err = do(inv, ctx)
	}
	var f *failure
	if errors.As(err, &f) {
		f.write(inv.Err)
		return terminal.ErrReported
	}
	return err
}

// say writes a line about a result: a keyword and the details. With JSON, it is an
// object with event and text.
func (inv *Invocation) say(word, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if inv.JSON {
		inv.line(struct {
			Event string `json:"event"`
			Text  string `json:"text"`
		}{word, text})
		return
	}
	fmt.Fprintf(inv.Out, "%-11s %s\n", word, text)
}

// line writes a value as a line of JSON.
func (inv *Invocation) line(value any) {
	_, _ = io.WriteString(inv.Out, messages.Line(value))
}
