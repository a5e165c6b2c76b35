package reconcile

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/settings"
)

const (
	secretID  = "geminihook-api-key"
	apiKey    = "AIza-the-key-of-the-test"
	staticURL = "https://hooks.example/static"
)

// start serves the function as deployed, in a project with an API key. It returns the
// Gemini API that the function calls, and a function that registers a job.
func start(t *testing.T, p *functiontest.Project) (*functiontest.Endpoint, *geminitest.API, func(job string)) {
	t.Helper()
	api := geminitest.New(apiKey)
	server := httptest.NewServer(api)
	t.Cleanup(server.Close)
	t.Cleanup(api.Close)
	p.AddSecret(t, secretID, apiKey)
	t.Setenv("API_KEY_SECRET_NAME", secretID)
	t.Setenv("GEMINI_API_URL", server.URL)
	t.Setenv("STATIC_URL", staticURL)
	logged := new(functiontest.Log)
	return functiontest.Serve(t, handler(cloudlog.New(logged)), logged), api, p.AddJobs(t)
}

// handler returns the function with l as its log.
func handler(l *slog.Logger) http.Handler {
	log = l
	return &instance.Handler{Build: build, Log: log, Line: "pass"}
}

var lost = geminitest.Delivery{Never: true}

// The event of a batch that Gemini did not deliver reaches its topic. An invalid name
// of a job reaches the topic for rejected names.
func TestPass(t *testing.T) {
	functiontest.OnBoth(t, func(t *testing.T, p *functiontest.Project) {
		endpoint, api, startJob := start(t, p)
		api.Add(staticURL)
		batch := api.StartBatch(geminitest.Job{Ago: 2 * time.Hour, Delivery: lost})
		startJob(api.StartInteraction(geminitest.Job{For: time.Hour}))
		startJob("hello")
		p.Messages(t)
		for _, handedOver := range []float64{1, 0} {
			if answer := endpoint.Post(t, "?mode=off", http.Header{}, ""); answer.Status != http.StatusOK {
				t.Fatalf("answered %d: %s", answer.Status, endpoint.Log.Text())
			}
			lines := endpoint.Log.Lines(t, "pass")
			line := lines[len(lines)-1]
			if line["handed_over"] != handedOver || line["complete"] != true || line["webhook_ok"] != true || line["jobs"] != 2.0 {
				t.Errorf("logged %v", line)
			}
		}
		var events int
		for _, m := range p.Messages(t) {
			if m.Topic == functiontest.BatchTopic {
				events++
				if m.Attributes["ce-subject"] != batch || m.Attributes["ce-type"] != "batch.succeeded" || m.Attributes["ce-scheme"] != "api" ||
					m.Attributes["ce-source"] != "//generativelanguage.googleapis.com/webhooks/reconciled" || m.Attributes["ce-time"] == "" {
					t.Errorf("%v", m.Attributes)
				}
			}
		}
		if events != 1 {
			t.Errorf("%d events", events)
		}
		if strings.Contains(endpoint.Log.Text(), apiKey) {
			t.Error("the log contains the API key")
		}
	})
}

// If the API rejects the key, the pass is incomplete, which raises an alert.
func TestNoKey(t *testing.T) {
	p := functiontest.Embedded(t)
	endpoint, api, _ := start(t, p)
	api.Revoke(true)
	if answer := endpoint.Post(t, "", http.Header{}, ""); answer.Status != http.StatusServiceUnavailable {
		t.Errorf("answered %d", answer.Status)
	}
	lines := endpoint.Log.Lines(t, "pass")
	if len(lines) != 1 || lines[0]["complete"] != false || lines[0]["webhook_ok"] != nil || lines[0]["severity"] != "WARNING" {
		t.Errorf("logged %v", lines)
	}
	if text := endpoint.Log.Text(); strings.Contains(text, apiKey) || !strings.Contains(text, "API key not valid") {
		t.Errorf("logged %s", text)
	}
}

// A pass needs a POST request. Its body is not read.
func TestRequests(t *testing.T) {
	p := functiontest.Embedded(t)
	endpoint, _, _ := start(t, p)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, endpoint.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	if answer := endpoint.Do(t, req); answer.Status != http.StatusMethodNotAllowed {
		t.Errorf("GET: answered %d", answer.Status)
	}
	body, unsent := io.Pipe() // never sent
	defer unsent.Close()
	if req, err = http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.URL, body); err != nil {
		t.Fatal(err)
	}
	if answer := endpoint.Do(t, req); answer.Status != http.StatusOK {
		t.Errorf("a body that never arrives: answered %d", answer.Status)
	}
}

// setValid sets the required settings.
func setValid(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"GOOGLE_CLOUD_PROJECT": "a-project", "ROUTES": "*=geminihook-other", "API_KEY_SECRET_NAME": secretID, "STATIC_URL": staticURL,
		"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
}

