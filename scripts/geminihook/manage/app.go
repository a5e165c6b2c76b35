// Package manage manages the project's webhook in the Gemini API, and the secrets that
// the functions read: it registers the webhook and stores its signing secret, rotates
// it, makes the URL for single requests, waits for a ping to arrive, and checks the
// whole way.
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

// An App is where a command runs: where it writes, the time, and how it reaches
// the APIs.
type App struct {
	Out, Err io.Writer // results, and the rest
	Paint    terminal.Paint
	Now      func() time.Time
	Pause    func(context.Context, time.Duration) error

	GeminiURL string
	Google    []option.ClientOption // of the clients for Google Cloud but Secret Manager
}

// System returns the app of this process.
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

// when says a time, and how far off it is.
func (a *App) when(at time.Time) string {
	return fmt.Sprintf("%s (in %s)", at.Local().Format("2006-01-02 15:04 MST"), at.Sub(a.Now()).Round(time.Minute))
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A failure is an error that leaves something behind, or needs something done.
type failure struct {
	err   error  // what happened
	state string // how things are now; may be empty
	next  string // what to type, or to do, next
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func (f *failure) write(w io.Writer) {
	fmt.Fprintf(w, "%s: %v\n", terminal.Name, f.err)
	if f.state != "" {
		fmt.Fprintf(w, "  state:  %s\n", f.state)
	}
	fmt.Fprintf(w, "  next:   %s\n", f.next)
}
