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

// passVariables maps the names of the reconcile function's settings to the outputs that
// hold their values.
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

// Reconcile makes one pass of the reconciler on this machine, with the function's code,
// the deployment's settings and the caller's credentials. With DryRun it only reports
// what the pass would do. It fails if a step of the pass failed.
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
		err:   errors.New("the pass is incomplete: a step failed"),
		state: "the other steps are done; another pass does the rest and publishes no event twice",
		next:  "fix the cause, which the output names, then " + terminal.Command("reconcile"),
	}
}

// passLog returns the logger of a pass. With JSON it writes the lines that the function
// logs, otherwise lines for people.
func (inv *Invocation) passLog() *slog.Logger {
	switch {
	case inv.JSON && inv.DryRun:
		return cloudlog.New(inv.Out).With("dry_run", true)
	case inv.JSON:
		return cloudlog.New(inv.Out)
	}
	return slog.New(&passHandler{inv: inv})
}

// sayPass reports the totals of a pass.
func (inv *Invocation) sayPass(s *reconcile.Summary) {
	state := s.WebhookState
	switch {
	case state == "" && s.WebhookOK:
		state = "none expected"
	case state == "":
		state = "unknown"
	case !s.WebhookOK:
		state += ": no event is delivered; to find the cause: " + terminal.Command("doctor")
	}
	inv.say("webhook", "%s", state)
	inv.say("jobs", "%d: %d delivered, %d pending, %d missed", s.Jobs, s.Delivered, s.Pending, s.Missed)
	handedOver := "published"
	if inv.DryRun {
		handedOver = "to be published"
	}
	inv.say("events", "%d %s, %d held, %d reported, %d deferred to a later pass", s.HandedOver, handedOver, s.Held, s.Reported, s.Deferred)
	inv.say("others", "%d lost, %d foreign, %d messages that name no job", s.Lost, s.Foreign, s.Rejected)
	if s.Truncated {
		inv.say("truncated", "the pass reached a limit and left jobs out")
	}
	inv.say("took", "%.1f s, %d API calls", s.Took.Seconds(), s.Calls)
	if inv.DryRun {
		inv.say("dry run", "nothing was changed; the job names that wait on %s were not read", inv.Values["jobs_subscription"])
	}
}

// namedByFlags returns an error about settings with the names of the flags that set
// them.
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

// boundedAPI returns the client of the Gemini API that the functions use. Unlike the
// SDK, it returns a batch's webhook_config and the cause of a batch's failure.
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

// oneKey is a key source with one API key.
type oneKey string

// Find implements geminiapi.Keys.
func (k oneKey) Find(_ context.Context, match func(string) bool) (bool, error) {
	return match(string(k)), nil
}

// String returns a fixed text, so that the key is not printed.
func (oneKey) String() string { return "an API key" }

// GoString does the same for %#v.
func (oneKey) GoString() string { return "an API key" }
