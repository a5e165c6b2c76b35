package static

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const secretID = "geminihook-signing-secret"

// start serves the function as deployed, in a project whose signing secret has one
// version.
func start(t *testing.T, p *functiontest.Project) (*functiontest.Endpoint, sender) {
	t.Helper()
	secret := webhooktest.NewSecret()
	p.AddSecret(t, secretID, secret)
	return serve(t), newSender(t, secret)
}

func serve(t *testing.T) *functiontest.Endpoint {
	t.Helper()
	t.Setenv("SIGNING_SECRET_NAME", secretID)
	logged := new(functiontest.Log)
	return functiontest.Serve(t, handler(cloudlog.New(logged)), logged)
}

// handler returns the function with l as its log.
func handler(l *slog.Logger) http.Handler {
	log = l
	return &instance.Handler{Build: build, Log: log}
}

// sender signs with the library of the Standard Webhooks project.
type sender struct {
	*standardwebhooks.Webhook
}

func newSender(t *testing.T, secret string) sender {
	t.Helper()
	library, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return sender{library}
}

func (s sender) sign(t *testing.T, id string, at time.Time, body string) http.Header {
	t.Helper()
	signature, err := s.Sign(id, at, []byte(body))
	if err != nil {
		t.Fatal(err)
	}
	return webhooktest.Header(id, at, signature)
}

func TestDelivery(t *testing.T) {
	functiontest.OnBoth(t, func(t *testing.T, p *functiontest.Project) {
		endpoint, sender := start(t, p)
		wanted := map[string]string{
			"batch.succeeded": functiontest.BatchTopic, "batch.failed": functiontest.BatchTopic,
			"batch.expired": functiontest.BatchTopic, "batch.cancelled": functiontest.BatchTopic,
			"interaction.completed": functiontest.InteractionTopic, "interaction.requires_action": functiontest.InteractionTopic,
			"interaction.failed": functiontest.InteractionTopic, "interaction.cancelled": functiontest.InteractionTopic,
			"video.generated": functiontest.VideoTopic, "ping": functiontest.OtherTopic, "": functiontest.OtherTopic,
		}
		for eventType, topic := range wanted {
			id, body := webhooktest.NewID(), " "+string(webhooktest.NewEvent(eventType))+"\n"
			answer := endpoint.Post(t, "", sender.sign(t, id, time.Now(), body), body)
			if answer.Status != http.StatusNoContent {
				t.Fatalf("%s: answered %d", eventType, answer.Status)
			}
			messages := p.Messages(t)
			if len(messages) != 1 {
				t.Fatalf("%s: %d messages, want 1", eventType, len(messages))
			}
			m := messages[0]
			if m.Topic != topic || string(m.Data) != body {
				t.Errorf("%s: %q on %s, want %q on %s", eventType, m.Data, m.Topic, body, topic)
			}
			if m.Attributes["ce-id"] != id || m.Attributes["ce-type"] != eventType ||
				m.Attributes["ce-source"] != "//generativelanguage.googleapis.com/webhooks/static" {
				t.Errorf("%s: attributes %v", eventType, m.Attributes)
			}
			lines := endpoint.Log.Lines(t, "delivery")
			if len(lines) != 1 {
				t.Fatalf("%s: %d lines in the log, want 1", eventType, len(lines))
			}
			for field, want := range map[string]any{
				"severity": "INFO", "endpoint": "static", "scheme": "v1", "outcome": "published", "status": 204.0,
				"webhook_id": id, "message_id": m.MessageId, "topic": "projects/" + p.ID + "/topics/" + topic,
			} {
				if lines[0][field] != want {
					t.Errorf("%s: logged %s=%v, want %v", eventType, field, lines[0][field], want)
				}
			}
		}
	})
}

// A delivery's place in a trace goes on with it, in attributes of its own. The signature
// does not cover it, so an ill-formed one is dropped and changes nothing else.
func TestTraceparentGoesOn(t *testing.T) {
	functiontest.OnBoth(t, func(t *testing.T, p *functiontest.Project) {
		endpoint, sender := start(t, p)
		const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
		for sent, want := range map[string]string{
			traceparent: traceparent, "": "", "00-x": "", strings.ToUpper(traceparent): "", "01" + traceparent[2:]: "",
		} {
			const body = `{"type":"batch.succeeded"}`
			header := sender.sign(t, webhooktest.NewID(), time.Now(), body)
			header.Set("Traceparent", sent)
			header.Set("Tracestate", "vendor=value")
			if answer := endpoint.Post(t, "", header, body); answer.Status != http.StatusNoContent {
				t.Fatalf("traceparent %q: answered %d", sent, answer.Status)
			}
			messages := p.Messages(t)
			if len(messages) != 1 {
				t.Fatalf("traceparent %q: %d messages, want 1", sent, len(messages))
			}
			attributes := messages[0].Attributes
			for _, name := range []string{"ce-traceparent", "googclient_traceparent"} {
				if got, ok := attributes[name]; got != want || ok != (want != "") {
					t.Errorf("traceparent %q: %s is %q, want %q", sent, name, got, want)
				}
			}
			for name := range attributes {
				if strings.HasSuffix(name, "tracestate") {
					t.Errorf("traceparent %q: %s is passed on", sent, name)
				}
			}
		}
	})
}

