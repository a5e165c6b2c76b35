package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/geminihook/geminihook/scripts/geminihook/manage"
	"github.com/geminihook/geminihook/scripts/geminihook/redrive"
	"github.com/geminihook/geminihook/shared/refresh"
)

// A managementCommand is a command for a deployment: its help, its inputs, and the
// function that runs it.
type managementCommand struct {
	cobra.Command
	outputs []string                              // the Terraform outputs that it needs; each is a flag, too
	gemini  bool                                  // it calls the Gemini API and needs its key
	serve   bool                                  // it can also run against the stand-ins of a serve
	flags   func(*cobra.Command, *manage.Options) // defines its own flags; may be nil
	check   func(*pflag.FlagSet) error            // rejects wrong combinations of flags; may be nil
	run     func(*manage.Invocation, context.Context) error
}

// newManage returns the commands for a deployment, which run in app.
func newManage(app *manage.App) (all []*cobra.Command) {
	for _, m := range managementCommands() {
		all = append(all, m.command(app))
	}
	return all
}

// command returns the Cobra command of m, which runs in app.
func (m *managementCommand) command(app *manage.App) *cobra.Command {
	inv := &manage.Invocation{App: app, Values: manage.Values{}}
	cmd := &m.Command
	cmd.GroupID = groupDeployed
	cmd.Args = noArgs
	cmd.Long += deploymentHelp
	if m.gemini {
		cmd.Long += keyHelp
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if m.check != nil {
			if err := m.check(cmd.Flags()); err != nil {
				return err
			}
		}
		return inv.Run(cmd.Context(), m.outputs, m.run)
	}
	flags := cmd.Flags()
	flags.SortFlags = false
	if m.flags != nil {
		m.flags(cmd, &inv.Options)
	}
	jsonFlag(flags, &inv.JSON, "one per result")
	if m.gemini {
		flags.StringVar(&inv.APIKeySecret, "api-key-secret-name", "", "take the Gemini API key from the secret with this `NAME` (default: from the environment variable GEMINI_API_KEY)")
	}
	if m.serve {
		flags.BoolVar(&inv.Serve, "serve", false, "use the serve that runs on this machine instead of a deployment and the real Gemini API")
	}
	flags.StringVar(&inv.Terraform, "terraform", "terraform", "read the Terraform outputs of this `FOLDER`")
	for _, name := range m.outputs {
		output := manage.Outputs[name]
		flags.Func(output.Flag, output.Usage+" (default: Terraform's output "+name+")", func(text string) error {
			inv.Values.Set(name, text)
			return nil
		})
	}
	return cmd
}

// deploymentHelp is appended to the help of each command.
const deploymentHelp = `

The command reads the deployment's values from Terraform's outputs; a flag overrides
each of them. For Google Cloud it uses application default credentials (gcloud auth
application-default login).`

// keyHelp is appended to the help of commands that call the Gemini API.
const keyHelp = ` It takes the Gemini API key from the environment variable
GEMINI_API_KEY, or with --api-key-secret-name from Secret Manager.`

// managementCommands returns the commands in the order of the help.
func managementCommands() []*managementCommand {
	return []*managementCommand{register(), rotate(), dynamicURL(), list(), ping(), enable(), remove(), storeAPIKey(), reconcile(), moveDeadLetters(), doctor()}
}

// idFlag defines --id.
func idFlag(cmd *cobra.Command, o *manage.Options) {
	cmd.Flags().StringVar(&o.ID, "id", "", "use the webhook with this `ID` (default: the webhook for the static function's URL)")
}

func register() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:        "register",
			SuggestFor: []string{"create", "add"},
			Short:      "Create the webhook, and store its signing secret",
			Long: `Creates a webhook for the static function's URL. The API shows its signing secret once:
register stores it as a new version of the secret in Secret Manager, reads it back, and
never prints it. If it cannot be stored, register deletes the webhook again.

You can run it again. If the webhook exists and its signing secret is stored, register
changes nothing. If the signing secret is not stored, for example because an earlier run
was interrupted, register makes the API create a new one and stores that. Do not share
one secret in Secret Manager between several webhooks.`,
			Example: `  geminihook register
  geminihook register --event batch.succeeded --event batch.failed
  geminihook register --api-key-secret-name gemini-api-key`,
		},
		outputs: []string{"project", "static_url", "signing_secret_name"},
		gemini:  true,
		serve:   true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().StringArrayVar(&o.Events, "event", manage.Subscribable, "subscribe to this `EVENT` only; may be repeated")
			complete(cmd, "event", manage.Subscribable)
		},
		run: (*manage.Invocation).Register,
	}
}

