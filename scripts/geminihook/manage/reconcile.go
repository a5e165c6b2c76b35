package manage

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	function "github.com/geminihook/geminihook/functions/reconcile"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	"github.com/geminihook/geminihook/shared/cloudlog"
	geminiapi "github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/reconcile"
	"github.com/geminihook/geminihook/shared/settings"
)

// passVariables are the outputs that the reconcile function's settings come from, by the
// name of the setting.
var passVariables = map[string]string{
	"GOOGLE_CLOUD_PROJECT":   "project",
	"FIRESTORE_DATABASE":     "firestore_database",
	"FIRESTORE_COLLECTION":   "firestore_collection",
	"ROUTES":                 "routes",
	"RECORD_RETENTION":       "record_retention",
	"RECONCILE":              "reconcile",
	"GRACE":                  "grace",
	"LOOK_BACK":              "look_back",
	"REENABLE":               "reenable",
	"STATIC_WEBHOOK":         "static_webhook",
	"STATIC_URL":             "static_url",
	"DYNAMIC_URL":            "dynamic_url",
	"JOBS_SUBSCRIPTION":      "jobs_subscription",
	"JOBS_DEAD_LETTER_TOPIC": "jobs_dead_letter_topic",
	"JOBS_COLLECTION":        "jobs_collection",
	"STATE_COLLECTION":       "state_collection",
	"PUBLISH_UNKNOWN":        "publish_unknown",
}

// Reconcile makes one pass of the reconcile function from this machine, with the caller's
// credentials: the function's code with the deployment's settings. With DryRun it changes
// nothing, and reports what the pass would do. It fails if the pass is not complete.
func (inv *Invocation) Reconcile(ctx context.Context) error {
	if err := inv.refuseEmulator(firestoreEmulator, pubsubEmulator); err != nil {
		return err
	}
	api, err := inv.boundedAPI(ctx)
	if err != nil {
		return err
	}
	reader := &settings.Reader{Lookup: func(name string) string { return inv.Values[passVariables[name]] }}
	r, opened, err := function.Open(ctx, reader, api, inv.passLog())
	if err != nil {
		return namedByFlags(err)
	}
	defer opened.Close()
	if inv.DryRun {
		r.Register, r.Ledger, r.Publisher = idleRegister{r.Register}, idleLedger{r.Ledger}, nil
	}
	summary, err := r.Run(ctx)
	if err != nil {
		return err
	}
	if !inv.JSON {
		inv.sayPass(&summary)
	}
	if summary.Complete {
		return nil
	}
	return &failure{
		err:   errors.New("the pass is not complete: a step failed"),
		state: "what was done is done; a pass that is repeated does the rest, and nothing twice",
		next:  "remove the cause, which the output names, then " + terminal.Command("reconcile"),
	}
}

// passLog returns the logger of a pass: with JSON it writes the lines that the function
// logs, else lines for people.
func (inv *Invocation) passLog() *slog.Logger {
	switch {
	case inv.JSON && inv.DryRun:
		return cloudlog.New(inv.Out).With("dry_run", true)
	case inv.JSON:
		return cloudlog.New(inv.Out)
	}
	return slog.New(&passHandler{inv: inv})
}

// sayPass says what a pass saw and did, in sum.
func (inv *Invocation) sayPass(s *reconcile.Summary) {
	state := s.WebhookState
	switch {
	case state == "" && s.WebhookOK:
		state = "none expected"
	case state == "":
		state = "not known"
	case !s.WebhookOK:
		state += ": nothing is delivered; " + terminal.Command("doctor") + " says why"
	}
	inv.say("webhook", "%s", state)
	inv.say("jobs", "%d: %d delivered, %d pending, %d missed", s.Jobs, s.Delivered, s.Pending, s.Missed)
	handedOver := "handed over"
	if inv.DryRun {
		handedOver = "to be handed over"
	}
	inv.say("events", "%d %s, %d held, %d reported, %d for a later pass", s.HandedOver, handedOver, s.Held, s.Reported, s.Deferred)
	inv.say("others", "%d lost, %d foreign, %d messages that name no job", s.Lost, s.Foreign, s.Rejected)
	if s.Truncated {
		inv.say("truncated", "a limit left something out")
	}
	inv.say("took", "%.1f s, %d calls of the API", s.Took.Seconds(), s.Calls)
	if inv.DryRun {
		inv.say("dry run", "nothing was changed; names of jobs that wait on %s were not read", inv.Values["jobs_subscription"])
	}
}

// namedByFlags returns the faults of settings by the flags that give them.
func namedByFlags(err error) error {
	var lines []string
	for line := range strings.SplitSeq(err.Error(), "\n") {
		name, rest, _ := strings.Cut(line, ": ")
		if output, ok := Outputs[passVariables[name]]; ok {
			line = fmt.Sprintf("--%s: %s", output.Flag, rest)
		}
		lines = append(lines, line)
	}
	return errors.New(strings.Join(lines, "\n"))
}

// boundedAPI returns the client of the Gemini API that the functions use. Unlike the SDK
// it shows a batch's webhook_config, and why a batch failed.
func (inv *Invocation) boundedAPI(ctx context.Context) (*geminiapi.Client, error) {
	base, err := geminiapi.ParseURL(inv.GeminiURL)
	if err != nil {
		return nil, fmt.Errorf("URL of the Gemini API: %w", err)
	}
	text, err := inv.apiKey(ctx)
	if err != nil {
		return nil, err
	}
	key, err := geminiapi.ParseKey([]byte(text))
	if err != nil {
		return nil, err
	}
	return geminiapi.Open(base, oneKey(key), nil), nil
}

// oneKey is the one API key in force.
type oneKey string

// Find implements geminiapi.Keys.
func (k oneKey) Find(_ context.Context, match func(string) bool) (bool, error) {
	return match(string(k)), nil
}

// String keeps the key out of the output.
func (oneKey) String() string { return "an API key" }

// GoString does the same for %#v.
func (oneKey) GoString() string { return "an API key" }
