package serve

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genai"

	"github.com/geminihook/geminihook/scripts/internal/commandtest"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gcptest/cloudrun"
	"github.com/geminihook/geminihook/shared/gcptest/emulator/emulatortest"
)

// press sends the request of a button on the page.
func press(t *testing.T, s *commandtest.Serve, path, body string) (status int) {
	t.Helper()
	url := strings.TrimSuffix(s.Ready.StaticURL, staticPath) + "/inspector/" + path
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return send(t, req)
}

// registerJob publishes a job's name on the jobs topic, as an application does.
func registerJob(t *testing.T, s *commandtest.Serve, name string) {
	t.Helper()
	c, err := pubsub.NewTopicAdminClient(t.Context(), gcptest.ClientOptions(s.Ready.PubSub)...)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Publish(t.Context(), &pubsubpb.PublishRequest{
		Topic: s.Ready.JobsTopic, Messages: []*pubsubpb.PubsubMessage{{Data: []byte(name)}},
	})
	if err != nil {
		t.Fatal(err)
	}
}

// reconciled starts a batch and a registered video, loses their deliveries, and waits
// until passes have published both events. It returns the passes.
func reconciled(t *testing.T, s *commandtest.Serve) (passes []commandtest.Event) {
	t.Helper()
	c := sdk(t, s)
	batch, err := c.Batches.Create(t.Context(), "gemini-3.5-flash-lite", &genai.BatchJobSource{FileName: "files/requests"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	video, err := c.Models.GenerateVideosFromSource(t.Context(), "veo-3.1-generate-preview",
		&genai.GenerateVideosSource{Prompt: "Waves."}, nil)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{batch.Name: "batch.succeeded", video.Name: "video.generated"}
	for name := range want {
		if got := press(t, s, "jobs/lose", `{"name":"`+name+`"}`); got != http.StatusNoContent {
			t.Fatalf("lose %s: %d", name, got)
		}
	}
	registerJob(t, s, video.Name)
	for len(want) > 0 {
		switch e := s.Next(); {
		case e.Event == "pass":
			passes = append(passes, e)
		case e.Topic == s.Ready.JobsTopic:
			if string(e.Data) != video.Name {
				t.Errorf("registered %q", e.Data)
			}
		case !strings.HasSuffix(e.Attributes["ce-source"], "/webhooks/reconciled") || e.Attributes["ce-type"] != want[e.Attributes["ce-subject"]]:
			t.Fatalf("published %v", e.Attributes)
		default:
			delete(want, e.Attributes["ce-subject"])
		}
	}
	return passes
}

// Passes on the timer publish the events of lost deliveries.
func TestReconcilesOnATimer(t *testing.T) {
	s := commandtest.NewHome(t).Serve(t, "--job-time", "5s", "--grace", "1s", "--reconcile-every", "1s")
	passes := reconciled(t, s)
	rest, _ := s.Stop()
	handedOver := 0
	for _, e := range append(passes, rest...) {
		if e.Event != "pass" {
			t.Errorf("an unexpected event: %v", e)
			continue
		}
		handedOver += e.HandedOver
		if e.WebhookState != "enabled" || !e.WebhookOK || !e.Complete || e.Time.IsZero() || e.Calls == 0 || e.HandedOver != e.Missed {
			t.Errorf("%+v", e.Pass)
		}
	}
	if handedOver != 2 {
		t.Errorf("passes handed over %d events, want 2", handedOver)
	}
}

func TestReconcilesOnOfficialEmulators(t *testing.T) {
	firestore, _ := emulatortest.Firestore(t)
	pubsub, _ := emulatortest.PubSub(t)
	home := commandtest.NewHome(t)
	home.Env = []string{"FIRESTORE_EMULATOR_HOST=" + firestore, "PUBSUB_EMULATOR_HOST=" + pubsub}
	reconciled(t, home.Serve(t, "--emulators", "--job-time", "5s", "--grace", "1s", "--reconcile-every", "1s"))
}

// Only serve can call the reconciler: it has no path, another web page cannot press the
// button, and without a timer there is no pass.
func TestReconcilerIsPrivate(t *testing.T) {
	s := commandtest.NewHome(t).Serve(t)
	url := strings.TrimSuffix(s.Ready.StaticURL, staticPath) + "/" + reconcileName
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got := send(t, req); got != http.StatusNotFound {
		t.Errorf("answered %d, want 404", got)
	}
	req, _ = http.NewRequestWithContext(t.Context(), http.MethodPost, strings.TrimSuffix(s.Ready.StaticURL, staticPath)+"/inspector/reconcile", nil)
	req.Header.Set("Origin", "https://elsewhere.example")
	if got := send(t, req); got != http.StatusForbidden {
		t.Errorf("from another web page: answered %d, want 403", got)
	}
	if rest, _ := s.Stop(); len(rest) > 0 {
		t.Errorf("events %v", rest)
	}
}

// With --json, each pass is an event and its log line is unchanged. Without --json, a
// pass is shown in words, and only if the words have changed.
func TestPassIsShown(t *testing.T) {
	const (
		line = `{"time":"2026-11-25T10:00:00Z","severity":"WARNING","message":"pass","webhook_state":"enabled","webhook_ok":true,"jobs":2,"delivered":1,` +
			`"pending":0,"missed":1,"handed_over":1,"held":0,"reported":0,"lost":0,"rejected":0,"foreign":0,"truncated":false,"complete":true,"pass_ms":5012.5,"calls":2}` + "\n"
		event = `{"event":"pass","time":"2026-11-25T10:00:00Z","webhook_state":"enabled","webhook_ok":true,"jobs":2,"delivered":1,` +
			`"pending":0,"missed":1,"handed_over":1,"held":0,"reported":0,"lost":0,"rejected":0,"foreign":0,"truncated":false,"complete":true,"pass_ms":5012.5,"calls":2}` + "\n"
		words = "reconcile               complete, webhook enabled, 2 jobs, 1 delivered, 1 missed, 1 handed over\n"
	)
	for _, asJSON := range []bool{true, false} {
		c, out, logged := newConsole(asJSON), new(bytes.Buffer), new(bytes.Buffer)
		c.out, c.err = out, logged
		c.log([]byte(line))
		c.log([]byte(line))
		c.screen.close()
		if asJSON && (out.String() != event+event || logged.String() != line+line) {
			t.Errorf("shown\n%s%s", out, logged)
		}
		if _, after, _ := strings.Cut(logged.String(), "  "); !asJSON && (after != words || out.Len() > 0) {
			t.Errorf("shown\n%s%s", out, logged)
		}
	}
}

// The button runs a pass at once, and the page shows its counts and its action for the
// job.
func TestReconcileOnThePage(t *testing.T) {
	v, s := visit(t, "--job-time", "300ms", "--grace", "0s")
	v.Wait(`at("pass").textContent === "none yet"`)
	v.Click(`#webhook`)
	v.Wait(`at("webhook-state").textContent === "disabled_due_to_failed_deliveries"`)
	name := v.startJob("batch", "succeeded", "none")
	v.Click(`#reconcile`)
	v.Wait(`at("pass").textContent.endsWith("complete, webhook disabled_due_to_failed_deliveries, 1 job, 1 missed, 1 handed over")`)
	v.Wait(cell(1, 5) + ` === "none, then handed over"`)
	v.Screenshot(v.shots, "reconciled")
	events := []commandtest.Event{s.Next(), s.Next()} // in either order: one is of the log
	if events[0].Event == "pass" {
		events[0], events[1] = events[1], events[0]
	}
	if e := events[0]; e.Attributes["ce-subject"] != name || !strings.HasSuffix(e.Attributes["ce-source"], "/webhooks/reconciled") {
		t.Errorf("published %v", e.Attributes)
	}
	if e := events[1]; e.Event != "pass" || e.HandedOver != 1 {
		t.Errorf("%+v", e)
	}
	if faults := v.Faults(); len(faults) > 0 {
		t.Errorf("the console shows errors: %q", faults)
	}
	v.Look(390, 844, false)
	v.Screenshot(v.shots, "reconciled-phone")
}

// An incomplete pass is an error, and a wait for a pass ends when serve ends.
func TestRunPass(t *testing.T) {
	stop, end := context.WithCancel(t.Context())
	defer end()
	status := http.StatusOK
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
	}))
	defer server.Close()
	p := newPasses(stop, &function{instance: &cloudrun.Instance{Addr: server.Listener.Addr().String()}})
	if err := p.run(t.Context()); err != nil {
		t.Error(err)
	}
	status = http.StatusServiceUnavailable
	if err := p.run(t.Context()); err == nil || !strings.Contains(err.Error(), "the pass was incomplete") {
		t.Errorf("incomplete pass: %v", err)
	}
	<-p.turn // a pass is under way
	time.AfterFunc(10*time.Millisecond, end)
	if err := p.run(t.Context()); !errors.Is(err, context.Canceled) {
		t.Errorf("at the end of serve: %v", err)
	}
}
