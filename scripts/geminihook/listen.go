package main

import (
	"github.com/spf13/cobra"

	"github.com/geminihook/geminihook/scripts/geminihook/listen"
)

// newListen returns the listen command.
func newListen() *cobra.Command {
	var o listen.Options
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "listen",
		SuggestFor: []string{"pull", "subscribe", "tail"},
		Short:      "Print messages as they arrive on topics",
		Long: `Prints each message that arrives: a line with time, topic, type, id, source, size and
job, then a line with the body. Ctrl-C ends it.

With --topic, it creates a temporary subscription, so that no other subscriber misses a
message, and prints the messages that are published from now on. It deletes the
subscription at the end; if it cannot, Pub/Sub does so after a day without use.

With --subscription, it reads an existing subscription and acknowledges each message
that it prints: NO OTHER SUBSCRIBER GETS IT. With --peek it does not acknowledge them:
other subscribers get them when listen ends, and each counts as one delivery attempt.

--project is a project on Google Cloud. listen then needs application default
credentials (gcloud auth application-default login). Without --project, listen reads
the emulator in PUBSUB_EMULATOR_HOST if that is set, otherwise the serve that runs on
this machine. There it reads all topics unless you name some with --topic.`,
		Example: `  geminihook listen                                 all topics of the running serve
  geminihook listen --filter 'attributes.ce-type = "batch.failed"'
  geminihook listen --project my-project --topic my-batches --topic my-others
  geminihook listen --project my-project --subscription my-worker --peek
  geminihook listen --json | jq -r 'select(.data).data | @base64d'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.Subscription != "" && (len(o.Topics) > 0 || o.Filter != ""):
				return usagef("--subscription excludes --topic and --filter: a subscription already has a topic and a filter")
			case o.Peek && o.Subscription == "":
				return usagef("--peek needs --subscription: with --topic, other subscribers lose no message anyway")
			}
			return listen.Run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.Topics, "topic", nil, "print messages of this topic, an `ID` or a full name; may be repeated")
	flags.StringVar(&o.Subscription, "subscription", "", "read this subscription, an `ID` or a full name, and acknowledge each message that is printed")
	flags.StringVar(&o.Project, "project", "", "the `ID` of the project, on Google Cloud or on the emulator")
	flags.StringVar(&o.Filter, "filter", "", "print only messages that match this Pub/Sub `FILTER`; not with --subscription; the official emulator ignores filters")
	flags.BoolVar(&o.Peek, "peek", false, "with --subscription: do not acknowledge messages")
	jsonFlag(flags, &o.JSON, "a ready event, then one for each message")
	return cmd
}
