package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	"google.golang.org/api/option"

	_ "github.com/geminihook/geminihook/functions/dynamic"
	"github.com/geminihook/geminihook/functions/functiontest"
	_ "github.com/geminihook/geminihook/functions/static"
	"github.com/geminihook/geminihook/scripts/geminihook/manage"
	"github.com/geminihook/geminihook/shared/geminitest"
)

func TestMain(m *testing.M) { functiontest.Main(m) }

const (
	apiKey        = "AIza-a-key-that-must-not-be-printed"
	signingSecret = "geminihook-signing-secret"
	urlToken      = "geminihook-url-token"
	keySecret     = "geminihook-api-key"
)

// A lab is a deployment on this machine: embedded services, stand-ins for the Gemini
// API and for Google Cloud's REST APIs, and Terraform's outputs. No function runs in it
// yet.
type lab struct {
	*functiontest.Project
	t       *testing.T
	api     *geminitest.API
	gemini  *httptest.Server
	google  *google
	outputs map[string]any

	ahead  atomic.Int64 // how far the commands' clock is ahead, in nanoseconds
	paused func()       // called when a command waits

	mu      sync.Mutex
	printed strings.Builder
	hidden  map[string]bool // texts that must not be printed
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{
		Project: functiontest.Embedded(t),
		t:       t,
		api:     geminitest.New(apiKey),
		paused:  func() {},
		hidden:  map[string]bool{apiKey: true},
	}
	l.api.Now = l.now
	l.gemini = httptest.NewServer(l.api)
	t.Cleanup(l.gemini.Close)
	l.google = newGoogle(t, l)
	l.outputs = map[string]any{
		"project":                  l.ID,
		"static_function":          "geminihook-static",
		"static_url":               "https://us-central1-test-project.cloudfunctions.net/geminihook-static",
		"dynamic_url":              "https://us-central1-test-project.cloudfunctions.net/geminihook-dynamic",
		"signing_secret_name":      signingSecret,
		"url_token_secret_name":    urlToken,
		"api_key_secret_name":      keySecret,
		"url_token_required":       true,
		"routes":                   topicsOf(functiontest.Routes),
		"subscriptions":            map[string]string{"geminihook-batch": "geminihook-batch-pull", "geminihook-other": "geminihook-other-pull"},
		"dead_letter_subscription": "geminihook-dead-letter",
		"firestore_database":       "geminihook",
		"firestore_collection":     "deliveries",
		"reconcile":                "auto",
		"grace":                    "60m",
		"look_back":                "48h",
		"record_retention":         "72h",
		"reenable":                 false,
		"static_webhook":           true,
		"publish_unknown":          false,
		"jobs_subscription":        functiontest.JobsTopic,
		"jobs_dead_letter_topic":   functiontest.RejectedTopic,
		"jobs_collection":          "jobs",
		"state_collection":         "reconcile",
		"service_accounts":         map[string]string{"static": "static@test-project", "dynamic": "dynamic@test-project", "build": "build@test-project"},
		"services":                 []string{"pubsub.googleapis.com", "run.googleapis.com"},
		"sources":                  map[string]any{"static": map[string]string{"go.mod": "go.mod"}},
	}
	t.Setenv("GEMINI_API_KEY", apiKey)
	t.Setenv("GOOGLE_GEMINI_BASE_URL", "http://127.0.0.1:1") // must not be used
	t.Setenv("GOOGLE_API_KEY", "another-key")                // likewise
	quiet(t)
	l.emptySecret(signingSecret)
	l.emptySecret(urlToken)
	l.emptySecret(keySecret)
	l.installTerraform()
	t.Cleanup(l.checkHidden)
	return l
}

// quiet fails the test if a library logs.
func quiet(t *testing.T) {
	said := new(functiontest.Log)
	log.SetOutput(said)
	t.Cleanup(func() {
		log.SetOutput(os.Stderr)
		if text := said.Text(); text != "" {
			t.Errorf("a library logged: %s", text)
		}
	})
}

func topicsOf(routes string) map[string]string {
	topics := map[string]string{}
	for route := range strings.SplitSeq(routes, ",") {
		kind, topic, _ := strings.Cut(route, "=")
		topics[kind] = topic
	}
	return topics
}

