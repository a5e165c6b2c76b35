package terraform

import (
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestRunbooks(t *testing.T) {
	pages, _ := filepath.Glob("runbooks/*.md")
	for _, page := range pages {
		text := read(t, page)
		if strings.Contains(text, "${") {
			t.Errorf("%s: Cloud Monitoring would replace ${…}", page)
		}
		var headings []string
		for line := range strings.Lines(text) {
			if heading, ok := strings.CutPrefix(line, "## "); ok {
				headings = append(headings, strings.TrimSpace(heading))
			}
		}
		if want := []string{"Meaning", "Possible causes", "Check", "Fix"}; !slices.Equal(headings, want) {
			t.Errorf("%s: headings %q, want %q", page, headings, want)
		}
		for _, link := range regexp.MustCompile(`\[([a-z-]+\.md)\]\(([a-z-]+\.md)\)`).FindAllStringSubmatch(text, -1) {
			if link[1] != link[2] || !slices.Contains(pages, "runbooks/"+link[1]) {
				t.Errorf("%s: wrong link %s", page, link[0])
			}
			text = strings.Replace(text, link[0], "", 1)
		}
		if other := regexp.MustCompile(`[a-z-]+\.md`).FindString(text); other != "" {
			t.Errorf("%s: %s is not a link", page, other)
		}
	}
}

// Files that make the runbooks' claims true.
const (
	headersGo  = "../shared/webhook/headers.go"
	refreshGo  = "../shared/refresh/refresh.go"
	secretGo   = "../shared/secret/secret.go"
	jwksGo     = "../shared/jwks/jwks.go"
	receiverGo = "../shared/receiver/receiver.go"
	monitoring = "monitoring.tf"
)

// claims are phrases of the runbooks that state a time or quote the code, each with the
// expression that the code must match for the phrase to be true. Every time in a page must
// be in a phrase.
var claims = []struct {
	pages  string // a pattern
	phrase string
	file   string
	code   string // a regular expression
}{
	{"secret.md", "rejected within 5 minutes", refreshGo, `const TTL = 5 \* time\.Minute`},
	{"secret.md", "serve for up to an hour", secretGo, `staleIfError = time\.Hour`},
	{"secret.md", "notice within a minute", refreshGo, `maxBackoff = time\.Minute`},
	{"secret.md", "found no enabled version", secretGo, `has no enabled version`},
	{"unavailable.md", "Cached keys serve for 24 hours", jwksGo, `staleIfError = 24 \* time\.Hour`},
	{"unavailable.md", "`build` (settings)", "../shared/instance/instance.go", `"step", "build"`},
	{"unavailable.md", "`gate` (the URL token)", receiverGo, `StepGate\n\t+if err := r\.Gate\.Check`},
	{"unavailable.md", "`signature` (the signing secret, the signing keys)", receiverGo, `StepSignature .*\n\t+res\.delivery, err = r\.Verifier`},
	{"unavailable.md", "`claim` (Firestore)", receiverGo, `StepClaim\n\t+.* r\.Ledger\.Once`},
	{"unavailable.md", "`publish` (Pub/Sub)", receiverGo, `StepPublish\n\t+.* r\.Publisher\.Publish`},
	{"overloaded.md", "In ten minutes more than 10", monitoring, `outcome=\\"overloaded\\"\}\[10m\]\)\) > 10"`},
	{"overloaded.md", "was already serving 80", receiverGo, `DefaultLimit = 80`},
	{"stale.md", "five minutes unless set otherwise", headersGo, `DefaultTolerance = 5 \* time\.Minute`},
	{"stale.md", "rejected for a day", headersGo, `RetriedFor = 24 \* time\.Hour`},
	{"stale.md", "`timestamp_tolerance_seconds = 3600`, its maximum", "variables.tf", `timestamp_tolerance_seconds <= 3600 `},
	{"stale.md", "valid for more than an hour", "../shared/webhook/claims.go", `MaxJWTLife = time\.Hour`},
	{"unavailable.md", "not usable", secretGo, `enabled versions are not usable`},
	{"unavailable.md", "more than … enabled versions", secretGo, `more than %d enabled versions`},
	{"unavailable.md", "not listed yet", secretGo, `is enabled, but not listed yet`},
	{"unavailable.md", "are left out", jwksGo, `are left out`},
	{"unavailable.md", "cannot be read", secretGo, `listed as enabled cannot be read`},
	{"audience.md", "`error` names the audience in the JWT, quoted", "../shared/webhook/claims.go", `AudienceUnknown, ".*aud is %v", c\.audience\)`},
	{"unavailable.md", `message="refresh partial"`, refreshGo, `"refresh partial"`},
	{"refused.md", "In ten minutes", monitoring, `\[10m\]\)\) > \$\{local\.threshold\.refused\}`},
	{"latency.md", "For a quarter of an hour", monitoring, `\$\{local\.threshold\.latency_ms\}"\n +duration = "900s"`},
	{"latency.md", "latency_ms>3000", "variables.tf", `latency_ms +=[ ]optional\(number, 3000\)`},
	{"silence.md", "last seven times `silence_hours`", monitoring, `7 \* local\.threshold\.silence_hours`},
	{"unreachable.md", "every 5 minutes from six places", "uptime.tf", `period +=[ ]"300s" # from each of six places`},
	{"unreachable.md", "For about 5 minutes more than half", monitoring, `\[10m\]\)\) < 0\.5"`},
	{"lost.md", "404 or 403 about a registered job in five passes or more, over at least an hour", "../shared/reconcile/decide.go", `lostAsks += 5\n\tlostAfter = time\.Hour`},
	{"held.md", "at intervals of up to two hours", "../shared/reconcile/decide.go", `maxInterval = 2 \* time\.Hour`},
	{"held.md", "for three hours: this closes", "../shared/reconcile/decide.go", `maxInterval = 2 \* time\.Hour`},
	{"missed.md", "at most 50 in a pass", "../shared/reconcile/reconcile.go", `maxHandedOver = 50\n`},
	{"webhook.md", "at most once in six hours", "../shared/reconcile/decide.go", `enablePause = 6 \* time\.Hour`},
	{"missed.md", "a `ce-source` that ends in `reconciled`", "../shared/webhook/*.go", `Endpoint = "reconciled"`},
	{"passes.md", "for 45 minutes", "reconcile_log.tf", `"No complete pass for 45 minutes"`},
	{".*", "for 24 hours", headersGo, `RetriedFor = 24 \* time\.Hour`},
}

var aTime = regexp.MustCompile(`(?i)\b(?:\d+|an?|one|two|three|four|five|six|seven|ten|quarter of an|half an) (?:second|minute|hour|day|week)s?\b`)

func TestRunbooksTellTheTruth(t *testing.T) {
	pages, _ := filepath.Glob("runbooks/*.md")
	made := make([]bool, len(claims))
	for _, page := range pages {
		text := read(t, page)
		for i, claim := range claims {
			if regexp.MustCompile("^(?:"+claim.pages+")$").MatchString(filepath.Base(page)) && strings.Contains(text, claim.phrase) {
				made[i] = true
				found(t, claim.file, claim.code)
			}
		}
		for i, claim := range claims {
			if made[i] && regexp.MustCompile("^(?:"+claim.pages+")$").MatchString(filepath.Base(page)) {
				text = strings.ReplaceAll(text, claim.phrase, "")
			}
		}
		for _, other := range aTime.FindAllString(text, -1) {
			t.Errorf("%s: %q is in no phrase of claims", page, other)
		}
		if strings.Contains(text, "release") {
			t.Errorf("%s mentions a release: there are only commits", page)
		}
	}
	for i, claim := range claims {
		if !made[i] {
			t.Errorf("no page %s contains %q", claim.pages, claim.phrase)
		}
	}
}

// Every word in backquotes is a name in the code, in the configuration or of a command.
func TestRunbooksNameWhatThereIs(t *testing.T) {
	known := vocabulary(t)
	pages, _ := filepath.Glob("runbooks/*.md")
	for _, page := range pages {
		for _, span := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(read(t, page), -1) {
			switch code := span[1]; {
			case strings.HasPrefix(code, "jsonPayload.message="):
				named := strings.TrimPrefix(code, "jsonPayload.message=")
				logFilter(t, page, linesOf(strings.Split(named, `"`)[1])+named)
			case strings.HasPrefix(code, "jsonPayload."):
				logFilter(t, page, ofReceivers+`"delivery" AND `+code)
			case strings.HasPrefix(code, "gcloud "), strings.HasPrefix(code, "curl "), strings.HasPrefix(code, "terraform "):
			case strings.HasPrefix(code, "go run ./scripts/geminihook "):
				knownCommand(t, page, strings.TrimPrefix(code, "go run ./scripts/geminihook "))
			default:
				name, rest, _ := strings.Cut(code, " ")
				switch {
				case slices.Contains(known["step"], code):
				case slices.Contains(known["command"], name) && !slices.Contains(known["other"], name) && !strings.HasPrefix(rest, "= "):
					knownCommand(t, page, code)
				case rest != "" && !strings.HasPrefix(rest, "= "),
					!slices.ContainsFunc(slices.Collect(maps.Values(known)), func(words []string) bool { return slices.Contains(words, name) }):
					t.Errorf("%s: unknown name %q", page, code)
				}
			}
		}
	}
}

func vocabulary(t *testing.T) map[string][]string {
	t.Helper()
	lines := logged(t)
	return map[string][]string{
		"field":     slices.Concat(slices.Collect(maps.Values(lines))...),
		"value":     append(slices.Concat(slices.Collect(maps.Values(values(t)))...), valuesOf(t, "missed job")["action"]...),
		"mode":      found(t, "../shared/reconcile/*.go", ` Mode += "(\w+)"`),
		"state":     append(found(t, "../shared/gemini/*.go", `(?:En|Dis)abled\w* += "(\w+)"`), found(t, "../shared/reconcile/*.go", `missing = "(\w+)"`)...),
		"step":      found(t, "../shared/reconcile/*.go", `p\.(?:fail|truncate|guard)\(ctx, "([a-z ]+)"`),
		"attribute": found(t, "../shared/publish/message.go", `"((?:ce-|content-)\w+)"`),
		"variable":  found(t, "variables.tf", `(?m)^variable "(\w+)"`),
		"threshold": {"alert_thresholds.silence_hours", "silence_hours"},
		"command":   commands(t),
		// Names that are not ours.
		"other": {"aud", "reconciled", "webhook-timestamp", "webhook_config", "enabled", "allUsers", "roles/run.invoker", `logName:"uptime_checks"`, "--dry-run",
			"instanceId", "locationId", "service_name", `resource.type="cloud_scheduler_job"`, `protoPayload.methodName=~"(Disable|Destroy)SecretVersion$"`},
	}
}

// The page about passes explains each step that a pass can log.
func TestRunbookExplainsEachStep(t *testing.T) {
	_, steps, _ := strings.Cut(read(t, "runbooks/passes.md"), "Steps ")
	steps, _, _ = strings.Cut(steps, "\n")
	for _, step := range vocabulary(t)["step"] {
		if !strings.Contains(steps, "`"+step+"`") {
			t.Errorf("passes.md does not explain the step %q", step)
		}
	}
}

// commands returns the names of geminihook's commands.
func commands(t *testing.T) []string {
	return found(t, "../scripts/geminihook/*.go", `\tUse: +"([\w-]+)[" ]`)
}

// knownCommand checks that a command is one of geminihook, with its flags.
func knownCommand(t *testing.T, where, line string) {
	t.Helper()
	words := strings.Fields(line)
	flags := append(found(t, "../scripts/geminihook/*.go", `Var\([^,]+, "([\w-]+)"`),
		found(t, "../scripts/geminihook/manage/values.go", `: +\{"([\w-]+)", "`)...)
	if !slices.Contains(commands(t), words[0]) {
		t.Errorf("%s: geminihook has no command %s", where, words[0])
	}
	for i, flag := range words[1:] {
		if !strings.HasPrefix(flag, "--") && strings.HasPrefix(words[i], "--") {
			continue // the value of the flag before it
		}
		if !slices.Contains(flags, strings.TrimPrefix(flag, "--")) {
			t.Errorf("%s: geminihook %s has no flag %s", where, words[0], flag)
		}
	}
	if words[0] == "delete" && !slices.Contains(words, "--yes") {
		t.Errorf("%s: geminihook delete changes nothing without --yes", where)
	}
}

func TestPagesNameCommandsThatExist(t *testing.T) {
	pages, err := filepath.Glob("../docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	named := 0
	for _, page := range append(pages, "../README.md", "../examples/README.md") {
		commands := regexp.MustCompile("(?:go run \\./scripts/|`)geminihook ([a-z][a-z-]*)((?: --[a-z-]+(?: [^-`\\s][^`\\s]*)?)*)").FindAllStringSubmatch(read(t, page), -1)
		named += len(commands)
		for _, command := range commands {
			flags := regexp.MustCompile(` --[a-z-]+`).FindAllString(command[2], -1)
			knownCommand(t, page, command[1]+strings.Join(flags, ""))
		}
	}
	if named < 20 {
		t.Errorf("%d commands", named)
	}
}
