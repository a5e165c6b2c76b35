// Package manage implements the commands for a deployment. It manages the project's
// webhook in the Gemini API and the secrets that the functions read: it registers the
// webhook, rotates its signing secret, creates URL tokens, and stores the reconciler's
// API key. It also checks a deployment, runs the reconciler once, and moves dead
// letters back.
package manage

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"google.golang.org/api/option"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

// An App is the environment of a command: its output, the time, and access to the APIs.
// Commands that run concurrently need an App each.
type App struct {
	Out, Err io.Writer                                  // results, and everything else
	Paint    terminal.Paint                             // for Out
	Now      func() time.Time                           // the current time
	Pause    func(context.Context, time.Duration) error // waits; fails if the context ends first

	GeminiURL string                // base URL of the Gemini API
	Google    []option.ClientOption // for the REST clients of Google Cloud
}

// System returns the App of this process. It writes to standard output and standard
// error and uses the real Gemini API and Google Cloud.
func System() *App {
	return &App{
		Out:       os.Stdout,
		Err:       os.Stderr,
		Paint:     terminal.PaintFor(os.Stdout),
		Now:       time.Now,
		Pause:     pause,
		GeminiURL: geminiURL,
	}
}

// when returns a time, and its distance from now, rounded to minutes.
func (a *App) when(at time.Time) string {
	return fmt.Sprintf("%s (in %s)", at.Local().Format("2006-01-02 15:04 MST"), at.Sub(a.Now()).Round(time.Minute))
}

// pause waits for d. It fails if ctx is done first.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A failure is an error with the state that it leaves behind and the next step.
type failure struct {
	err   error  // the cause
	state string // the resulting state, for example "nothing was changed"; may be empty
	next  string // the next command or action for the user
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// write writes the failure for people: a line for the error, the state and the next
// step.
func (f *failure) write(w io.Writer) {
	fmt.Fprintf(w, "%s: %v\n", terminal.Name, f.err)
	if f.state != "" {
		fmt.Fprintf(w, "  state:  %s\n", f.state)
	}
	fmt.Fprintf(w, "  next:   %s\n", f.next)
}