// emptySecret creates a secret without a version, as Terraform does.
func (l *lab) emptySecret(id string) {
	l.t.Helper()
	if _, err := l.Secrets.AddSecret(l.t.Context(), l.ID, id); err != nil {
		l.t.Fatal(err)
	}
}

// installTerraform puts a terraform command on the path that only prints the outputs.
func (l *lab) installTerraform() {
	l.t.Helper()
	dir := l.t.TempDir()
	script := "#!/bin/sh\n[ \"$*\" = '-chdir=terraform output -json -no-color' ] || { echo \"what is $*?\" >&2; exit 1; }\ncat " + dir + "/outputs\n"
	if err := os.WriteFile(filepath.Join(dir, "terraform"), []byte(script), 0o700); err != nil {
		l.t.Fatal(err)
	}
	l.t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}

func (l *lab) writeOutputs() {
	l.t.Helper()
	all := map[string]map[string]any{}
	for name, value := range l.outputs {
		all[name] = map[string]any{"value": value, "sensitive": name == "sources"}
	}
	text, err := json.Marshal(all)
	if err != nil {
		l.t.Fatal(err)
	}
	dir, _, _ := strings.Cut(os.Getenv("PATH"), string(os.PathListSeparator))
	if err := os.WriteFile(filepath.Join(dir, "outputs"), text, 0o600); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) now() time.Time { return time.Now().Add(time.Duration(l.ahead.Load())) }

// pass advances the commands' clock.
func (l *lab) pass(d time.Duration) { l.ahead.Add(int64(d)) }

// A ran is the exit status and the output of a command.
type ran struct {
	status   int
	out, err string
}

func (l *lab) run(args ...string) ran {
	l.t.Helper()
	return l.runIn(l.t.Context(), args...)
}

func (l *lab) runIn(ctx context.Context, args ...string) ran {
	l.t.Helper()
	l.writeOutputs()
	var out, errs bytes.Buffer
	status := run(ctx, &manage.App{
		Out: &out, Err: &errs, Now: l.now, GeminiURL: l.gemini.URL + "/", Google: l.google.options,
		Pause: func(ctx context.Context, d time.Duration) error {
			l.paused()
			return ctx.Err()
		},
	}, args)
	l.noteHidden(slices.Contains(args, "dynamic-url"), errs.String(), out.String())
	return ran{status, out.String(), errs.String()}
}

// noteHidden records the output and all current secrets, for checkHidden. It leaves out
// the standard output of dynamic-url, which must contain the URL token.
func (l *lab) noteHidden(tokenAsked bool, errs, out string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.printed.WriteString(errs)
	if !tokenAsked {
		l.printed.WriteString(out)
	}
	for _, id := range l.api.IDs() {
		for _, secret := range l.api.Secrets(id) {
			l.hidden[secret] = true
		}
	}
	for _, id := range []string{signingSecret, urlToken, keySecret} {
		for _, text := range l.enabled(id) {
			l.hidden[text] = true
		}
	}
}

// checkHidden fails the test if a secret was printed.
func (l *lab) checkHidden() {
	text := l.printed.String()
	for secret := range l.hidden {
		for _, form := range []string{secret, strings.TrimPrefix(secret, "whsec_")} {
			if strings.Contains(text, form) {
				l.t.Errorf("a secret was printed:\n%s", strings.ReplaceAll(text, form, "««"+form+"»»"))
			}
		}
	}
}

// enabled returns the values of a secret's enabled versions, newest first.
func (l *lab) enabled(id string) []string {
	ctx := context.Background()
	listed, err := l.Secrets.ListSecretVersions(ctx, &secretmanagerpb.ListSecretVersionsRequest{
		Parent: "projects/" + l.ID + "/secrets/" + id, Filter: "state:ENABLED",
	})
	if err != nil {
		l.t.Error(err)
		return nil
	}
	var texts []string
	for _, v := range listed.Versions {
		read, err := l.Secrets.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: v.Name})
		if err != nil {
			l.t.Error(err)
			continue
		}
		texts = append(texts, string(read.Payload.Data))
	}
	return texts
}

// url returns an output that is a URL.
func (l *lab) url(output string) string { return l.outputs[output].(string) }

