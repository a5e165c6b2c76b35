package geminitest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const base = "https://generativelanguage.googleapis.com"

// bubble runs a test on virtual time, with an API that is closed at the end.
func bubble(t *testing.T, test func(t *testing.T, a *API, c client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		a := New("key")
		defer a.Close()
		test(t, a, client{t, base + "/v1beta", a.Client()})
	})
}

// at returns the value at a path of names and indexes in an answer, or nil.
func at(value any, path ...any) any {
	for _, step := range path {
		switch step := step.(type) {
		case string:
			members, _ := value.(map[string]any)
			value = members[step]
		case int:
			items, _ := value.([]any)
			if step >= len(items) {
				return nil
			}
			value = items[step]
		}
	}
	return value
}

// want checks values in an answer, by paths such as "metadata.state".
func want(t *testing.T, answer map[string]any, values map[string]any) {
	t.Helper()
	for path, value := range values {
		var steps []any
		for step := range strings.SplitSeq(path, ".") {
			steps = append(steps, step)
		}
		if got := at(answer, steps...); !reflect.DeepEqual(got, value) {
			t.Errorf("%s is %v, want %v in %v", path, got, value, answer)
		}
	}
}

// A batch has neither done nor endTime until it ends. Its counts are strings. Inline
// results are in the answer to a get twice, and not in a list.
func TestBatchEnds(t *testing.T) {
	for end, more := range map[string]map[string]any{
		BatchSucceeded:          {"error": nil},
		BatchFailed:             {"error.code": 3.0, "error.message": "Bad input.", "response": nil},
		BatchCancelled:          {"error.code": 1.0},
		BatchExpired:            {"error": nil, "response": nil},
		"BATCH_STATE_REMODELED": {"error": nil, "response": nil},
	} {
		bubble(t, func(t *testing.T, a *API, c client) {
			start := time.Now()
			name := a.StartBatch(Job{For: time.Hour, End: end, Inline: true, Requests: 2, Error: Error{3, "Bad input."}})
			pending := map[string]any{
				"name": name, "done": nil, "metadata.endTime": nil, "metadata.state": "BATCH_STATE_PENDING",
				"metadata.batchStats.requestCount": "2", "metadata.batchStats.pendingRequestCount": "2",
				"metadata.batchStats.successfulRequestCount": nil,
			}
			want(t, c.ok("GET", "/"+name, ""), pending)
			time.Sleep(30 * time.Minute)
			pending["metadata.state"] = "BATCH_STATE_RUNNING"
			want(t, c.ok("GET", "/"+name, ""), pending)
			time.Sleep(30 * time.Minute)
			more["done"], more["metadata.state"], more["metadata.endTime"] = true, end, start.Add(time.Hour).UTC().Format(time.RFC3339Nano)
			got := c.ok("GET", "/"+name, "")
			want(t, got, more)
			_, twice := at(got, "metadata", "output", "inlinedResponses", "inlinedResponses", 1).(map[string]any)
			if twice != (end == BatchSucceeded) || !reflect.DeepEqual(at(got, "metadata", "output", "inlinedResponses"), at(got, "response", "inlinedResponses")) {
				t.Errorf("results of %s: %v", end, got)
			}
			listed := c.ok("GET", "/batches", "")
			if at(listed, "operations", 0, "name") != name || strings.Contains(fmt.Sprint(listed), "inlined") {
				t.Errorf("listed %v", listed)
			}
		})
	}
}

// A batch with a file has the file's name, and the file can be downloaded after the
// batch has ended.
func TestBatchFile(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, c client) {
		name := a.StartBatch(Job{For: time.Minute, Requests: 3})
		file := "files/batch-" + strings.TrimPrefix(name, "batches/")
		c.refused("GET", "/"+file, "", 403, "permission")
		time.Sleep(time.Minute)
		want(t, c.ok("GET", "/"+name, ""), map[string]any{"metadata.output.responsesFile": file, "response.responsesFile": file})
		text := c.download("/" + file + ":download?alt=media")
		if lines := strings.Split(strings.TrimSpace(text), "\n"); len(lines) != 3 || !json.Valid([]byte(lines[2])) {
			t.Errorf("file holds %q", text)
		}
	})
}

// A batch that has not ended after 48 hours expires. A cancelled batch ends at once.
func TestBatchEndsEarly(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, c client) {
		long := a.StartBatch(Job{For: 100 * time.Hour})
		short := a.StartBatch(Job{For: time.Hour})
		c.ok("POST", "/"+short+":cancel", "")
		want(t, c.ok("GET", "/"+short, ""), map[string]any{"done": true, "metadata.state": BatchCancelled})
		time.Sleep(maxBatch - 1)
		want(t, c.ok("GET", "/"+long, ""), map[string]any{"done": nil})
		time.Sleep(time.Nanosecond)
		want(t, c.ok("GET", "/"+long, ""), map[string]any{"done": true, "metadata.state": BatchExpired})
		c.ok("DELETE", "/"+long, "")
		c.refused("GET", "/"+long, "", 404, "Requested entity was not found.", "NOT_FOUND")
	})
}