func TestDefaults(t *testing.T) {
	setValid(t)
	o, err := readOptions(new(settings.Reader))
	if err != nil {
		t.Fatal(err)
	}
	p := o.pass
	if p.Mode != "auto" || p.Grace != time.Hour || p.LookBack != 48*time.Hour || p.Reenable || p.PublishUnknown ||
		p.StaticURL.String() != staticURL || p.DynamicURL != nil {
		t.Errorf("%+v", p)
	}
	want := "{a-project (default) jobs reconcile projects/a-project/subscriptions/geminihook-jobs projects/a-project/topics/geminihook-jobs-rejected}"
	if got := fmt.Sprint(o.place); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if o.apiURL.String() != "https://generativelanguage.googleapis.com" || o.keySecret != "projects/a-project/secrets/"+secretID {
		t.Errorf("%v, %s", o.apiURL, o.keySecret)
	}
	t.Setenv("STATIC_WEBHOOK", "false")
	t.Setenv("STATIC_URL", "")
	if o, err = readOptions(new(settings.Reader)); err != nil || o.pass.StaticURL != nil {
		t.Errorf("%+v, %v", o.pass, err)
	}
}

// A value at its bound is valid. A value beyond it is a fault of that variable alone.
func TestBounds(t *testing.T) {
	for _, test := range []struct{ name, good, bad string }{
		{"API_KEY_SECRET_NAME", "projects/p/secrets/s", apiKey},
		{"API_KEY_SECRET_NAME", "x", ""},
		{"RECONCILE", "report", "off"},
		{"RECONCILE", "publish", "PUBLISH"},
		{"GRACE", "5m", "4m59s"},
		{"GRACE", "12h", "12h1s"},
		{"LOOK_BACK", "2h1s", "2h"},
		{"LOOK_BACK", "71h59m59s", "72h"},
		{"REENABLE", "true", "yes"},
		{"STATIC_WEBHOOK", "true", "2"},
		{"STATIC_URL", "http://127.0.0.1:1/", "hooks.example"},
		{"STATIC_URL", "https://h", ""},
		{"DYNAMIC_URL", "https://h?token=x", "/x"},
		{"JOBS_SUBSCRIPTION", "abc", "a/b"},
		{"JOBS_DEAD_LETTER_TOPIC", "abc", "google"},
		{"JOBS_COLLECTION", "started", "deliveries"},
		{"JOBS_COLLECTION", "x", "a/b"},
		{"JOBS_COLLECTION", "x", "reconcile"},
		{"STATE_COLLECTION", "notes", "deliveries"},
		{"PUBLISH_UNKNOWN", "1", "2"},
		{"GEMINI_API_URL", "http://127.0.0.1:1", "https://example.com"},
	} {
		t.Run(test.name, func(t *testing.T) {
			setValid(t)
			t.Setenv(test.name, test.good)
			if _, err := readOptions(new(settings.Reader)); err != nil {
				t.Errorf("%s=%s: %v", test.name, test.good, err)
			}
			t.Setenv(test.name, test.bad)
			_, err := readOptions(new(settings.Reader))
			if err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), test.name+": ") || strings.Contains(err.Error(), apiKey) {
				t.Errorf("%s=%s: %v", test.name, test.bad, err)
			}
		})
	}
}

// A stand-in for the API delivers at once, so that no grace is too short.
func TestGraceOfAStandIn(t *testing.T) {
	setValid(t)
	t.Setenv("GEMINI_API_URL", "http://127.0.0.1:1")
	t.Setenv("GRACE", "0s")
	if o, err := readOptions(new(settings.Reader)); err != nil || o.pass.Grace != 0 {
		t.Errorf("%v, %v", o.pass.Grace, err)
	}
	t.Setenv("GRACE", "-1s")
	if _, err := readOptions(new(settings.Reader)); err == nil || !strings.HasPrefix(err.Error(), "GRACE: ") {
		t.Errorf("less than zero: %v", err)
	}
}

// One log line contains all faults of the settings.
func TestSettings(t *testing.T) {
	p := functiontest.Embedded(t)
	endpoint, _, _ := start(t, p)
	bad := map[string]string{"API_KEY_SECRET_NAME": "", "RECONCILE": "off", "GRACE": "1", "STATIC_URL": "", "JOBS_COLLECTION": "a/b", "GEMINI_API_URL": "http://example.com"}
	for name, value := range bad {
		t.Setenv(name, value)
	}
	if answer := endpoint.Post(t, "", http.Header{}, ""); answer.Status != http.StatusServiceUnavailable {
		t.Errorf("answered %d", answer.Status)
	}
	lines := endpoint.Log.Lines(t, "pass")
	if len(lines) != 1 || lines[0]["step"] != "build" {
		t.Fatalf("logged %v", lines)
	}
	for name := range bad {
		if text := fmt.Sprint(lines[0]["error"]); strings.Count(text, name+": ") != 1 {
			t.Errorf("%q does not name %s", text, name)
		}
	}
}

// A failed build leaves nothing open, at any step.
func TestFailedBuildLeavesNothing(t *testing.T) {
	t.Setenv("API_KEY_SECRET_NAME", secretID)
	t.Setenv("STATIC_URL", staticURL)
	functiontest.FailedBuilds(t, handler)
}