// The calls of a delivery, with the secret in memory.
func TestCalls(t *testing.T) {
	functiontest.OnBoth(t, func(t *testing.T, p *functiontest.Project) {
		endpoint, sender := start(t, p)
		post := func(id string, at time.Time, body string) int {
			return endpoint.Post(t, "", sender.sign(t, id, at, body), body).Status
		}
		const body = `{"type":"batch.succeeded"}`
		id := webhooktest.NewID()
		post(webhooktest.NewID(), time.Now(), body)
		calls := p.Calls()
		slices.Sort(calls[:min(2, len(calls))]) // the secret is read and listed concurrently
		if !slices.Equal(calls, []string{
			functiontest.AccessVersion, functiontest.ListVersions,
			functiontest.Commit, functiontest.Publish, functiontest.Commit,
		}) {
			t.Errorf("the first delivery made the calls %v", calls)
		}
		tests := []struct {
			name   string
			at     time.Time
			body   string
			status int
			calls  []string
		}{
			{"accepted", time.Now(), body, http.StatusNoContent, []string{functiontest.Commit, functiontest.Publish, functiontest.Commit}},
			{"duplicate", time.Now(), body, http.StatusNoContent, []string{functiontest.Commit, functiontest.Read}},
			{"stale", time.Now().Add(-time.Hour), body, http.StatusUnauthorized, nil},
		}
		for _, test := range tests {
			if status := post(id, test.at, test.body); status != test.status {
				t.Errorf("%s: answered %d, want %d", test.name, status, test.status)
			}
			if calls := p.Calls(); !slices.Equal(calls, test.calls) {
				t.Errorf("%s: calls %v, want %v", test.name, calls, test.calls)
			}
		}
		forger := newSender(t, webhooktest.NewSecret())
		for range 500 {
			if status := endpoint.Post(t, "", forger.sign(t, webhooktest.NewID(), time.Now(), body), body).Status; status != http.StatusUnauthorized {
				t.Fatalf("forged: answered %d", status)
			}
		}
		if calls := p.Calls(); len(calls) != 0 {
			t.Errorf("500 forgeries within a minute of a refresh made the calls %v", calls)
		}
	})
}

// Fifty concurrent copies of a delivery are published once. The other copies are
// answered as busy or as duplicates.
func TestConcurrentCopies(t *testing.T) {
	functiontest.OnBoth(t, func(t *testing.T, p *functiontest.Project) {
		endpoint, sender := start(t, p)
		const body = `{"type":"video.generated"}`
		header := sender.sign(t, webhooktest.NewID(), time.Now(), body)
		var all sync.WaitGroup
		for range 50 {
			all.Go(func() {
				answer := endpoint.Post(t, "", header.Clone(), body)
				retryAfter := answer.Header.Get("Retry-After")
				switch {
				case answer.Status == http.StatusNoContent:
				case answer.Status == http.StatusServiceUnavailable && retryAfter == "30":
				default:
					t.Errorf("answered %d, Retry-After %q", answer.Status, retryAfter)
				}
			})
		}
		all.Wait()
		if n := len(p.Messages(t)); n != 1 {
			t.Errorf("published %d times, want 1", n)
		}
		if slices.Contains(p.Calls(), functiontest.Begin) {
			t.Error("a transaction was begun")
		}
		if answer := endpoint.Post(t, "", header, body); answer.Status != http.StatusNoContent {
			t.Errorf("after all have ended: answered %d", answer.Status)
		}
	})
}