func rotate() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:   "rotate",
			Short: "Give the webhook a new signing secret",
			Long: `Makes the API create a new signing secret, and stores it as a new version in Secret
Manager. For 24 hours the API signs with both secrets, and the functions accept all
enabled versions, so no delivery is lost and no redeploy is needed. After the 24 hours,
rotate --finish disables the old version; before that, it fails.

If a secret has leaked, use --immediately: the API revokes the old secret, and its
versions are disabled now. Running instances accept it for up to ` + refresh.TTL.String() + ` more. Deliveries
in flight may be rejected; Gemini retries them.`,
			Example: `  geminihook rotate
  geminihook rotate --finish
  geminihook rotate --immediately`,
		},
		outputs: []string{"project", "static_url", "signing_secret_name"},
		gemini:  true,
		serve:   true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().BoolVar(&o.Finish, "finish", false, "disable the old versions; fails during the 24 hours after a rotation")
			cmd.Flags().BoolVar(&o.Immediately, "immediately", false, "revoke and disable the old versions now")
			idFlag(cmd, o)
		},
		check: func(flags *pflag.FlagSet) error { return exclusive(flags, "finish", "immediately") },
		run:   (*manage.Invocation).Rotate,
	}
}

func dynamicURL() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:   "dynamic-url",
			Short: "Print the URL for webhook_config.uris, including the URL token",
			Long: `Prints the dynamic function's URL with its URL token, for webhook_config.uris in the
call that starts a job. If there is no token yet, it creates one. The URL is a secret:
anyone who knows it can make Google deliver genuine events about their own jobs to it.
Standard output contains only the URL.

--rotate creates a new token. The old one is still accepted, because jobs were started
with it: a batch can take 48 hours, and Gemini retries its event for another 24. After
that, --finish disables the old token. If a token has leaked, --immediately disables it
now; events of jobs that were started with it are then rejected.`,
			Example: `  geminihook dynamic-url
  GEMINI_WEBHOOK_URL=$(geminihook dynamic-url)
  geminihook dynamic-url --rotate
  geminihook dynamic-url --finish
  geminihook dynamic-url --rotate --immediately`,
		},
		outputs: []string{"project", "dynamic_url", "url_token_secret_name", "url_token_required"},
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().BoolVar(&o.Rotate, "rotate", false, "create a new URL token")
			cmd.Flags().BoolVar(&o.Finish, "finish", false, "disable the old URL tokens; fails while running jobs may use them")
			cmd.Flags().BoolVar(&o.Immediately, "immediately", false, "disable the old URL tokens now")
		},
		check: func(flags *pflag.FlagSet) error {
			if flags.Changed("finish") && flags.Changed("rotate") {
				return usagef("--finish and --rotate exclude each other: right after a rotation, running jobs still use the old token")
			}
			return nil
		},
		run: (*manage.Invocation).DynamicURL,
	}
}

func list() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:        "list",
			SuggestFor: []string{"ls", "show"},
			Short:      "Show all webhooks of the API key's project",
			Long: `Shows the webhooks of the project that the API key belongs to: id, state, URL, events,
and after a rotation, until when the old signing secret is used. * marks the webhook for
the static function's URL.`,
			Example: `  geminihook list`,
		},
		outputs: []string{"project", "static_url"},
		gemini:  true,
		serve:   true,
		run:     (*manage.Invocation).List,
	}
}

