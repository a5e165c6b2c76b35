package main

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/geminihook/geminihook/scripts/geminihook/manage"
	"github.com/geminihook/geminihook/scripts/geminihook/redrive"
	"github.com/geminihook/geminihook/shared/refresh"
)

// A managementCommand is a command about a deployment: what the user sees of it, what it
// needs to know, and what it does.
type managementCommand struct {
	cobra.Command
	outputs []string // of Terraform, which flags may give instead
	gemini  bool     // it calls the Gemini API
	serve   bool     // it can do without a deployment, on the stand-ins of serve
	flags   func(*cobra.Command, *manage.Options)
	check   func(*pflag.FlagSet) error // of flags that exclude each other; may be nil
	run     func(*manage.Invocation, context.Context) error
}

func newManage(app *manage.App) (all []*cobra.Command) {
	for _, m := range managementCommands() {
		all = append(all, m.command(app))
	}
	return all
}

// command returns the Cobra command of m, run in app.
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
	jsonFlag(flags, &inv.JSON, "one for each result")
	if m.gemini {
		flags.StringVar(&inv.APIKeySecret, "api-key-secret-name", "", "take the Gemini API key from the secret of this `NAME` (default: GEMINI_API_KEY in the environment)")
	}
	if m.serve {
		flags.BoolVar(&inv.Serve, "serve", false, "use the serve that runs on this machine, in place of a deployment and of Google")
	}
	flags.StringVar(&inv.Terraform, "terraform", "terraform", "the `FOLDER` whose outputs are read")
	for _, name := range m.outputs {
		output := manage.Outputs[name]
		flags.Func(output.Flag, output.Usage+" (default: Terraform's output "+name+")", func(text string) error {
			inv.Values.Set(name, text)
			return nil
		})
	}
	return cmd
}

// deploymentHelp is the end of the help of each command.
const deploymentHelp = `

What it needs to know of the deployment it reads from Terraform's outputs; each is also
a flag. Google Cloud is reached with the application default credentials (gcloud auth
application-default login).`

// keyHelp follows it for those that call the Gemini API.
const keyHelp = ` The Gemini API key comes from GEMINI_API_KEY, or out
of Secret Manager with --api-key-secret-name, never from the command line.`

func managementCommands() []*managementCommand {
	return []*managementCommand{register(), rotate(), dynamicURL(), list(), ping(), enable(), remove(), storeAPIKey(), reconcile(), moveDeadLetters(), doctor()}
}

func idFlag(cmd *cobra.Command, o *manage.Options) {
	cmd.Flags().StringVar(&o.ID, "id", "", "the webhook with this `ID` (default: the one for the static function's URL)")
}

