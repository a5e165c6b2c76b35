// Command listen prints the messages that reach topics, or that a subscription has,
// as they arrive: on the running serve, on an emulator, or on Google Cloud.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/geminihook/geminihook/scripts/internal/command"
)

const usage = `Usage: go run ./scripts/listen [-topic ID]... [flags]
       go run ./scripts/listen -subscription NAME [-peek] [flags]

Prints messages as they arrive: a line with time, topic, type, id, source, size and
job, then the body. Ctrl-C ends it.

With -topic it makes a subscription of its own, so that nobody else misses a message.
It deletes it when it ends; where it cannot, Pub/Sub does, after a day without use.
It sees what is published from then on. With -subscription it reads one that exists
and acknowledges what it prints: NO OTHER SUBSCRIBER GETS IT. -peek acknowledges
nothing; messages are then held while it runs, each counts as a delivery attempt of
the subscription, and they are handed back when it ends.

Where: -project names a project on Google Cloud, for which application default
credentials are used (gcloud auth application-default login). Else it is the emulator
that PUBSUB_EMULATOR_HOST names, else the serve that runs on this machine, of which
all topics are listened to unless -topic says which.

Examples:
  go run ./scripts/listen                                 all that the running serve publishes
  go run ./scripts/listen -topic geminihook-batch -filter 'attributes.ce-type = "batch.failed"'
  go run ./scripts/listen -project my-project -topic geminihook-batch -topic geminihook-other
  go run ./scripts/listen -project my-project -subscription my-worker -peek
  go run ./scripts/listen -json | jq -r 'select(.data).data | @base64d'
`

type options struct {
	topics       []string
	subscription string
	project      string
	filter       string
	peek         bool
	json         bool
}

// parse returns what args ask for, checked.
func parse(args []string) (*options, error) {
	o := new(options)
	flags := flag.NewFlagSet("listen", flag.ContinueOnError)
	flags.Func("topic", "listen to this topic, an `ID` or a full name; may be repeated", func(value string) error {
		o.topics = append(o.topics, value)
		return nil
	})
	flags.StringVar(&o.subscription, "subscription", "", "read this subscription, a `NAME` or a full name, and acknowledge what is printed")
	flags.StringVar(&o.project, "project", "", "of this `PROJECT` on Google Cloud (on an emulator: the project there)")
	flags.StringVar(&o.filter, "filter", "", "with -topic: only messages that this `FILTER` of Pub/Sub lets through; the official emulator ignores filters")
	flags.BoolVar(&o.peek, "peek", false, "with -subscription: acknowledge nothing")
	flags.BoolVar(&o.json, "json", false, "write JSON lines: a ready event, then one for each message")
	if err := command.Parse(flags, usage, args, os.Stdout); err != nil {
		return nil, err
	}
	switch {
	case o.subscription != "" && (len(o.topics) > 0 || o.filter != ""):
		return nil, errors.New("-subscription has its topic and its filter: neither -topic nor -filter goes with it")
	case o.peek && o.subscription == "":
		return nil, errors.New("-peek is for -subscription: one of its own takes nothing from anybody")
	}
	return o, nil
}

func main() {
	ctx, release := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, release) // a second signal ends the process at once
	os.Exit(command.Status(os.Stderr, "listen", run(ctx, os.Args[1:])))
}

// run listens until ctx is done, which is no error, or a subscription fails.
func run(ctx context.Context, args []string) error {
	o, err := parse(args)
	if err != nil {
		return err
	}
	p, err := o.open(ctx)
	if err != nil {
		return err
	}
	defer p.close()
	sources, err := p.sources(ctx, o)
	defer p.finish(sources)
	if err != nil {
		return ended(ctx, err)
	}
	c := newConsole(o)
	c.ready(p, sources)

	reading, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var readers sync.WaitGroup
	for _, s := range sources {
		readers.Go(func() { stop(s.read(reading, p, c)) })
	}
	readers.Wait()
	return ended(ctx, context.Cause(reading))
}

// ended is err, unless it was asked for.
func ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return fmt.Errorf("Pub/Sub: %w", err)
}
