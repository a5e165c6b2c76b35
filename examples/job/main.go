// Command job starts jobs with the Gemini API and fetches their results. It is the program
// of docs/from-a-job-to-its-event.md:
//
//	job batch          starts a batch and prints its name
//	job results NAME   prints the results of a batch that succeeded
//	job video          starts a video, registers it, and prints the name of its operation
//
// GEMINI_API_KEY is the API key, and GOOGLE_CLOUD_PROJECT the project of the topic
// geminihook-jobs. If GOOGLE_GEMINI_BASE_URL and PUBSUB_EMULATOR_HOST are set, the program
// uses these in place of Google: `geminihook serve` prints their values.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/genai"

	"github.com/geminihook/geminihook/examples"
)

func main() {
	if err := run(context.Background(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "job:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	client, err := genai.NewClient(ctx, &genai.ClientConfig{Backend: genai.BackendGeminiAPI})
	if err != nil {
		return err
	}
	switch {
	case len(args) == 1 && args[0] == "batch":
		return startBatch(ctx, client)
	case len(args) == 2 && args[0] == "results":
		return printResults(ctx, client, args[1])
	case len(args) == 1 && args[0] == "video":
		return startVideo(ctx, client)
	}
	return errors.New("usage: job batch | results NAME | video")
}

func startBatch(ctx context.Context, client *genai.Client) error {
	batch, err := client.Batches.Create(ctx, "gemini-3.5-flash-lite", &genai.BatchJobSource{
		InlinedRequests: []*genai.InlinedRequest{{Contents: genai.Text("Hello.")}},
	}, nil)
	if err != nil {
		return err
	}
	fmt.Println(batch.Name)
	return nil
}

func printResults(ctx context.Context, client *genai.Client, name string) error {
	batch, err := client.Batches.Get(ctx, name, nil)
	if err != nil {
		return err
	}
	if batch.State != genai.JobStateSucceeded {
		return fmt.Errorf("%s: state is %s", name, batch.State)
	}
	for _, result := range batch.Dest.InlinedResponses {
		if result.Response == nil {
			return fmt.Errorf("%s: a request failed: %+v", name, result.Error)
		}
		fmt.Println(result.Response.Text())
	}
	return nil
}

func startVideo(ctx context.Context, client *genai.Client) error {
	messages, err := pubsub.NewClient(ctx, os.Getenv("GOOGLE_CLOUD_PROJECT"))
	if err != nil {
		return err
	}
	defer messages.Close()
	jobs := messages.Publisher("geminihook-jobs")
	defer jobs.Stop()

	operation, err := client.Models.GenerateVideosFromSource(ctx, "veo-3.1-generate-preview",
		&genai.GenerateVideosSource{Prompt: "Waves."}, nil)
	if err != nil {
		return err
	}
	fmt.Println(operation.Name)
	return examples.Register(ctx, jobs, operation.Name)
}
