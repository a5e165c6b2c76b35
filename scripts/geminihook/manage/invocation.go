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

// Options are the settings of an invocation that are not about the deployment.
type Options struct {
	Terraform    string        // the folder whose outputs are read
	APIKeySecret string        // the name of the secret that holds the Gemini API key; empty: GEMINI_API_KEY
	ID           string        // of the webhook; empty: the one for the static function's URL
	Events       []string      // to subscribe to
	Rotate       bool          // make a new URL token
	Finish       bool          // disable old versions, if their time is over; not with Rotate or Immediately
	Immediately  bool          // disable old versions now
	Yes          bool          // really delete
	Wait         time.Duration // for a ping, or the event of a job
	Job          bool          // start a job, in place of the checks
	Model        string        // of the job
	Limit        int           // of what is moved
	DryRun       bool          // change nothing, and say what would be done
	JSON         bool          // write JSON lines on standard output
	Serve        bool          // of the serve on this machine, in place of a deployment
}

// An Invocation is one run of a management command.
type Invocation struct {
	*App
	Options
	Values Values
}

// Run takes from Terraform's outputs those of the needed values that are not given,
// and does what do does. If that fails and something is left to do, it writes so and
// returns terminal.ErrReported.
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

// say writes a line about something that was done: a word, and the details.
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

// line writes a JSON line.
func (inv *Invocation) line(value any) {
	_, _ = io.WriteString(inv.Out, messages.Line(value))
}
