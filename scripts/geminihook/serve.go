package main

import (
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/geminihook/geminihook/scripts/geminihook/serve"
)

// newServe returns the serve command.
func newServe() *cobra.Command {
	var (
		o                       serve.Options
		secretFiles, tokenFiles []string
	)
	cmd := &cobra.Command{
		GroupID:    groupLocal,
		Use:        "serve",
		SuggestFor: []string{"run", "start", "server"},
		Short:      "Run the functions on this machine, as they are deployed",
		Long: `Runs the functions as they are deployed: two at /StaticWebhook and /DynamicWebhook, and
the reconciler, which serve itself calls instead of Cloud Scheduler. Each function is a
separate process that warms up, drains and ends as in production. If one ends by itself,
serve exits with 1. Ctrl-C finishes the deliveries in flight and ends serve; a second
Ctrl-C ends it at once.

Firestore, Secret Manager and Pub/Sub are embedded in serve's process. With --emulators,
the official emulators replace Firestore and Pub/Sub. State is in memory only. serve
contacts no host except --jwks-url and ignores your environment's settings.

serve also runs a stand-in for the Gemini API at the same address, with its own API key
and a webhook for /StaticWebhook. Point an SDK at it and start a batch, an interaction
or a video: its event arrives. No model runs, and nothing is billed. If the delivery of
an event is lost, the reconciler publishes the event; --grace sets how long after the
job's end. For interactions and videos, publish the job's name to the topic
geminihook-jobs, because the API does not list them.

The root of its address is a page that shows each delivery as it arrives, with its
checks, its record and its message, and the jobs of the stand-in. It has buttons that
send samples and start jobs. Only this machine can open it, unless --addr is an address
that other machines can reach.`,
		Example: `  geminihook serve                             then geminihook send, in another shell
  geminihook serve --addr 127.0.0.1:0          on a free port
  geminihook serve --static-secret-file new.txt --static-secret-file old.txt
                                               both are accepted, as during a rotation
  geminihook serve --jwks-url https://…/.well-known/jwks.json
                                               for Google's deliveries, through a tunnel
  geminihook serve --job-time 2m               time to make the page lose a delivery
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
	flags.StringArrayVar(&secretFiles, "static-secret-file", nil, "a `FILE` with a signing secret (whsec_…) of the static endpoint; - is standard input; may be repeated (default: a new secret)")
	flags.StringArrayVar(&tokenFiles, "url-token-file", nil, "a `FILE` with a URL token of the dynamic endpoint, 16 to 256 characters; - is standard input; may be repeated (default: a new token)")
	serveFlags(flags, &o)
	return cmd
}

// serveFlags defines the flags that set fields of serve.Options.
func serveFlags(flags *pflag.FlagSet, o *serve.Options) {
	flags.StringVar(&o.Addr, "addr", "127.0.0.1:8080", "listen on this `HOST:PORT`; port 0 picks a free port")
	flags.StringVar(&o.JWKSURL, "jwks-url", "", "fetch the public keys for dynamic webhooks from this `URL` (default: serve's own keys, which send signs with)")
	flags.StringArrayVar(&o.Audiences, "audience", nil, "an `AUDIENCE` accepted in JWTs; may be repeated (default: the dynamic URL)")
	flags.BoolVar(&o.Emulators, "emulators", false, "use the official Firestore and Pub/Sub emulators: those at FIRESTORE_EMULATOR_HOST and PUBSUB_EMULATOR_HOST, or if unset, new ones")
	flags.DurationVar(&o.JobTime, "job-time", 10*time.Second, "a job of the stand-in Gemini API runs for this `DURATION`")
	flags.DurationVar(&o.ReconcileEvery, "reconcile-every", time.Minute, "run the reconciler every `DURATION` (deployed: 10m); 0 means only on request from the page")
	flags.DurationVar(&o.Grace, "grace", 30*time.Second, "an event is missed if it was not delivered within this `DURATION` after its job ended (deployed: 1h); at most 12h")
	flags.BoolVar(&o.PrintEnv, "print-env", false, "print to standard error how to start each function by hand, for a debugger")
	jsonFlag(flags, &o.JSON, "a ready event, then one for each message published and for each pass of the reconciler")
}