func ping() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:   "ping",
			Short: "Make Gemini send a test event, and wait until it has arrived",
			Long: `Makes the API send a test event (a ping), and waits until the static function's log
shows an accepted delivery. The API's own answer is no proof: it reports success even if
the function cannot be reached. To read the log, you need roles/logging.viewer.`,
			Example: `  geminihook ping
  geminihook ping --wait 5m`,
		},
		outputs: []string{"project", "static_url", "static_function"},
		gemini:  true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			idFlag(cmd, o)
			cmd.Flags().DurationVar(&o.Wait, "wait", manage.PingWait, "wait for up to this `DURATION`")
		},
		run: (*manage.Invocation).Ping,
	}
}

func enable() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:   "enable",
			Short: "Enable a webhook that the API disabled",
			Long: `Enables the webhook. The API disables a webhook by itself if too many deliveries fail,
so fix the cause first: geminihook doctor finds it. Events of jobs that ended while the
webhook was disabled are not delivered later; the reconciler finds them as missed.`,
			Example: `  geminihook enable
  geminihook enable --id 95fy7kv40bvx7t0rm7p12jdciinp7f4bfhzz`,
		},
		outputs: []string{"project", "static_url"},
		gemini:  true,
		serve:   true,
		flags:   idFlag,
		run:     (*manage.Invocation).Enable,
	}
}

func remove() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:        "delete",
			SuggestFor: []string{"remove", "unregister", "rm"},
			Short:      "Delete the webhook",
			Long: `Deletes the webhook from the API, which then delivers no more events to it and no longer
uses its signing secret. The versions in Secret Manager stay, so that deliveries in
flight are still accepted. Without --yes, it only shows the webhook.`,
			Example: `  geminihook delete            show which webhook would be deleted
  geminihook delete --yes
  geminihook delete --yes --id 95fy7kv40bvx7t0rm7p12jdciinp7f4bfhzz`,
		},
		outputs: []string{"project", "static_url"},
		gemini:  true,
		serve:   true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			idFlag(cmd, o)
			cmd.Flags().BoolVar(&o.Yes, "yes", false, "delete the webhook")
		},
		run: (*manage.Invocation).Delete,
	}
}

func storeAPIKey() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:        "api-key",
			SuggestFor: []string{"key", "apikey", "set-key"},
			Short:      "Store the Gemini API key that the reconciler uses",
			Long: `Stores the Gemini API key in the environment variable GEMINI_API_KEY as a new version of
the reconciler's secret in Secret Manager, and reads it back. It never prints the key.
It first lists the webhooks with the key, and does not store a key that the API rejects.

You can run it again: it does not store the same key twice. The reconciler uses the
newest enabled version. Older versions stay enabled; the output names them.`,
			Example: `  geminihook api-key
  GEMINI_API_KEY=$(cat key.txt) geminihook api-key`,
		},
		outputs: []string{"project", "api_key_secret_name"},
		run:     (*manage.Invocation).StoreAPIKey,
	}
}

func reconcile() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:        "reconcile",
			SuggestFor: []string{"pass", "recover"},
			Short:      "Run the reconciler once from this machine, to find and publish missed events",
			Long: `Makes one pass of the reconciler on this machine: the code and the settings of the
function, with your credentials. The pass compares the jobs that ended with the records
of deliveries, and finds the missed events. In mode publish, it publishes them; in mode
auto, it holds those that may have been delivered under an unknown name; in mode report,
it only reports them. The function may make a pass at the same time: both use the same
event ids, so that each event is published once.

With --dry-run, it prints what a pass would do, but changes nothing: it does not
publish, store, pull or acknowledge, and does not enable the webhook. It does not read
the job names that wait on the jobs subscription.

It prints a line for each missed event, then a summary. With --json, it writes the lines
that the function logs. The exit status is 1 if a step of the pass failed. You need
roles/datastore.viewer for --dry-run; for a pass, roles/datastore.user,
roles/pubsub.publisher on the topics, and roles/pubsub.subscriber on the jobs
subscription.`,
			Example: `  geminihook reconcile --dry-run
  geminihook reconcile
  geminihook reconcile --mode publish --grace 2h`,
		},
		outputs: []string{
			"project", "static_url", "dynamic_url", "routes", "firestore_database", "firestore_collection", "record_retention",
			"reconcile", "grace", "look_back", "reenable", "static_webhook", "publish_unknown",
			"jobs_subscription", "jobs_dead_letter_topic", "jobs_collection", "state_collection",
		},
		gemini: true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "print what a pass would do, and change nothing")
		},
		run: (*manage.Invocation).Reconcile,
	}
}

