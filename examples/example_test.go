package examples_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"
	"google.golang.org/genai"

	"github.com/geminihook/geminihook/examples"
)

func TestMain(m *testing.M) {
	stop := startEverything()
	status := m.Run()
	stop()
	os.Exit(status)
}

// A subscriber that counts finished batches, each once, however often it is told.
func ExampleOnce() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	messages, err := pubsub.NewClient(ctx, "my-project", pubsubOptions...)
	if err != nil {
		log.Fatal(err)
	}
	defer messages.Close()
	database, err := firestore.NewClient(ctx, "my-project", firestoreOptions...)
	if err != nil {
		log.Fatal(err)
	}
	defer database.Close()

	send("msg_1", `{"type":"batch.succeeded","data":{"id":"batches/a"}}`)
	send("msg_1", `{"type":"batch.succeeded","data":{"id":"batches/a"}}`) // a second copy
	send("msg_2", `{"type":"batch.succeeded","data":{"id":"batches/b"}}`)

	once := &examples.Once{Client: database, Collection: "handled", Keep: 10 * 24 * time.Hour}
	counters := database.Collection("counters")
	var handled, skipped atomic.Int64
	err = messages.Subscriber("batch-worker").Receive(ctx, func(ctx context.Context, m *pubsub.Message) {
		first, err := once.Do(ctx, m, func(tx *firestore.Transaction) error {
			return tx.Set(counters.Doc("batches"), map[string]any{"finished": firestore.Increment(1)}, firestore.MergeAll)
		})
		switch {
		case err != nil:
			log.Print(err)
			m.Nack() // it comes again; in the end it goes to the dead letters
			return
		case first:
			handled.Add(1)
		default:
			skipped.Add(1)
		}
		m.Ack() // what was handled before, too
		if handled.Load()+skipped.Load() == 3 {
			cancel()
		}
	})
	if err != nil {
		log.Fatal(err)
	}
	count, err := counters.Doc("batches").Get(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("handled", handled.Load(), "skipped", skipped.Load(), "counted", count.Data()["finished"])
	// Output: handled 2 skipped 1 counted 2
}

// The results of a batch that has finished. Elsewhere than in an example BaseURL is
// left out, and the event comes in a message.
func ExampleResults() {
	client, err := genai.NewClient(context.Background(), &genai.ClientConfig{
		APIKey:      "my-key",
		Backend:     genai.BackendGeminiAPI,
		HTTPClient:  &http.Client{Transport: examples.Strict{RoundTripper: http.DefaultTransport}},
		HTTPOptions: genai.HTTPOptions{BaseURL: gemini.URL},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, event := range []string{
		`{"type":"batch.succeeded","data":{"id":"batches/from-a-file"}}`,
		`{"type":"batch.succeeded","data":{"id":"inline"}}`,
		`{"type":"batch.succeeded","data":{"id":"batches/file-gone"}}`,
		`{"type":"batch.succeeded","data":{"id":"batches/of-another"}}`,
	} {
		results, err := examples.Results(context.Background(), client, []byte(event))
		if err != nil {
			fmt.Println("no results")
		}
		for _, r := range results {
			fmt.Printf("%q %q %q\n", r.Key, r.Text, r.Err)
		}
	}
	// Output:
	// "first" "Hello." ""
	// "second" "" "Too long."
	// "" "Hello, inline." ""
	// "" "" "Too long."
	// no results
	// no results
}

// gemini answers as the Gemini API does, for the paths that the example asks for.
var gemini = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	answer, ok := map[string]string{
		"/v1beta/batches/from-a-file": `{"name":"batches/from-a-file","metadata":{"state":"BATCH_STATE_SUCCEEDED","output":{"responsesFile":"files/batch-out"}}}`,
		"/v1beta/files/batch-out:download": `{"key":"first","response":{"candidates":[{"content":{"parts":[{"text":"Hello."}]}}]}}
			{"key":"second","error":{"code":400,"message":"Too long."}}`,
		"/v1beta/batches/inline": `{"name":"batches/inline","metadata":{"state":"BATCH_STATE_SUCCEEDED","output":{"inlinedResponses":{"inlinedResponses":[
			{"response":{"candidates":[{"content":{"parts":[{"text":"Hello, inline."}]}}]}},{"error":{"code":400,"message":"Too long."}}]}}}}`,
		"/v1beta/batches/file-gone": `{"name":"batches/file-gone","metadata":{"state":"BATCH_STATE_SUCCEEDED","output":{"responsesFile":"files/gone"}}}`,
	}[r.URL.Path]
	if !ok || r.Header.Get("X-Goog-Api-Key") != "my-key" {
		w.WriteHeader(http.StatusNotFound)
		answer = `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}`
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write([]byte(strings.TrimSpace(answer)))
}))
