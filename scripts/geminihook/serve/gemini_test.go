package serve

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/genai"
	"google.golang.org/genai/interactions/models/interactions"
	"google.golang.org/genai/interactions/models/operations"

	"github.com/geminihook/geminihook/scripts/internal/commandtest"
	"github.com/geminihook/geminihook/shared/geminitest/sdktest"
)

// sdk returns the official client, configured with the URL and API key that serve
// printed.
func sdk(t *testing.T, s *commandtest.Serve) *genai.Client {
	t.Helper()
	c, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey: s.Ready.GeminiAPIKey, Backend: genai.BackendGeminiAPI,
		HTTPOptions: genai.HTTPOptions{BaseURL: s.Ready.GeminiURL},
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// aboutJob returns the next message. It must be an event of a job.
func aboutJob(t *testing.T, s *commandtest.Serve, topic, eventType, job string) commandtest.Event {
	t.Helper()
	e := s.Next()
	if !strings.HasSuffix(e.Topic, "/"+topic) || e.Attributes["ce-type"] != eventType || e.Attributes["ce-subject"] != job {
		t.Fatalf("published on %s: %v, want %s of %s on %s", e.Topic, e.Attributes, eventType, job, topic)
	}
	return e
}

// With the official SDK, a batch is started, its event is published, and its results
// can be fetched. The event of a video with a webhook config goes to the dynamic
// function.
func TestFromAJobToItsEvent(t *testing.T) {
	s := commandtest.NewHome(t).Serve(t, "--job-time", "300ms")
	c := sdk(t, s)
	batch, err := c.Batches.Create(t.Context(), "gemini-3.5-flash-lite", &genai.BatchJobSource{FileName: "files/requests"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := aboutJob(t, s, "geminihook-batch", "batch.succeeded", batch.Name)
	if source := e.Attributes["ce-source"]; !strings.HasSuffix(source, "/webhooks/static") {
		t.Errorf("ce-source %s", source)
	}
	batch, err = c.Batches.Get(t.Context(), batch.Name, nil)
	if err != nil || batch.State != genai.JobStateSucceeded {
		t.Fatalf("%+v, %v", batch, err)
	}
	results, err := c.Files.Download(t.Context(), genai.NewDownloadURIFromFile(&genai.File{DownloadURI: batch.Dest.FileName}), nil)
	if err != nil || !strings.Contains(string(results), "Answer 1.") {
		t.Errorf("results %q, %v", results, err)
	}

	background, input := true, interactions.NewInteractionsInput("Research this.")
	interaction, err := c.Interactions.Create(t.Context(), operations.CreateInteractionRequest{
		Body: operations.NewCreateInteractionRequestBody(interactions.CreateModelInteraction{
			Model: "gemini-3.5-flash", Background: &background, Input: &input,
		}),
	})
	if err != nil {
		t.Fatal(err)
	}
	aboutJob(t, s, "geminihook-interaction", "interaction.completed", *interaction.Interaction.ID)

	video, err := c.Models.GenerateVideos(t.Context(), "veo-3.1-generate-preview", "Waves.", nil, &genai.GenerateVideosConfig{
		WebhookConfig: &genai.WebhookConfig{Uris: []string{s.Ready.DynamicURL}, UserMetadata: map[string]any{"group": "nightly"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	e = aboutJob(t, s, "geminihook-video", "video.generated", video.Name)
	if source := e.Attributes["ce-source"]; !strings.HasSuffix(source, "/webhooks/dynamic") || !strings.Contains(string(e.Data), `"user_metadata":{"group":"nightly"}`) {
		t.Errorf("ce-source %s, %s", source, e.Data)
	}
}

// The samples in docs/sdk.md run unchanged: each starts a batch whose event arrives.
func TestSamples(t *testing.T) {
	s := commandtest.NewHome(t).Serve(t, "--job-time", "100ms")
	page, err := os.ReadFile("../../../docs/sdk.md")
	if err != nil {
		t.Fatal(err)
	}
	sample := func(language string) string {
		_, text, _ := strings.Cut(string(page), "\n```"+language+"\n")
		text, _, ok := strings.Cut(text, "\n```\n")
		if !ok {
			t.Fatalf("docs/sdk.md has no sample in %s", language)
		}
		return text
	}
	start := func(t *testing.T, dir, file, text, program string, args ...string) {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), program, append(args, filepath.Join(dir, file))...)
		cmd.Env = append(os.Environ(), "GOOGLE_GEMINI_BASE_URL="+s.Ready.GeminiURL, "GEMINI_API_KEY="+s.Ready.GeminiAPIKey, "GOOGLE_API_KEY=")
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		aboutJob(t, s, "geminihook-batch", "batch.succeeded", strings.TrimSpace(string(out)))
	}
	t.Run("go", func(t *testing.T) { start(t, t.TempDir(), "main.go", sample("go"), "go", "run") })
	t.Run("js", func(t *testing.T) { start(t, sdktest.JavaScript(t), "main.mjs", sample("js"), "node") })
}

// The stand-in delivers to this machine only, for any URL in a webhook config.
func TestOnlyHere(t *testing.T) {
	for url, want := range map[string]bool{
		"http://127.0.0.1:1/": true, "http://[::1]:1/": true, "http://192.0.2.1:1/": false,
		"http://example.com/": false, "http://198.51.100.7:1/": true,
	} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // before a request is sent
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = onlyHere("198.51.100.7").RoundTrip(req)
		if got := errors.Is(err, context.Canceled); got != want {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// The commands that manage the webhook work with a serve on this machine: a rotated
// secret is accepted, and a deleted webhook can be registered again.
func TestManageServe(t *testing.T) {
	home := commandtest.NewHome(t)
	s := home.Serve(t, "--job-time", "300ms")
	home.Env = append(home.Env, "GEMINI_API_KEY=of-a-real-project")
	run := func(want string, args ...string) {
		t.Helper()
		ran := home.Run(t, "", append(args, "--serve")...)
		if ran.Status != 0 || !strings.Contains(ran.Stdout, want) {
			t.Fatalf("%v: status %d, %s%s", args, ran.Status, ran.Stdout, ran.Stderr)
		}
	}
	run("enabled", "list")
	run("nothing was changed", "register") // serve has made one
	run("version 2 of", "rotate")
	c := sdk(t, s)
	batch, err := c.Batches.Create(t.Context(), "gemini-3.5-flash-lite", &genai.BatchJobSource{FileName: "files/requests"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	aboutJob(t, s, "geminihook-batch", "batch.succeeded", batch.Name)
	run("deleted", "delete", "--yes")
	run("registered", "register")
	run("enabled", "list")

	s.Stop()
	ran := home.Run(t, "", "register", "--serve")
	if ran.Status != 1 || !strings.Contains(ran.Stderr, "no serve runs on this machine") {
		t.Errorf("without a serve: status %d, %s", ran.Status, ran.Stderr)
	}
}

// The page starts jobs of each kind, and shows their final states and their deliveries.
// While the webhook is disabled, there are no deliveries.
func TestJobsOnThePage(t *testing.T) {
	v, s := visit(t, "--job-time", "300ms")
	name := v.startJob("batch", "succeeded", "204 from /StaticWebhook")
	aboutJob(t, s, "geminihook-batch", "batch.succeeded", name)

	// The page accepts a secret that was added while it was open.
	if ran := s.Home.Run(t, "", "rotate", "--serve"); ran.Status != 0 {
		t.Fatalf("rotate: %s", ran.Stderr)
	}
	name = v.startJob("video", "generated", "204 from /StaticWebhook")
	aboutJob(t, s, "geminihook-video", "video.generated", name)
	v.Wait(`rows.children.length === 2`)
	if shown := v.open("published"); !strings.Contains(shown, "version 2 of the signing secret") || strings.Contains(shown, "disagree with the function") {
		t.Errorf("after a rotation: %s", shown)
	}
	v.Press("Escape")

	v.Click(`#webhook`)
	v.Wait(`at("webhook-state").textContent === "disabled_due_to_failed_deliveries"`)
	v.startJob("interaction", "completed", "none")
	v.Screenshot(v.shots, "jobs")

	v.Click(`#webhook`)
	v.Wait(`at("webhook-state").textContent === "enabled"`)
	v.choose("end", "failure")
	name = v.startJob("batch", "failed", "204 from /StaticWebhook")
	aboutJob(t, s, "geminihook-batch", "batch.failed", name) // nothing was published in between
	v.Look(390, 844, false)
	v.Screenshot(v.shots, "jobs-phone")
}

// The delivery of a running job can be lost, once.
func TestLoseOnThePage(t *testing.T) {
	v, _ := visit(t, "--job-time", "1h")
	v.startJob("batch", "running", "when it ends")
	v.Screenshot(v.shots, "job-running")
	v.Click(`[data-lose]`)
	v.Wait(cell(1, 5) + ` === "lost"`)
	v.Wait(`!document.querySelector("[data-lose]")`)
}

// startJob starts a job on the page, waits until the list shows the state and the
// deliveries, and returns the job's name.
func (v *visitor) startJob(kind, state, sent string) (name string) {
	v.t.Helper()
	before := v.Eval(`at("job-rows").children.length`)
	v.Click(`[data-job=` + kind + `]`)
	v.Wait(fmt.Sprintf(`at("job-rows").children.length > %s && %s === %q && %s === %q`, before, cell(1, 2), state, cell(1, 5), sent))
	return v.Eval(cell(1, 3))
}

// cell returns a JavaScript expression for the text of a cell in the list of jobs. Rows
// and columns count from 1.
func cell(row, column int) string {
	return fmt.Sprintf(`document.querySelector("#job-rows tr:nth-child(%d) td:nth-child(%d)")?.textContent`, row, column)
}
