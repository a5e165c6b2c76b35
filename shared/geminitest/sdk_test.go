package geminitest

import (
	"bufio"
	"context"
	"errors"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/genai"
	"google.golang.org/genai/interactions/models/apierrors"
	"google.golang.org/genai/interactions/models/interactions"
	"google.golang.org/genai/interactions/models/operations"

	"github.com/geminihook/geminihook/shared/geminitest/sdktest"
)

// The official Go SDK can start, list, read and cancel jobs of each kind, and get
// their results.
func TestGoSDK(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, _ client) {
		a.Run = func(string) Job { return Job{For: 30 * time.Minute} }
		r, _ := static(t, a)
		c, err := genai.NewClient(t.Context(), &genai.ClientConfig{
			APIKey: "key", Backend: genai.BackendGeminiAPI, HTTPClient: a.Client(),
		})
		if err != nil {
			t.Fatal(err)
		}
		sdk := sdk{t, c}
		sdk.batches()
		sdk.interaction()
		sdk.video()
		if got := r.types(); !slices.Equal(got, []string{"batch.succeeded", "batch.succeeded", "interaction.completed", "video.generated"}) {
			t.Errorf("delivered %v", got)
		}
	})
}

type sdk struct {
	*testing.T
	*genai.Client
}

func (s sdk) batches() {
	ctx := s.Context()
	inline := must(s.Batches.Create(ctx, "gemini-3.5-flash-lite", &genai.BatchJobSource{InlinedRequests: []*genai.InlinedRequest{
		{Contents: genai.Text("one"), Metadata: map[string]string{"key": "first"}}, {Contents: genai.Text("two")},
	}}, &genai.CreateBatchJobConfig{DisplayName: "nightly"}))
	file := must(s.Batches.Create(ctx, "gemini-3.5-flash-lite", &genai.BatchJobSource{FileName: "files/requests"}, nil))
	gone := must(s.Batches.Create(ctx, "gemini-3.5-flash-lite", &genai.BatchJobSource{FileName: "files/requests"}, nil))
	if inline.State != genai.JobStatePending || inline.DisplayName != "nightly" || !inline.EndTime.IsZero() {
		s.Errorf("started %+v", inline)
	}
	if err := s.Batches.Cancel(ctx, gone.Name, nil); err != nil {
		s.Error(err)
	}
	time.Sleep(time.Hour)
	var listed []string
	for job, err := range s.Batches.All(ctx) {
		if err != nil {
			s.Fatal(err)
		}
		listed = append(listed, job.Name+" "+string(job.State))
	}
	if !slices.Equal(listed, []string{gone.Name + " JOB_STATE_CANCELLED", file.Name + " JOB_STATE_SUCCEEDED", inline.Name + " JOB_STATE_SUCCEEDED"}) {
		s.Errorf("listed %v", listed)
	}
	inline = must(s.Batches.Get(ctx, inline.Name, nil))
	results := inline.Dest.InlinedResponses
	if len(results) != 2 || results[0].Metadata["key"] != "first" || results[1].Response.Text() != "Answer 2." {
		s.Errorf("results %+v", results)
	}
	file = must(s.Batches.Get(ctx, file.Name, nil))
	text, err := s.Files.Download(ctx, genai.NewDownloadURIFromFile(&genai.File{DownloadURI: file.Dest.FileName}), nil)
	if err != nil || !strings.Contains(string(text), "Answer 1.") {
		s.Errorf("downloaded %q: %v", text, err)
	}
	_, err = s.Batches.Get(ctx, "batches/none", nil)
	if refused := (genai.APIError{}); !errors.As(err, &refused) || refused.Code != 404 || refused.Status != "NOT_FOUND" {
		s.Errorf("a batch that does not exist: %v", err)
	}
}

func (s sdk) interaction() {
	ctx, background := s.Context(), true
	input := interactions.NewInteractionsInput("Research this.")
	created := must(s.Interactions.Create(ctx, operations.CreateInteractionRequest{
		Body: operations.NewCreateInteractionRequestBody(interactions.CreateModelInteraction{
			Model: "gemini-3.5-flash", Background: &background, Input: &input,
		}),
	})).Interaction
	if *created.ID == "" || created.Status != "in_progress" {
		s.Errorf("started %+v", created)
	}
	time.Sleep(time.Hour)
	got := must(s.Interactions.Get(ctx, operations.GetInteractionByIDRequest{ID: *created.ID})).Interaction
	if got.Status != "completed" || len(got.Steps) != 1 {
		s.Errorf("ended %+v", got)
	}
	must(s.Interactions.Delete(ctx, operations.DeleteInteractionRequest{ID: *created.ID}))
	_, err := s.Interactions.Get(ctx, operations.GetInteractionByIDRequest{ID: *created.ID})
	refused := new(apierrors.GetInteractionByIDClientError)
	if !errors.As(err, &refused) || refused.HTTPMeta.Response.StatusCode != 404 || *refused.Error_.Code != "not_found" {
		s.Errorf("a deleted interaction: %v", err)
	}
}

func (s sdk) video() {
	ctx := s.Context()
	operation := must(s.Models.GenerateVideos(ctx, "veo-3.1-generate-preview", "Waves.", nil, nil))
	if operation.Done || len(LastSegment(operation.Name)) != 12 {
		s.Errorf("started %+v", operation)
	}
	time.Sleep(time.Hour)
	operation = must(s.Operations.GetVideosOperation(ctx, &genai.GenerateVideosOperation{Name: operation.Name}, nil))
	if !operation.Done || len(operation.Response.GeneratedVideos) != 1 {
		s.Fatalf("ended %+v", operation)
	}
	made, err := s.Files.Download(ctx, genai.NewDownloadURIFromGeneratedVideo(operation.Response.GeneratedVideos[0]), nil)
	if err != nil || string(made) != video {
		s.Errorf("downloaded %q: %v", made, err)
	}
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// The official JavaScript SDK can do the same, over the network and in real time.
func TestJavaScriptSDK(t *testing.T) {
	dir := sdktest.JavaScript(t)
	a := New("key")
	defer a.Close()
	a.Run = func(string) Job { return Job{For: 300 * time.Millisecond} }
	server := httptest.NewServer(a)
	defer server.Close()
	script, err := os.ReadFile("testdata/sdk.mjs")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "sdk.mjs")
	if err := os.WriteFile(file, script, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	node := exec.CommandContext(ctx, "node", file, server.URL)
	node.Dir = dir
	out, err := node.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var lines []string
	for scanner := bufio.NewScanner(strings.NewReader(string(out))); scanner.Scan(); {
		lines = append(lines, scanner.Text())
	}
	want := []string{
		"batch JOB_STATE_SUCCEEDED Answer 1.", "listed 1", "file Answer 1.",
		"interaction completed Answer.", "video true", "mp4 true", "missing 404",
	}
	if !slices.Equal(lines, want) {
		t.Errorf("printed %q, want %q", lines, want)
	}
}