// want fails the test unless the command had this exit status and printed these texts.
func (l *lab) want(r ran, status int, texts ...string) {
	l.t.Helper()
	if r.status != status {
		l.t.Errorf("exit status %d, want %d", r.status, status)
	}
	for _, text := range texts {
		if !strings.Contains(r.out+r.err, text) {
			l.t.Errorf("the output does not contain %q", text)
		}
	}
	if l.t.Failed() {
		l.t.Fatalf("output:\n%s%s", r.out, r.err)
	}
}

// google is a stand-in for the REST APIs of Google Cloud. Its answers are those of a
// healthy project, unless a test changes one.
type google struct {
	options []option.ClientOption

	mu      sync.Mutex
	answers map[string]answer // by path
	log     func() []string   // returns the static function's log lines
}

type answer struct {
	status int
	body   string
}

func newGoogle(t *testing.T, l *lab) *google {
	t.Helper()
	g := &google{answers: map[string]answer{}, log: func() []string { return nil }}
	server := httptest.NewServer(g)
	t.Cleanup(server.Close)
	g.options = []option.ClientOption{option.WithEndpoint(server.URL), option.WithHTTPClient(server.Client())}

	root := "/v1/projects/" + l.ID
	g.set(root+"/services:batchGet", 200, `{"services":[{"name":"projects/1/services/pubsub.googleapis.com","state":"ENABLED"},{"name":"projects/1/services/run.googleapis.com","state":"ENABLED"}]}`)
	for _, topic := range topicsOf(functiontest.Routes) {
		g.set(root+"/topics/"+topic, 200, `{}`)
		g.set(root+"/subscriptions/"+topic+"-pull", 200, fmt.Sprintf(
			`{"topic":"projects/%s/topics/%s","deadLetterPolicy":{"deadLetterTopic":"projects/%s/topics/x"}}`, l.ID, topic, l.ID))
	}
	g.set(root+ttlPath, 200, `{"ttlConfig":{"state":"ACTIVE"}}`)
	g.set(metricPath(l, "num_undelivered_messages"), 200, `{"timeSeries":[{"points":[{"value":{"int64Value":"0"}},{"value":{"int64Value":"7"}}]}]}`)
	return g
}

// metricPath returns the key in answers for a metric of the dead-letter subscription:
// the path of all time series and the metric's name.
func metricPath(l *lab, metric string) string {
	return "/v3/projects/" + l.ID + "/timeSeries#" + metric
}

const ttlPath = "/databases/geminihook/collectionGroups/deliveries/fields/expire_at"

func (g *google) set(path string, status int, body string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.answers[path] = answer{status, body}
}

func (g *google) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	at, filter := r.URL.Path, r.URL.Query().Get("filter")
	if metric, ok := strings.CutPrefix(filter, `metric.type="pubsub.googleapis.com/subscription/`); ok {
		metric, _, _ = strings.Cut(metric, `"`)
		at += "#" + metric
	}
	g.mu.Lock()
	found, ok := g.answers[at]
	g.mu.Unlock()
	if !ok {
		found = answer{404, `{"error":{"code":404,"message":"Resource not found."}}`}
		if r.URL.Path == "/v2/entries:list" {
			found = g.entries(r)
		}
	}
	if path.Base(r.URL.Path) == "timeSeries" && !strings.Contains(filter, `resource.labels.subscription_id="geminihook-dead-letter"`) {
		found = answer{400, `{"error":{"code":400,"message":"Another filter."}}`}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(found.status)
	fmt.Fprint(w, found.body)
}

// entries returns the log entries of the requested function, newest first.
func (g *google) entries(r *http.Request) answer {
	var request struct {
		ResourceNames   []string
		Filter, OrderBy string
		PageSize        int
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		return answer{400, `{}`}
	}
	var entries []map[string]any
	g.mu.Lock()
	lines := g.log()
	g.mu.Unlock()
	for i, text := range lines {
		line := map[string]any{}
		if json.Unmarshal([]byte(text), &line) != nil || line["message"] != "delivery" ||
			!strings.Contains(request.Filter, `service_name="geminihook-static" AND jsonPayload.message="delivery"`) {
			continue
		}
		entries = append([]map[string]any{{"insertId": fmt.Sprint("line-", i), "jsonPayload": line}}, entries...)
	}
	body, err := json.Marshal(map[string]any{"entries": entries[:min(len(entries), request.PageSize)]})
	if err != nil {
		return answer{500, err.Error()}
	}
	return answer{200, string(body)}
}