func register() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:        "register",
			SuggestFor: []string{"create", "add"},
			Short:      "Make the webhook, and store its signing secret",
			Long: `Makes a webhook for the static function's URL. The API shows its signing secret once:
it goes straight into a new version of the secret in Secret Manager, is read back, and
is nowhere else. If it cannot be stored, the webhook is deleted again.

It may be run again. A webhook that exists, with its secret stored, is left alone; one
whose secret is not stored, because a run ended in between, is given a new one. One
secret is for one webhook.`,
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
			Long: `Has the API make a new signing secret, and stores it as a new version beside the old
one. For 24 hours both are in force, at the API and in the functions, which accept all
enabled versions: nothing is deployed again, and nothing is lost. After that,
rotate --finish disables the old version; before, it refuses to.

--immediately is for a secret that has leaked: the API revokes it now, and the old
versions are disabled now. Instances that hold them in memory accept them for up to
` + refresh.TTL.String() + ` more. Deliveries under way may be rejected, and are sent again.`,
			Example: `  geminihook rotate
  geminihook rotate --finish
  geminihook rotate --immediately`,
		},
		outputs: []string{"project", "static_url", "signing_secret_name"},
		gemini:  true,
		serve:   true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().BoolVar(&o.Finish, "finish", false, "disable the old versions, once the overlap is over")
			cmd.Flags().BoolVar(&o.Immediately, "immediately", false, "revoke and disable the old versions at once")
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
			Short: "Print the URL for webhook_config.uris, token included",
			Long: `Prints the dynamic function's URL with its token, which is made if there is none, for
webhook_config.uris of single requests. The URL is a secret: anyone who knows it can
make Google deliver genuine events about their own jobs to it. Standard output holds
nothing else.

--rotate makes a new token. The old one stays good, for jobs that were started with it:
up to 48 hours for a batch, and a day of retries. After that, --finish disables it.
--immediately, for a token that has leaked, disables it now; events of jobs that were
started with it are then rejected, and lost.`,
			Example: `  geminihook dynamic-url
  GEMINI_WEBHOOK_URL=$(geminihook dynamic-url)
  geminihook dynamic-url --rotate
  geminihook dynamic-url --finish
  geminihook dynamic-url --rotate --immediately`,
		},
		outputs: []string{"project", "dynamic_url", "url_token_secret_name", "url_token_required"},
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().BoolVar(&o.Rotate, "rotate", false, "make a new token")
			cmd.Flags().BoolVar(&o.Finish, "finish", false, "disable the old tokens, once no job carries them")
			cmd.Flags().BoolVar(&o.Immediately, "immediately", false, "disable the old tokens now")
		},
		check: func(flags *pflag.FlagSet) error {
			if flags.Changed("finish") && flags.Changed("rotate") {
				return usagef("--finish is for later: a new token has jobs to come, the old one jobs under way")
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
and how long a rotated secret still signs. * marks the static function's.`,
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
			Short: "Ask for an event, and wait until it has arrived",
			Long: `Asks the API for a ping, and waits until the function's log shows that it arrived. The
API alone answers success even if nothing can be reached. Reading the log needs
roles/logging.viewer.`,
			Example: `  geminihook ping
  geminihook ping --wait 5m`,
		},
		outputs: []string{"project", "static_url", "static_function"},
		gemini:  true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			idFlag(cmd, o)
			cmd.Flags().DurationVar(&o.Wait, "wait", manage.PingWait, "wait for this `DURATION`")
		},
		run: (*manage.Invocation).Ping,
	}
}