// The list is newest first, {} if empty, in pages that stay right while batches are
// started; "fields" leaves parts out.
func TestListBatches(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, c client) {
		if got := c.ok("GET", "/batches", ""); len(got) != 0 {
			t.Errorf("an empty list is %v", got)
		}
		var names []string
		for range 5 {
			names = append(names, a.StartBatch(Job{For: time.Hour}))
			a.StartVideo(Job{For: time.Hour})
			time.Sleep(time.Second)
		}
		names = append(names, a.StartBatch(Job{Ago: 3 * time.Hour, For: time.Hour}))
		names = append(names[5:], names[:5]...) // the oldest batch was started last
		slices.Reverse(names)
		var listed []string
		for token, query := "", ""; ; query = "&pageToken=" + token {
			got := c.ok("GET", "/batches?pageSize=2&fields=nextPageToken,operations(name,done,metadata/state)"+query, "")
			for i := range at(got, "operations").([]any) {
				listed = append(listed, at(got, "operations", i, "name").(string))
				if metadata := at(got, "operations", i, "metadata").(map[string]any); len(metadata) != 1 {
					t.Errorf("fields left %v", metadata)
				}
			}
			if token, _ = got["nextPageToken"].(string); token == "" {
				break
			}
			a.StartBatch(Job{})
		}
		if !slices.Equal(listed, names) {
			t.Errorf("listed %v, want %v", listed, names)
		}
		c.refused("GET", "/batches?pageToken=2", "", 400, "page token")
		c.refused("GET", "/batches?fields=a(b", "", 400, "field selection")
		a.IgnoreFields = true
		if got := c.ok("GET", "/batches?fields=nextPageToken", ""); got["operations"] == nil {
			t.Errorf("fields not ignored: %v", got)
		}
	})
}

func TestInteractionEnds(t *testing.T) {
	for _, end := range []string{
		InteractionCompleted, InteractionFailed, InteractionCancelled, InteractionRequiresAction,
		InteractionIncomplete, InteractionBudgetExceeded, InteractionRequiresContinuation,
	} {
		bubble(t, func(t *testing.T, a *API, c client) {
			time.Sleep(1500 * time.Millisecond)
			id := a.StartInteraction(Job{For: time.Minute, End: end})
			if !strings.HasPrefix(id, "v1_") || !strings.HasSuffix(id, "..") {
				t.Errorf("id %s", id)
			}
			want(t, c.ok("GET", "/interactions/"+id, ""), map[string]any{
				"id": id, "status": "in_progress", "created": "2000-01-01T00:00:01Z", "updated": "2000-01-01T00:00:01Z"})
			time.Sleep(time.Minute)
			got := c.ok("GET", "/interactions/"+id, "")
			want(t, got, map[string]any{"status": end, "created": "2000-01-01T00:00:01Z", "updated": "2000-01-01T00:01:01Z"})
			if end == InteractionFailed && at(got, "errors", 0, "code") != "13" {
				t.Errorf("failed without a code: %v", got)
			}
			c.ok("DELETE", "/interactions/"+id, "")
			c.refused("GET", "/interactions/"+id, "", 404, "code:not_found")
		})
	}
}

// TestCreateInteraction covers the rules of the call that creates an interaction.
func TestCreateInteraction(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, c client) {
		a.Run = func(string) Job { return Job{For: time.Hour} }
		got := c.ok("POST", "/interactions", `{"model":"gemini-omni-flash-preview","input":"x","background":true,
			"webhook_config":{"uris":["https://example.com"],"user_metadata":{"token":"t"}}}`)
		want(t, got, map[string]any{
			"status": "in_progress", "object": "interaction", "model": "gemini-omni-flash-preview",
			"webhook_config.user_metadata.token": "t"})
		got = c.ok("POST", "/interactions/"+got["id"].(string)+"/cancel", "")
		want(t, got, map[string]any{"status": InteractionCancelled})
		want(t, c.ok("POST", "/interactions", `{"agent":"a","input":"x"}`), map[string]any{"status": "completed"})
		for body, word := range map[string]string{
			`{"model":"m","input":"x","webhook_config":{"uris":["https://example.com"]}}`:                           "background",
			`{"model":"m","input":"x","background":true,"store":false}`:                                             "store",
			`{"model":"m","input":"x","background":true,"webhookConfig":{}}`:                                        "Did you mean 'webhook_config'",
			`{"model":"m","input":"x","background":true,"webhook_config":{"uris":["https://e"],"userMetadata":{}}}`: "Did you mean 'user_metadata'",
			`{"model":"m"}`: "required",
		} {
			c.refused("POST", "/interactions", body, 400, word, "code:invalid_request")
		}
	})
}