// Each rejected request gets the status in the table and one line in the log, and
// reaches neither Firestore nor Pub/Sub.
func TestRefusals(t *testing.T) {
	p := functiontest.Embedded(t)
	endpoint, sender := start(t, p)
	const body = `{"type":"batch.succeeded","data":{"id":"batches/1"}}`
	set := func(name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set(name, value) }
	}
	tests := []struct {
		name   string
		spoil  func(*http.Request)
		status int
		level  string
		why    string // outcome
	}{
		{"GET", func(r *http.Request) { r.Method = http.MethodGet }, 405, "INFO", "method"},
		{"empty", func(r *http.Request) { r.Header = http.Header{}; r.Body, r.ContentLength = http.NoBody, 0 }, 400, "WARNING", "malformed"},
		{"no id", func(r *http.Request) { r.Header.Del("Webhook-Id") }, 400, "WARNING", "malformed"},
		{"id of 257", set("Webhook-Id", strings.Repeat("x", 257)), 400, "WARNING", "malformed"},
		{"id of 10,000", set("Webhook-Id", strings.Repeat("x", 10_000)), 400, "WARNING", "malformed"},
		{"id with a dot", set("Webhook-Id", "msg_1.2"), 400, "WARNING", "malformed"},
		{"id not UTF-8", set("Webhook-Id", "msg_\xff\xfe"), 400, "WARNING", "malformed"},
		{"two ids", func(r *http.Request) { r.Header.Add("Webhook-Id", "another") }, 400, "WARNING", "malformed"},
		{"two timestamps", func(r *http.Request) { r.Header.Add("Webhook-Timestamp", "1") }, 400, "WARNING", "malformed"},
		{"no timestamp", func(r *http.Request) { r.Header.Del("Webhook-Timestamp") }, 400, "WARNING", "malformed"},
		{"timestamp a date", set("Webhook-Timestamp", "2026-11-23T10:00:00Z"), 400, "WARNING", "malformed"},
		{"timestamp negative", set("Webhook-Timestamp", "-1"), 400, "WARNING", "malformed"},
		{"timestamp in milliseconds", set("Webhook-Timestamp", "1790000000000"), 400, "WARNING", "malformed"},
		{"another timestamp", set("Webhook-Timestamp", "1790000000"), 401, "WARNING", "forged"},
		{"no signature", func(r *http.Request) { r.Header.Del("Webhook-Signature") }, 400, "WARNING", "malformed"},
		{"signature of another scheme", func(r *http.Request) {
			r.Header.Set("Webhook-Signature", strings.Replace(r.Header.Get("Webhook-Signature"), "v1,", "v1a,", 1))
		}, 401, "WARNING", "forged"},
		{"signature without comma", set("Webhook-Signature", "v1"), 401, "WARNING", "forged"},
		{"signature not base64", set("Webhook-Signature", "v1,%%%%"), 401, "WARNING", "forged"},
		{"a token", set("Webhook-Signature", "eyJhbGciOiJub25lIn0.e30."), 401, "WARNING", "forged"},
		{"20,000 entries", set("Webhook-Signature", strings.Repeat("v1,AAAA ", 20_000)), 400, "WARNING", "malformed"},
		{"body changed", func(r *http.Request) { r.Body = io.NopCloser(strings.NewReader(strings.Replace(body, "1", "2", 1))) }, 401, "WARNING", "forged"},
		{"body over the limit", func(r *http.Request) { setBody(r, strings.Repeat("x", 1<<20+1)) }, 413, "WARNING", "too_large"},
		{"body over the limit, chunked", func(r *http.Request) { setBody(r, strings.Repeat("x", 1<<20+1)); r.ContentLength = -1 }, 413, "WARNING", "too_large"},
		{"robots.txt", func(r *http.Request) { r.Method, r.URL.Path = http.MethodGet, "/robots.txt" }, 405, "INFO", "method"},
		{"stale", func(r *http.Request) { r.Header = sender.sign(t, "msg_1", time.Now().Add(-6*time.Minute), body) }, 401, "ERROR", "stale"},
		{"ahead", func(r *http.Request) { r.Header = sender.sign(t, "msg_1", time.Now().Add(6*time.Minute), body) }, 401, "ERROR", "stale"},
	}
	for _, test := range tests {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header = sender.sign(t, webhooktest.NewID(), time.Now(), body)
		setBody(req, body)
		test.spoil(req)
		answer := endpoint.Do(t, req)
		if answer.Status != test.status {
			t.Errorf("%s: answered %d, want %d", test.name, answer.Status, test.status)
		}
		if test.status == http.StatusMethodNotAllowed && answer.Header.Get("Allow") != http.MethodPost {
			t.Errorf("%s: Allow %q", test.name, answer.Header.Get("Allow"))
		}
		if text := http.StatusText(test.status); strings.TrimSpace(answer.Body) != text {
			t.Errorf("%s: the response body is %q, want %q", test.name, answer.Body, text)
		}
		lines := endpoint.Log.Lines(t, "delivery")
		if len(lines) != 1 || lines[0]["outcome"] != test.why || lines[0]["severity"] != test.level || lines[0]["status"] != float64(test.status) {
			t.Errorf("%s: logged %v, want one line, %s, %s, %d", test.name, lines, test.level, test.why, test.status)
		}
	}
	if m := p.Messages(t); len(m) != 0 {
		t.Errorf("published %v", m)
	}
	if slices.ContainsFunc(p.Calls(), func(method string) bool { return !strings.Contains(method, "SecretManager") }) {
		t.Error("a rejected request reached Firestore or Pub/Sub")
	}
}