func enable() *managementCommand {
	return &managementCommand{
		Command: cobra.Command{
			Use:   "enable",
			Short: "Have the API deliver again",
			Long: `Puts the webhook back in the state enabled. The API disables a webhook by itself when
too many deliveries fail, so first see to it that they succeed: doctor says why not.
Events that happened while it was disabled are not delivered later.`,
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
			Long: `Deletes the webhook at the API: nothing is delivered any more, and its signing secret
is void. The versions in Secret Manager stay; deliveries under way still verify.`,
			Example: `  geminihook delete            says what would be deleted
  geminihook delete --yes
  geminihook delete --yes --id 95fy7kv40bvx7t0rm7p12jdciinp7f4bfhzz`,
		},
		outputs: []string{"project", "static_url"},
		gemini:  true,
		serve:   true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			idFlag(cmd, o)
			cmd.Flags().BoolVar(&o.Yes, "yes", false, "really delete it")
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
			Long: `Stores the Gemini API key in GEMINI_API_KEY as a new version of the reconciler's secret
in Secret Manager, and reads it back. The key is not printed. Before that, it calls the
API once with the key, to list webhooks: a key that the API refuses is not stored.

It may be run again: a key that is stored already is left alone. The reconciler uses the
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
			Short:      "Look for jobs whose event never came, once, from here",
			Long: `Makes one pass of the reconcile function on this machine: the same code with the same
settings, with your credentials in place of the function's. It compares the jobs that
ended with the records of deliveries, and publishes the events that are missing, unless
the mode is report. A pass of the function at the same time does no harm: both use the
same ids, so that an event is published once.

--dry-run changes nothing: it publishes, stores, pulls and acknowledges nothing, and
does not enable the webhook. It prints what a pass would do. Names of jobs that wait on
the subscription are not read.

It prints a line for each missed job, then a summary. With --json it writes the lines
that the function logs. It exits with 1 if the pass is not complete. --dry-run needs
roles/datastore.viewer; a pass needs roles/datastore.user, roles/pubsub.publisher on the
topics, and roles/pubsub.subscriber on the subscription of jobs.`,
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
			cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "change nothing, and print what would be done")
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
from, as they were: the attributes that Pub/Sub added to them are removed. Fix the
subscriber first: a message that it fails on again is a dead letter again.

Each is published first, and then removed here; if the removal fails there are two
copies, with the same ce-source and ce-id. All subscriptions of the topic get the
message, also those whose subscriber has handled it: subscribers skip what they know by
ce-source and ce-id.

A message stays, and is reported, if it does not name the subscription that gave it up,
or if that has another topic for dead letters, or its topic is gone. Messages that
arrive after the start stay, so that none is moved twice in a run. Messages that stay
are given out to others again at the end.

It prints a line for each message, and exits with 1 if one stays that was there at the
start. It needs roles/pubsub.subscriber on the subscription, roles/pubsub.viewer on the
project, and roles/pubsub.publisher on the topics.`,
			Example: `  geminihook redrive --dry-run
  geminihook redrive --limit 10
  geminihook redrive --limit 10000`,
		},
		outputs: []string{"project", "dead_letter_subscription"},
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().BoolVar(&o.DryRun, "dry-run", false, "change nothing, and print what would be done")
			cmd.Flags().IntVar(&o.Limit, "limit", redrive.DefaultLimit, "move at most `N` messages")
		},
		check: func(flags *pflag.FlagSet) error {
			if limit, err := flags.GetInt("limit"); err != nil || limit < 1 {
				return usagef("--limit: at least 1")
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
			Short:      "Check the whole way, from the API to the topics",
			Long: `Checks everything between the Gemini API and the topics: a line each, ✓, or ✗ with the
next step. It changes nothing, and leaves a handful of rejected deliveries in the
functions' logs. It exits with 1 if there is any ✗, also if something could not be
looked at. For that it needs roles/viewer on the project, and
roles/secretmanager.secretAccessor on the two secrets. How many dead letters there are
comes from metrics, which are some minutes old.

--job starts one small batch instead, WHICH IS BILLED: a request of a few tokens. Its
webhook_config names the dynamic function. doctor waits for its event on the topic,
through a subscription of its own, and prints what only a real key can tell: the form of
data.id, the delay after the end, the content type, the scheme of the signature, where
user_metadata is, and whether the list of batches shows webhook_config. Then it deletes
the batch, which it cancels first if it still runs. Your subscribers get the event,
too. All that needs roles/pubsub.editor.`,
			Example: `  geminihook doctor
  geminihook doctor --api-key-secret-name gemini-api-key
  geminihook doctor --job
  geminihook doctor --job --wait 3h --model gemini-2.5-flash-lite`,
		},
		outputs: []string{
			"project", "static_url", "dynamic_url", "signing_secret_name", "url_token_secret_name", "url_token_required", "routes",
			"subscriptions", "dead_letter_subscription", "firestore_database", "firestore_collection", "services", "service_accounts",
		},
		gemini: true,
		flags: func(cmd *cobra.Command, o *manage.Options) {
			cmd.Flags().BoolVar(&o.Job, "job", false, "start a small batch, which is billed, and print how its event is delivered")
			cmd.Flags().DurationVar(&o.Wait, "wait", manage.JobWait, "with --job: wait for this `DURATION`")
			cmd.Flags().StringVar(&o.Model, "model", manage.JobModel, "with --job: the batch's `MODEL`")
		},
		check: func(flags *pflag.FlagSet) error {
			if !flags.Changed("job") && (flags.Changed("wait") || flags.Changed("model")) {
				return usagef("--wait and --model are for --job")
			}
			return nil
		},
		run: (*manage.Invocation).Doctor,
	}
}
