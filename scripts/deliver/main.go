// Command deliver is the sender's side: it signs events as Gemini does and posts
// them, once, many times, or until they are taken. With -hostile it sends what
// must be refused, and says what each answer should have been. With -explain it
// says why a request that somebody captured is refused.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/geminihook/geminihook/scripts/internal/command"
)

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, release) // a second signal ends the process at once
	os.Exit(command.Status(os.Stderr, "deliver", run(ctx, os.Args[1:])))
}

func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	if o.explain != "" {
		return explainCapture(ctx, o)
	}
	t, err := o.target(ctx)
	if err != nil {
		return err
	}
	if o.hostile {
		return beHostile(ctx, o, t)
	}
	return deliver(ctx, o, t)
}