func setBody(r *http.Request, body string) {
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
}

// Unusual but valid deliveries are published.
func TestUnusualDeliveries(t *testing.T) {
	p := functiontest.Embedded(t)
	endpoint, sender := start(t, p)
	huge := strings.Repeat("x", 1<<20)
	tests := []struct {
		name, id, body string
	}{
		{"no body", webhooktest.NewID(), ""},
		{"1 MiB", webhooktest.NewID(), huge},
		{"not JSON", webhooktest.NewID(), "hello"},
		{"deep JSON", webhooktest.NewID(), strings.Repeat("[", 100_000)},
		{"data is a list", webhooktest.NewID(), `{"type":"batch.succeeded","data":[]}`},
		{"a type of 2,000 characters", webhooktest.NewID(), `{"type":"` + strings.Repeat("x", 2000) + `"}`},
		{"id of 1", "x", "{}"},
		{"id of 256", strings.Repeat("x", 256), "{}"},
		{"id with a slash", "a/b", "{}"},
		{"id with a space", "a b", "{}"},
	}
	for _, test := range tests {
		for _, length := range []int64{int64(len(test.body)), -1} {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint.URL, strings.NewReader(test.body))
			if err != nil {
				t.Fatal(err)
			}
			id := test.id
			if length < 0 {
				id = "c" + id[1:]
				req.Body = io.NopCloser(req.Body) // hides the length, so that the body is sent in chunks
			}
			req.ContentLength, req.Header = length, sender.sign(t, id, time.Now(), test.body)
			if answer := endpoint.Do(t, req); answer.Status != http.StatusNoContent {
				t.Errorf("%s: answered %d", test.name, answer.Status)
			}
			if m := p.Messages(t); len(m) != 1 || string(m[0].Data) != test.body || m[0].Attributes["ce-id"] != id {
				t.Errorf("%s: %d messages, want one with the same body and id", test.name, len(m))
			}
		}
	}
}

// Both secrets are accepted during a rotation. A disabled one is rejected.
func TestRotation(t *testing.T) {
	p := functiontest.Embedded(t)
	old, fresh := webhooktest.NewSecret(), webhooktest.NewSecret()
	p.AddSecret(t, secretID, old)
	p.AddSecret(t, secretID, fresh)
	gone := webhooktest.NewSecret()
	version := p.AddSecret(t, secretID, gone)
	if _, err := p.Secrets.DisableSecretVersion(t.Context(), &secretmanagerpb.DisableSecretVersionRequest{Name: version}); err != nil {
		t.Fatal(err)
	}
	endpoint := serve(t)
	for secret, want := range map[string]int{old: 204, fresh: 204, gone: 401} {
		header := newSender(t, secret).sign(t, webhooktest.NewID(), time.Now(), "{}")
		if got := endpoint.Post(t, "", header, "{}").Status; got != want {
			t.Errorf("answered %d, want %d", got, want)
		}
	}
	both := newSender(t, old).sign(t, "msg_both", time.Now(), "{}")
	other := newSender(t, gone).sign(t, "msg_both", time.Now(), "{}").Get("Webhook-Signature")
	both.Set("Webhook-Signature", other+" "+both.Get("Webhook-Signature"))
	if got := endpoint.Post(t, "", both, "{}").Status; got != 204 {
		t.Errorf("two signatures, the second by an enabled secret: answered %d", got)
	}
}

