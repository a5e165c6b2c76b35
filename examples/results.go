package examples

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Gemini fetches the results of batch jobs from the Gemini API. It is safe for
// concurrent use.
//
// It uses net/http and not the SDK: google.golang.org/genai v1.77.0 drops the reason why a
// job failed and the embeddings of inline requests, and returns the body of an error
// answer as a file.
type Gemini struct {
	Key        string       // an API key of the project that created the job
	BaseURL    string       // empty means https://generativelanguage.googleapis.com
	HTTPClient *http.Client // nil means http.DefaultClient
	MaxBytes   int64        // maximum size of a job or a file, which is held in memory; 0 means 256 MiB
}

// timeout is the timeout of Results, which makes at most two calls.
const timeout = 10 * time.Minute

// A Result is the answer to one request of a batch. At least one of Text, Embedding
// and Reason is set.
type Result struct {
	// Key is the request's key in the input file, or metadata.key of an inline
	// request. It is empty if the request has none. The API does not keep the order
	// of inline requests, so give each of them a key.
	Key string

	// Text is the text of the first candidate, without the model's thoughts. If
	// Reason is set too, Text is incomplete.
	Text string

	// Embedding is set for a request of an embeddings batch.
	Embedding []float32

	// Reason is the reason why the answer is missing or incomplete. It is empty if the
	// answer is complete.
	Reason string

	// Raw is the answer as received. It also contains images, function calls, other
	// candidates and token counts.
	Raw json.RawMessage
}

// Results returns a Result for each request of the job of a batch.succeeded event. body is
// the data of the message. Results gets the job from the API and does not trust the event:
// any Gemini customer can cause genuine events, but a key can only read the jobs of its own
// project. The API keeps results for six weeks.
//
// Results fails if the event is not a batch.succeeded with a job, if the API fails or takes
// more than ten minutes, if the job has not succeeded, if an answer has more than MaxBytes,
// or if a result is missing or unreadable. It never returns a part of the results. If it
// fails, do not acknowledge the message.
func (g *Gemini) Results(ctx context.Context, body []byte) ([]Result, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	name, err := jobName(body)
	if err != nil {
		return nil, err
	}
	job, err := g.job(ctx, name)
	if err != nil {
		return nil, err
	}
	items, err := g.items(ctx, job.Metadata.Output)
	if err == nil && len(items) == 0 {
		items, err = g.items(ctx, job.Response)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	requests, _ := job.Metadata.BatchStats.RequestCount.Int64() // 0 if absent
	if int64(len(items)) < max(1, requests) {
		return nil, fmt.Errorf("%s: %d results for %d requests", name, len(items), requests)
	}
	results := make([]Result, len(items))
	for i, item := range items {
		if results[i], err = newResult(item); err != nil {
			return nil, fmt.Errorf("%s: result %d of %d: %w", name, i+1, len(items), err)
		}
	}
	return results, nil
}

// jobName returns the name of the job of a batch.succeeded event. In the documentation
// data.id has no "batches/" in front; the names of real jobs do.
func jobName(body []byte) (string, error) {
	var event struct {
		Type string
		Data struct{ ID string }
	}
	if err := json.Unmarshal(body, &event); err != nil {
		return "", fmt.Errorf("event: %w", err)
	}
	id := event.Data.ID[strings.LastIndex(event.Data.ID, "/")+1:]
	if event.Type != "batch.succeeded" || id == "" {
		return "", errors.New("event: not a batch.succeeded with data.id")
	}
	return "batches/" + url.PathEscape(id), nil
}

type job struct {
	Metadata struct {
		State      string
		Output     output
		BatchStats struct{ RequestCount json.Number } // a string, absent if 0
	}
	Response output // the same as Metadata.Output
	Error    json.RawMessage
}

// An output contains the name of the results file, or the results. The API was seen to
// send embeddings in InlinedResponses; genai v1.77.0 expects them in the other field.
type output struct {
	ResponsesFile                string
	InlinedResponses             struct{ InlinedResponses []json.RawMessage }
	InlinedEmbedContentResponses struct{ InlinedResponses []json.RawMessage }
}

// job returns the job of that name. It returns an error unless the job succeeded.
func (g *Gemini) job(ctx context.Context, name string) (*job, error) {
	text, err := g.get(ctx, name)
	if err != nil {
		return nil, err
	}
	job := new(job)
	if err := json.Unmarshal(text, job); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	// The API sends BATCH_STATE_SUCCEEDED, genai calls it JOB_STATE_SUCCEEDED.
	if !strings.HasSuffix(job.Metadata.State, "_STATE_SUCCEEDED") {
		return nil, fmt.Errorf("%s: state is %q, error is %.500q", name, job.Metadata.State, job.Error)
	}
	return job, nil
}

// items returns the output's results: the lines of the file, or the inline ones.
func (g *Gemini) items(ctx context.Context, o output) ([]json.RawMessage, error) {
	if o.ResponsesFile == "" {
		return append(o.InlinedResponses.InlinedResponses, o.InlinedEmbedContentResponses.InlinedResponses...), nil
	}
	text, err := g.get(ctx, o.ResponsesFile+":download?alt=media")
	if err != nil {
		return nil, err
	}
	var items []json.RawMessage
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 {
			items = append(items, line)
		}
	}
	return items, nil
}

// get returns what the API has under a name. Anything but a complete answer with
// status 200 is an error.
func (g *Gemini) get(ctx context.Context, name string) ([]byte, error) {
	base := cmp.Or(g.BaseURL, "https://generativelanguage.googleapis.com")
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+"/v1beta/"+name, nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Goog-Api-Key", g.Key)
	resp, err := cmp.Or(g.HTTPClient, http.DefaultClient).Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	limit := cmp.Or(g.MaxBytes, 256<<20)
	text, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s: %s: %.500q", name, resp.Status, text)
	case int64(len(text)) > limit:
		return nil, fmt.Errorf("%s: longer than %d bytes, raise MaxBytes", name, limit)
	}
	return text, nil
}
