// Command webhooks looks after the project's webhook at the Gemini API and the
// secrets that the functions read: it registers the webhook and stores its signing
// secret, rotates it, makes the URL for single requests, waits for a ping to arrive,
// and checks the whole way.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/api/option"

	"github.com/geminihook/geminihook/scripts/internal/command"
)

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // a second signal ends the process at once
	t := &terminal{
		out:       os.Stdout,
		err:       os.Stderr,
		paint:     command.PaintFor(os.Stdout),
		now:       time.Now,
		pause:     pause,
		geminiURL: geminiURL,
	}
	os.Exit(t.main(ctx, os.Args[1:]))
}

// A terminal is where a command runs: where it writes, the time, and how it reaches
// what it manages.
type terminal struct {
	out, err io.Writer // what was asked for, and the rest
	paint    command.Paint
	now      func() time.Time
	pause    func(context.Context, time.Duration) error

	geminiURL string
	google    []option.ClientOption // of the clients for Google Cloud but Secret Manager
}

// main runs a command and returns its exit status.
func (t *terminal) main(ctx context.Context, args []string) int {
	err := t.run(ctx, args)
	var f *failure
	if errors.As(err, &f) {
		f.write(t.err)
		err = command.ErrSilent
	}
	return command.Status(t.err, "webhooks", err)
}

// say writes a line about what was done: a word, and what it is about.
func (t *terminal) say(word, format string, args ...any) {
	fmt.Fprintf(t.out, "%-11s %s\n", word, fmt.Sprintf(format, args...))
}

// when says a time, and how far off it is.
func (t *terminal) when(at time.Time) string {
	return fmt.Sprintf("%s (in %s)", at.Local().Format("2006-01-02 15:04 MST"), at.Sub(t.now()).Round(time.Minute))
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
	fmt.Fprintf(w, "webhooks: %v\n", f.err)
	if f.state != "" {
		fmt.Fprintf(w, "  state:  %s\n", f.state)
	}
	fmt.Fprintf(w, "  next:   %s\n", f.next)
}

// typed is how a subcommand is typed, in advice.
func typed(arguments string) string { return "go run ./scripts/webhooks " + arguments }
