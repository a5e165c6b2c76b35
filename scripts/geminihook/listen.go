package main

import (
	"github.com/spf13/cobra"

	"github.com/geminihook/geminihook/scripts/geminihook/listen"
)

func newListen() *cobra.Command {
	var o listen.Options
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "listen",
		SuggestFor: []string{"pull", "subscribe", "tail"},
		Short:      "Print the messages that reach topics",
		Long: `Prints messages as they arrive: a line with time, topic, type, id, source, size and
job, then the body. Ctrl-C ends it.

With --topic it makes a subscription of its own, so that no other subscriber misses a
message, and deletes it when it ends; if it cannot, Pub/Sub does after a day without
use. It sees messages that are published from then on. With --subscription it reads one
that exists and acknowledges what it prints: NO OTHER SUBSCRIBER GETS IT. --peek
acknowledges nothing; messages are then held while it runs, each counts as a delivery
attempt of the subscription, and they are handed back when it ends.

--project names a project on Google Cloud, for which application default credentials
are used (gcloud auth application-default login). Without it, listen reads the emulator
that PUBSUB_EMULATOR_HOST names, else the serve that runs on this machine; of those, all
topics, unless --topic names some.`,
		Example: `  geminihook listen                                 all that the running serve publishes
  geminihook listen --filter 'attributes.ce-type = "batch.failed"'
  geminihook listen --project my-project --topic my-batches --topic my-others
  geminihook listen --project my-project --subscription my-worker --peek
  geminihook listen --json | jq -r 'select(.data).data | @base64d'`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			switch {
			case o.Subscription != "" && (len(o.Topics) > 0 || o.Filter != ""):
				return usagef("--subscription has its topic and its filter: neither --topic nor --filter goes with it")
			case o.Peek && o.Subscription == "":
				return usagef("--peek is for --subscription: a subscription of its own takes nothing from others")
			}
			return listen.Run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&o.Topics, "topic", nil, "listen to this topic, an `ID` or a full name; may be repeated")
	flags.StringVar(&o.Subscription, "subscription", "", "read this subscription, an `ID` or a full name, and acknowledge what is printed")
	flags.StringVar(&o.Project, "project", "", "the project's `ID` on Google Cloud (on an emulator: the project there)")
	flags.StringVar(&o.Filter, "filter", "", "with --topic: only messages that this `FILTER` of Pub/Sub lets through; the official emulator ignores filters")
	flags.BoolVar(&o.Peek, "peek", false, "with --subscription: acknowledge nothing")
	jsonFlag(flags, &o.JSON, "a ready event, then one for each message")
	return cmd
}
