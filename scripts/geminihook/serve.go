package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/geminihook/geminihook/scripts/geminihook/serve"
)

func newServe() *cobra.Command {
	var (
		o                       serve.Options
		secretFiles, tokenFiles []string
	)
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "serve",
		SuggestFor: []string{"run", "start", "server"},
		Short:      "Run the functions, as they are deployed, on this machine",
		Long: `Runs the functions, as they are deployed: two at /StaticWebhook and /DynamicWebhook,
and the reconciler, which only serve calls, in place of Cloud Scheduler. Each is a
process of its own, which warms up, drains and ends as in production. If one ends by
itself, serve ends with status 1. Firestore, Secret Manager and Pub/Sub are embedded
in serve's process, or, with --emulators, the official emulators if there are any.
State is in memory only. serve contacts no host except --jwks-url and ignores your
environment's settings. Ctrl-C finishes the deliveries in flight and ends it; a second
one ends it at once.

It also runs a stand-in for the Gemini API, at the same address, with an API key of its
own and a webhook for /StaticWebhook: point an SDK at it, start a batch, an interaction
or a video, and its event arrives. Nothing is computed, and nothing costs anything. If
the event's delivery gets lost, a pass of the reconciler publishes the event --grace
after the job's end. The names of interactions and videos must be published to the topic
geminihook-jobs for that: the API does not list them.

The root of its address is a page: deliveries live as they arrive, each check that one
went through, its record and its message, the jobs of the stand-in, and buttons that
send samples and start jobs. It is shown to this machine only, unless --addr is an
address that others reach.`,
		Example: `  geminihook serve                             then, beside it: geminihook send
  geminihook serve --addr 127.0.0.1:0          on a free port
  geminihook serve --static-secret-file new.txt --static-secret-file old.txt
                                               as during a rotation: both are in force
  geminihook serve --jwks-url https://…/.well-known/jwks.json
                                               behind a tunnel, for Google's deliveries
  geminihook serve --job-time 2m               then lose a delivery on the page, in time
  geminihook serve --json | jq .               JSON lines, logs on standard error`,
		Args: noArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			in := new(input)
			if o.Secrets, err = in.texts("--static-secret-file", secretFiles); err != nil {
				return err
			}
			if o.Tokens, err = in.texts("--url-token-file", tokenFiles); err != nil {
				return err
			}
			return serve.Run(cmd.Context(), o)
		},
	}
	flags := cmd.Flags()
	flags.StringArrayVar(&secretFiles, "static-secret-file", nil, "a `FILE` with a signing secret of static webhooks, whsec_…; - is standard input; may be repeated (default: a new secret)")
	flags.StringArrayVar(&tokenFiles, "url-token-file", nil, "a `FILE` with a token of the dynamic URL, 16 to 256 characters; - is standard input; may be repeated (default: a new token)")
	serveFlags(flags, &o)
	return cmd
}

// serveFlags defines the flags that are options of serve as they stand.
func serveFlags(flags *pflag.FlagSet, o *serve.Options) {
	flags.StringVar(&o.Addr, "addr", "127.0.0.1:8080", "listen on this `HOST:PORT`; port 0 is a free one")
	flags.StringVar(&o.JWKSURL, "jwks-url", "", "take the public keys of dynamic webhooks from this `URL` (default: keys of serve's own, which send signs with)")
	flags.StringArrayVar(&o.Audiences, "audience", nil, "an `AUDIENCE` accepted in tokens; may be repeated (default: the dynamic URL)")
	flags.BoolVar(&o.Emulators, "emulators", false, "use the official Firestore and Pub/Sub emulators: those that FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST name, else started")
	flags.DurationVar(&o.JobTime, "job-time", 10*time.Second, "a job that is started at the Gemini API here runs for this `DURATION`")
	flags.DurationVar(&o.ReconcileEvery, "reconcile-every", time.Minute, "the reconciler makes a pass each `DURATION` (deployed: 10m); 0 means only if the page asks for one")
	flags.DurationVar(&o.Grace, "grace", 30*time.Second, "an event counts as missed this `DURATION` after its job ended (deployed: 1h); at most 12h")
	flags.BoolVar(&o.PrintEnv, "print-env", false, "print on standard error how to start each function by hand, for a debugger")
	jsonFlag(flags, &o.JSON, "a ready event, then one for each message published and for each pass of the reconciler")
}
