package examples_test

import (
	"context"
	"fmt"
	"log"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2"

	"github.com/geminihook/geminihook/examples"
)

func TestMain(m *testing.M) {
	stop := startEverything()
	status := m.Run()
	stop()
	os.Exit(status)
}

// A subscriber that counts finished batches. It counts each once, although Pub/Sub can
// deliver several copies of its event.
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
			m.Nack() // Pub/Sub redelivers it, and makes it a dead letter after some attempts
			return
		case first:
			handled.Add(1)
		default:
			skipped.Add(1)
		}
		m.Ack() // also if the event was handled before
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

// The results of finished batches. In a subscriber, BaseURL is empty and the event is the
// data of a message.
func ExampleGemini_Results() {
	gemini := &examples.Gemini{Key: "my-key", BaseURL: batchAPI.URL}
	for _, event := range []string{
		`{"type":"batch.succeeded","data":{"id":"batches/from-a-file"}}`,
		`{"type":"batch.succeeded","data":{"id":"inline"}}`,
		`{"type":"batch.succeeded","data":{"id":"batches/of-another"}}`,
	} {
		results, err := gemini.Results(context.Background(), []byte(event))
		if err != nil {
			fmt.Println("not acknowledged:", err)
			continue
		}
		for _, r := range results {
			fmt.Printf("%s: text %q, reason %q\n", r.Key, r.Text, r.Reason)
		}
	}
	// Output:
	// first: text "Hello.", reason ""
	// second: text "", reason "Too long."
	// third: text "", reason "SAFETY"
	// inline-2: text "Hello, inline.", reason ""
	// inline-1: text "", reason "prompt blocked: PROHIBITED_CONTENT"
	// not acknowledged: batches/of-another: 404 Not Found: "{\"error\":{\"code\":404,\"message\":\"Requested entity was not found.\",\"status\":\"NOT_FOUND\"}}"
}

// batchAPI is a stand-in for the Gemini API.
var batchAPI = httptest.NewUnstartedServer(api(map[string]string{
	"/v1beta/batches/from-a-file": fileJob,
	"/v1beta/files/batch-out:download?alt=media": `{"key":"first","response":{"candidates":[{"content":{"parts":[{"text":"Hello."}]},"finishReason":"STOP"}]}}
{"key":"second","error":{"code":3,"message":"Too long."}}
{"key":"third","response":{"candidates":[{"finishReason":"SAFETY"}]}}`,
	"/v1beta/batches/inline": inlineJob(`{"response":{"candidates":[{"content":{"parts":[{"text":"Hello, inline."}]},"finishReason":"STOP"}]},"metadata":{"key":"inline-2"}},
		{"response":{"promptFeedback":{"blockReason":"PROHIBITED_CONTENT"}},"metadata":{"key":"inline-1"}}`),
}))
