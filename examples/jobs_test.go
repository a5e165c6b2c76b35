package examples_test

import (
	"context"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/genai"

	"github.com/geminihook/geminihook/examples"
	"github.com/geminihook/geminihook/shared/geminitest"
)

// gemini returns a stand-in for the Gemini API, the official client for it, and the
// bodies of the events that it delivers to the URL in a job's webhook config.
func gemini(t *testing.T) (*geminitest.API, *genai.Client, <-chan string) {
	t.Helper()
	api, events := geminitest.New("my-key"), make(chan string, 1)
	api.Deliveries = geminitest.InMemory(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		events <- string(body)
	}))
	t.Cleanup(api.Close)
	client, err := genai.NewClient(t.Context(), &genai.ClientConfig{
		APIKey: "my-key", Backend: genai.BackendGeminiAPI, HTTPClient: api.Client(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return api, client, events
}

// webhookConfig is the webhook config of started jobs.
var webhookConfig = &genai.WebhookConfig{
	Uris: []string{"https://example.com/hook"}, UserMetadata: map[string]any{"group": "nightly", "priority": 2.0},
}

// startVideo starts a video and returns its operation's name.
func startVideo(t *testing.T, client *genai.Client) string {
	t.Helper()
	operation, err := client.Models.GenerateVideosFromSource(t.Context(), "veo-3.1-generate-preview",
		&genai.GenerateVideosSource{Prompt: "Waves."}, &genai.GenerateVideosConfig{WebhookConfig: webhookConfig})
	if err != nil {
		t.Fatal(err)
	}
	return operation.Name
}

// next returns the next event.
func next(t *testing.T, events <-chan string) []byte {
	t.Helper()
	select {
	case event := <-events:
		return []byte(event)
	case <-time.After(10 * time.Second):
		t.Fatal("no event")
		return nil
	}
}

// If a video is registered, its name is on the topic for jobs.
func TestRegister(t *testing.T) {
	_, client, _ := gemini(t)
	messages, err := pubsub.NewClient(t.Context(), "my-project", pubsubOptions...)
	if err != nil {
		t.Fatal(err)
	}
	defer messages.Close()
	pull := subscribe(jobs, "jobs-worker", "")
	publisher := messages.Publisher("geminihook-jobs")
	defer publisher.Stop()

	name := startVideo(t, client)
	if err := examples.Register(t.Context(), publisher, name); err != nil {
		t.Fatal(err)
	}
	subscriber := subscriptionClient()
	defer subscriber.Close()
	got, err := subscriber.Pull(t.Context(), &pubsubpb.PullRequest{Subscription: pull, MaxMessages: 10})
	if err != nil || len(got.ReceivedMessages) != 1 || string(got.ReceivedMessages[0].Message.Data) != name {
		t.Errorf("registered %v, %v; want %s", got, err, name)
	}

	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := examples.Register(gone, publisher, name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("registered without a connection: %v", err)
	}
}

// A finished video is downloaded if any of the three fields points to it.
func TestVideo(t *testing.T) {
	for name, keep := range map[string]string{
		"all": "", "output_file_uri": "output_file_uri", "video_uri": "video_uri", "file_name": "file_name",
	} {
		api, client, events := gemini(t)
		api.ChangeEvent = func(event map[string]any) {
			data := event["data"].(map[string]any)
			data["video_uri"] = data["output_file_uri"]
			for _, pointer := range []string{"output_file_uri", "video_uri", "file_name"} {
				if keep != "" && pointer != keep {
					delete(data, pointer)
				}
			}
		}
		startVideo(t, client)
		video, err := examples.Video(t.Context(), client, next(t, events))
		if err != nil || !strings.Contains(string(video), "ftypmp42") {
			t.Errorf("%s: %q, %v", name, video, err)
		}
	}
}

// An incomplete download is an error, also if the SDK does not detect it.
func TestVideoErrors(t *testing.T) {
	api, client, events := gemini(t)
	startVideo(t, client)
	event := next(t, events)
	for name, test := range map[string]struct {
		event []byte
		fault geminitest.Fault
		want  string
	}{
		"not JSON":          {[]byte("x"), geminitest.Fault{}, "event"},
		"no file":           {[]byte(`{"type":"video.failed","data":{"id":"x"}}`), geminitest.Fault{}, "no file name in output_file_uri, video_uri or file_name"},
		"another's file":    {[]byte(`{"data":{"file_name":"files/of-another"}}`), geminitest.Fault{}, "permission"},
		"failed download":   {event, geminitest.Fault{Status: 500}, "is not its size"},
		"broken connection": {event, geminitest.Fault{Cut: true}, "download"},
	} {
		if test.fault != (geminitest.Fault{}) {
			api.Fail(geminitest.Download, test.fault)
		}
		if video, err := examples.Video(t.Context(), client, test.event); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %q, %v; want %q", name, video, err, test.want)
		}
	}
}

// The metadata of a job is found at both places of the event.
func TestUserMetadata(t *testing.T) {
	for name, change := range map[string]func(event map[string]any){
		"at the top": func(map[string]any) {},
		"in data": func(event map[string]any) {
			event["data"].(map[string]any)["user_metadata"] = event["user_metadata"]
			delete(event, "user_metadata")
		},
	} {
		api, client, events := gemini(t)
		api.ChangeEvent = change
		_, err := client.Batches.Create(t.Context(), "gemini-3.5-flash-lite", &genai.BatchJobSource{FileName: "files/requests"},
			&genai.CreateBatchJobConfig{WebhookConfig: webhookConfig})
		if err != nil {
			t.Fatal(err)
		}
		if got := examples.UserMetadata(next(t, events)); !reflect.DeepEqual(got, webhookConfig.UserMetadata) {
			t.Errorf("%s: %v", name, got)
		}
	}
	for _, body := range []string{"x", `{"type":"batch.succeeded","data":{"id":"batches/a"}}`} {
		if got := examples.UserMetadata([]byte(body)); got != nil {
			t.Errorf("%s: %v", body, got)
		}
	}
}