func moveDeadLetters() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:        "redrive",
			SuggestFor: []string{"dead-letters", "replay", "redeliver"},
			Short:      "Move dead letters back to the topics that they came from",
			Long: `Moves the messages of the dead-letter subscription back to the topics that they came
from, without the attributes that Pub/Sub added to them. Fix the subscriber first: if it
fails on a message again, the message becomes a dead letter again.

redrive publishes each message and then removes it from the dead-letter subscription. If
the removal fails, there are two copies, with the same ce-source and ce-id. Every
subscription of the topic gets the message again, also those that have already handled
it: subscribers deduplicate by ce-source and ce-id.

A message stays, and is reported, if it does not name the subscription that it comes
from, if that subscription has another dead-letter topic, or if its topic was deleted.
Messages that become dead letters after the start stay, so that a run moves each message
at most once. When redrive ends, other subscribers get the messages that stay.

It prints a line for each message. The exit status is 1 if a message stays that was
there at the start. You need roles/pubsub.subscriber on the subscription,
roles/pubsub.viewer on the project, and roles/pubsub.publisher on the topics.`,
			Example: `  geminihook redrive --dry-run
  geminihook redrive --limit 10
  geminihook redrive --limit 10000`,
		},
		outputs: []string{"project", "dead_letter_subscription"},
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "print what would be moved, and change nothing")
			cmd.Flags().IntVar(&o.Limit, "limit", redrive.DefaultLimit, "move at most `N` messages")
		},
		check: func(flags *pflag.FlagSet) error {
			if limit, err := flags.GetInt("limit"); err != nil || limit < 1 {
				return usagef("--limit: want 1 or more")
			}
			return nil
		},
		run: (*manage.Invocation).Redrive,
	}
}

func doctor() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:        "doctor",
			SuggestFor: []string{"check", "status", "diagnose"},
			Short:      "Check everything between the Gemini API and the topics",
			Long: `Checks everything between the Gemini API and the topics. Each check is one line: ✓, or ✗
with the cause and the next step. It changes nothing; the checks of the two functions
appear in their logs as a few rejected deliveries. The number of dead letters comes from
metrics and is some minutes old. The exit status is 1 if any check failed or could not
be made. You need roles/viewer on the project, and roles/secretmanager.secretAccessor on
the two secrets.

--job instead starts one small batch, WHICH IS BILLED: a request of a few tokens, with
the dynamic function in its webhook_config. doctor waits for the event on its topic with
a temporary subscription, and prints properties that only a real delivery shows: the
form of data.id, the delay after the job's end, the content type, the signature scheme,
the place of user_metadata, and whether the API's list of batches shows webhook_config.
Then it deletes the batch; if the batch still runs, it cancels it first. Your
subscribers get the event, too. For --job you need roles/pubsub.editor.`,
			Example: `  geminihook doctor
  geminihook doctor --api-key-secret-name gemini-api-key
  geminihook doctor --job
  geminihook doctor --job --wait 3h --model gemini-3.5-flash`,
		},
		outputs: []string{
			"project", "static_url", "dynamic_url", "signing_secret_name", "url_token_secret_name", "url_token_required", "routes",
			"subscriptions", "dead_letter_subscription", "firestore_database", "firestore_collection", "services", "service_accounts", "static_webhook",
		},
		gemini: true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().BoolVar(&o.Job, "job", false, "start a small batch, which is billed, and report how its event is delivered")
			cmd.Flags().DurationVar(&o.Wait, "wait", manage.JobWait, "with --job: wait for up to this `DURATION`")
			cmd.Flags().StringVar(&o.Model, "model", manage.JobModel, "with --job: use this `MODEL`")
		},
		check: func(flags *pflag.FlagSet) error {
			if !flags.Changed("job") && (flags.Changed("wait") || flags.Changed("model")) {
				return usagef("--wait and --model need --job")
			}
			return nil
		},
		run: (*manage.Invocation).Doctor,
	}
}