// Without a usable secret a delivery is answered 503, because it cannot be verified.
func TestNoSecret(t *testing.T) {
	secret := webhooktest.NewSecret()
	for name, versions := range map[string][]string{"no secret": nil, "a short one": {"whsec_c2hvcnQ="}, "an invalid one": {"change-me!"}} {
		t.Run(name, func(t *testing.T) {
			p := functiontest.Embedded(t)
			for _, v := range versions {
				p.AddSecret(t, secretID, v)
			}
			endpoint := serve(t)
			post := func() functiontest.Answer {
				return endpoint.Post(t, "", newSender(t, secret).sign(t, "msg_1", time.Now(), "{}"), "{}")
			}
			if answer := post(); answer.Status != http.StatusServiceUnavailable {
				t.Errorf("answered %d", answer.Status)
			}
			lines := endpoint.Log.Lines(t, "delivery")
			if len(lines) != 1 || lines[0]["outcome"] != "unavailable" || lines[0]["severity"] != "ERROR" {
				t.Errorf("logged %v", lines)
			}
			for _, v := range append(versions, secret) {
				if v != "" && strings.Contains(endpoint.Log.Text(), v) {
					t.Error("the log contains a secret")
				}
			}
			// The sender's retry succeeds after a good secret was added.
			p.AddSecret(t, secretID, secret)
			deadline := time.After(20 * time.Second)
			for post().Status != http.StatusNoContent {
				select {
				case <-deadline:
					t.Fatal("still rejected with a good secret")
				case <-time.After(50 * time.Millisecond):
				}
			}
		})
	}
}

// One log line contains all faults of the settings. After they are corrected, the
// function serves requests.
func TestSettings(t *testing.T) {
	p := functiontest.Embedded(t)
	t.Setenv("GOOGLE_CLOUD_PROJECT", "")
	t.Setenv("FIRESTORE_DATABASE", "no")
	t.Setenv("FIRESTORE_COLLECTION", "a/b")
	t.Setenv("ROUTES", "batch=topic")
	t.Setenv("TIMESTAMP_TOLERANCE", "5")
	t.Setenv("RECORD_RETENTION", "1h")
	endpoint, sender := start(t, p)
	t.Setenv("SIGNING_SECRET_NAME", "")
	post := func() int {
		return endpoint.Post(t, "", sender.sign(t, "msg_1", time.Now(), "{}"), "{}").Status
	}
	if status := post(); status != http.StatusServiceUnavailable {
		t.Errorf("answered %d", status)
	}
	lines := endpoint.Log.Lines(t, "delivery")
	if len(lines) != 1 {
		t.Fatalf("logged %v", lines)
	}
	for _, name := range []string{
		"GOOGLE_CLOUD_PROJECT", "FIRESTORE_DATABASE", "FIRESTORE_COLLECTION", "ROUTES", "TIMESTAMP_TOLERANCE", "RECORD_RETENTION", "SIGNING_SECRET_NAME",
	} {
		if text := fmt.Sprint(lines[0]["error"]); strings.Count(text, name+":") != 1 {
			t.Errorf("logged %q, want it to name %s", text, name)
		}
	}
	t.Setenv("GOOGLE_CLOUD_PROJECT", p.ID)
	t.Setenv("FIRESTORE_DATABASE", "")
	t.Setenv("FIRESTORE_COLLECTION", "")
	t.Setenv("ROUTES", functiontest.Routes)
	t.Setenv("TIMESTAMP_TOLERANCE", "")
	t.Setenv("RECORD_RETENTION", "24h5m")
	t.Setenv("SIGNING_SECRET_NAME", "projects/"+p.ID+"/secrets/"+secretID)
	if status := post(); status != http.StatusNoContent {
		t.Errorf("corrected: answered %d", status)
	}
}

// A failed build leaves nothing open, at any step.
func TestFailedBuildLeavesNothing(t *testing.T) {
	t.Setenv("SIGNING_SECRET_NAME", secretID)
	functiontest.FailedBuilds(t, handler)
}

// The log contains no body, signature or token, for any request.
func TestLogIsClean(t *testing.T) {
	p := functiontest.Embedded(t)
	endpoint, sender := start(t, p)
	const marker = "confidential-words-of-the-body"
	header := sender.sign(t, "msg_1", time.Now(), `{"type":"x","note":"`+marker+`"}`)
	signature := header.Get("Webhook-Signature")
	for _, body := range []string{`{"type":"x","note":"` + marker + `"}`, marker} {
		endpoint.Post(t, "?token="+marker, header.Clone(), body)
	}
	text := endpoint.Log.Text()
	for _, hidden := range []string{marker, signature, strings.TrimPrefix(signature, "v1,")} {
		if strings.Contains(text, hidden) {
			t.Errorf("the log contains %q:\n%s", hidden, text)
		}
	}
	sum := sha256.Sum256([]byte(marker))
	if bytes.Contains([]byte(text), []byte(hex.EncodeToString(sum[:]))) {
		t.Error("the log contains a digest of the body")
	}
}