func TestVideoEnds(t *testing.T) {
	for end, values := range map[string]map[string]any{
		VideoGenerated: {"error": nil},
		VideoFailed:    {"error.code": 13.0, "response": nil},
		VideoFiltered:  {"error": nil, "response.generateVideoResponse.raiMediaFilteredCount": 1.0, "response.generateVideoResponse.generatedSamples": nil},
	} {
		bubble(t, func(t *testing.T, a *API, c client) {
			name := a.StartVideo(Job{For: time.Minute, End: end})
			if got := c.ok("GET", "/"+name, ""); !reflect.DeepEqual(got, map[string]any{"name": name}) {
				t.Errorf("running: %v", got)
			}
			time.Sleep(time.Minute)
			values["done"] = true
			got := c.ok("GET", "/"+name, "")
			want(t, got, values)
			if end != VideoGenerated {
				return
			}
			uri := at(got, "response", "generateVideoResponse", "generatedSamples", 0, "video", "uri").(string)
			path, ok := strings.CutPrefix(uri, base+"/v1beta")
			if body := c.download(path); !ok || body != video {
				t.Errorf("%s contains %q", uri, body)
			}
			time.Sleep(keepVideo)
			c.refused("GET", strings.TrimSuffix(path, ":download?alt=media"), "", 403, "permission")
		})
	}
}

// A get can answer 404 for a time, or 403 for ever, although the job exists.
func TestGetHidesJob(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, c client) {
		late := a.StartBatch(Job{For: time.Hour, Get: 404, GetFor: time.Minute})
		never := a.StartInteraction(Job{Get: 403})
		c.refused("GET", "/"+late, "", 404, "NOT_FOUND")
		c.refused("GET", "/interactions/"+never, "", 403, "permission_denied")
		time.Sleep(time.Minute)
		c.ok("GET", "/"+late, "")
		c.refused("GET", "/interactions/"+never, "", 403, "permission_denied")
	})
}

func TestFaultsOfCalls(t *testing.T) {
	bubble(t, func(t *testing.T, a *API, c client) {
		header := func(f Fault) http.Header {
			a.Fail(ListBatches, f)
			req, _ := http.NewRequest("GET", c.url+"/batches", nil)
			req.Header.Set("x-goog-api-key", "key")
			resp, err := c.client.Do(req)
			if err != nil || resp.StatusCode != f.Status {
				t.Fatalf("%+v: %v", f, err)
			}
			return resp.Header
		}
		if got := header(Fault{Status: 429, RetryAfter: 7 * time.Second}).Get("Retry-After"); got != "7" {
			t.Errorf("Retry-After: %q", got)
		}
		if got := header(Fault{Status: 429, RetryAfter: -1}); got.Get("Retry-After") != "" || got.Get("Retry-After-Ms") != "" {
			t.Errorf("headers %v", got)
		}
		a.Fail(CreateVideo, Fault{Cut: true, Done: true})
		if _, err := c.do("POST", "/models/m:predictLongRunning", `{"instances":[{}]}`); err == nil || len(a.Jobs()) != 1 {
			t.Errorf("a lost reply: %v, %d jobs", err, len(a.Jobs()))
		}
		a.Fail(ListBatches, Fault{Hang: true})
		c.client.Timeout = time.Minute
		start := time.Now()
		if _, err := c.do("GET", "/batches", ""); err == nil || time.Since(start) != time.Minute {
			t.Errorf("hung for %v: %v", time.Since(start), err)
		}
		a.Trouble = func(call string) Fault { return Fault{Status: map[string]int{ListBatches: 503}[call]} }
		c.refused("GET", "/batches", "", 503, "UNAVAILABLE")
		c.refused("GET", "/batches/x", "", 404, "NOT_FOUND")
		a.Trouble = nil
		a.Revoke(true)
		c.refused("GET", "/batches", "", 400, "API key not valid")
		a.Revoke(false)
		c.ok("GET", "/batches", "")
	})
}

// A hang over the network ends when the client gives up, even if the call has a body.
func TestHangOverNetwork(t *testing.T) {
	a, c := serve(t)
	a.Fail(Create, Fault{Hang: true})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url, strings.NewReader(good))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := http.DefaultClient.Do(req); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err) // the test's server waits for the handler
	}
}

// do is like call, but returns an error of the connection.
func (c client) do(method, path, body string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(c.t.Context(), method, c.url+path, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("x-goog-api-key", "key")
	return c.client.Do(req)
}

// download returns the content of a file.
func (c client) download(path string) string {
	c.t.Helper()
	resp, err := c.do("GET", path, "")
	if err != nil || resp.StatusCode != 200 {
		c.t.Fatalf("%s: %v, %v", path, resp, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return string(body)
}
