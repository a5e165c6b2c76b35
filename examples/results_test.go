package examples_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/examples"
)

const notFound = `{"error":{"code":404,"message":"Requested entity was not found.","status":"NOT_FOUND"}}`

// api serves answers by path and query, if the key is my-key.
func api(answers map[string]string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=UTF-8")
		answer, ok := answers[r.URL.RequestURI()]
		if !ok || r.Header.Get("X-Goog-Api-Key") != "my-key" {
			w.WriteHeader(http.StatusNotFound)
			answer = notFound
		}
		_, _ = io.WriteString(w, answer)
	})
}

// A finished job with an input file, as the API sends it.
const fileJob = `{"name":"batches/x",
 "metadata":{"@type":"type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
  "model":"models/gemini-3.5-flash-lite","displayName":"x","inputConfig":{"fileName":"files/voe5u4gdj968"},
  "output":{"responsesFile":"files/batch-out"},
  "createTime":"2026-08-20T20:08:31.015405218Z","endTime":"2026-08-20T20:10:25.852081585Z",
  "state":"BATCH_STATE_SUCCEEDED","name":"batches/x"},
 "done":true,
 "response":{"@type":"type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatchOutput","responsesFile":"files/batch-out"}}`

// inlineJob returns a finished job with inline results, which the API sends twice.
func inlineJob(results string) string {
	output := `{"inlinedResponses":{"inlinedResponses":[` + results + `]}}`
	return `{"name":"batches/x","metadata":{"output":` + output + `,"state":"BATCH_STATE_SUCCEEDED"},"done":true,"response":` + output + `}`
}

// get returns the results of a job, and of its file if the job names one.
func get(t *testing.T, job, file string) ([]examples.Result, error) {
	t.Helper()
	server := httptest.NewServer(api(map[string]string{
		"/v1beta/batches/x":                          job,
		"/v1beta/files/batch-out:download?alt=media": file,
	}))
	defer server.Close()
	gemini := &examples.Gemini{Key: "my-key", BaseURL: server.URL, HTTPClient: server.Client(), MaxBytes: 4 << 20}
	return gemini.Results(t.Context(), []byte(`{"type":"batch.succeeded","data":{"id":"batches/x"}}`))
}

// said returns a response with these parts.
func said(parts string) string {
	return `{"candidates":[{"content":{"parts":[` + parts + `],"role":"model"},"finishReason":"STOP","index":0}]}`
}

// The result of every answer has a text, an embedding or a reason.
func TestAnswers(t *testing.T) {
	long := strings.Repeat("long ", 200_000)
	for name, test := range map[string]struct{ answer, text, reason string }{
		"text":                   {`"response":` + said(`{"text":"Hi."}`), "Hi.", ""},
		"long text":              {`"response":` + said(`{"text":"`+long+`"}`), long, ""},
		"several parts":          {`"response":` + said(`{"text":"Think.","thought":true},{"text":"Hi, "},{"text":"you."}`), "Hi, you.", ""},
		"no parts":               {`"response":{"candidates":[{"content":{"role":"model"},"finishReason":"STOP"}]}`, "", "STOP without a text"},
		"thoughts only":          {`"response":` + said(`{"text":"Think.","thought":true}`), "", "STOP without a text"},
		"function call":          {`"response":` + said(`{"functionCall":{"name":"f"}}`), "", "STOP without a text"},
		"prompt blocked":         {`"response":{"promptFeedback":{"blockReason":"SAFETY"}}`, "", "prompt blocked: SAFETY"},
		"prompt blocked, why":    {`"response":{"promptFeedback":{"blockReason":"OTHER","blockReasonMessage":"No."}}`, "", "prompt blocked: OTHER: No."},
		"safety":                 {`"response":{"candidates":[{"finishReason":"SAFETY","index":0}]}`, "", "SAFETY"},
		"recitation":             {`"response":{"candidates":[{"content":{},"finishReason":"RECITATION"}]}`, "", "RECITATION"},
		"cut text":               {`"response":{"candidates":[{"content":{"parts":[{"text":"Hi, y"}]},"finishReason":"MAX_TOKENS"}]}`, "Hi, y", "MAX_TOKENS"},
		"reason of tomorrow":     {`"response":{"candidates":[{"finishReason":"TIRED","finishMessage":"Good night."}]}`, "", "TIRED: Good night."},
		"not finished":           {`"response":{"candidates":[{"content":{"parts":[{"text":"Hi"}]}}]}`, "Hi", "no finishReason"},
		"no candidates":          {`"response":{"candidates":[],"modelVersion":"m"}`, "", `neither candidates nor an embedding: {"candidates":[],"modelVersion":"m"}`},
		"response {}":            {`"response":{}`, "", "neither candidates nor an embedding: {}"},
		"response null":          {`"response":null`, "", "neither candidates nor an embedding: "},
		"empty embedding":        {`"response":{"embedding":{}}`, "", `neither candidates nor an embedding: {"embedding":{}}`},
		"response of other type": {`"response":{"candidates":"no"}`, "", "unreadable response: json: "},
		"error":                  {`"error":{"code":3,"message":"Too long."}`, "", "Too long."},
		"error, code only":       {`"error":{"code":13}`, "", `error {"code":13}`},
		"error, status only":     {`"error":{"status":"INTERNAL"}`, "", `error {"status":"INTERNAL"}`},
		"error {}":               {`"error":{}`, "", "error {}"},
		"error of other type":    {`"error":"quota"`, "", `error "quota"`},
		"error beside response":  {`"error":{"message":"No."},"response":` + said(`{"text":"Hi."}`), "", "No."},
		"error null":             {`"error":null,"response":` + said(`{"text":"Hi."}`), "Hi.", ""},
		"documented response":    {`"candidates":[{"content":{"parts":[{"text":"Hi."}]},"finishReason":"STOP"}]`, "Hi.", ""},
		"documented status":      {`"code":3,"message":"No."`, "", `neither candidates nor an embedding: {`},
		"neither":                {`"other":1`, "", "neither candidates nor an embedding: {"},
	} {
		t.Run(name, func(t *testing.T) {
			line := `{"key":"k",` + test.answer + `}`
			results, err := get(t, fileJob, line)
			check(t, results, err, line, test.text, test.reason)

			item := `{"metadata":{"key":"k"},` + test.answer + `}`
			results, err = get(t, inlineJob(item), "")
			check(t, results, err, item, test.text, test.reason)
		})
	}
}

// check reports an error unless there is one result with the key k, the raw answer and the
// text, and with a reason that begins with reason.
func check(t *testing.T, results []examples.Result, err error, raw, text, reason string) {
	t.Helper()
	if err != nil || len(results) != 1 {
		t.Fatalf("%d results, %v; want one", len(results), err)
	}
	r := results[0]
	if r.Key != "k" || r.Text != text || string(r.Raw) != raw {
		t.Errorf("key %q, text %.50q, raw %.50q; want k, %.50q, %.50q", r.Key, r.Text, r.Raw, text, raw)
	}
	if !strings.HasPrefix(r.Reason, reason) || reason == "" && r.Reason != "" {
		t.Errorf("reason %q, want %q", r.Reason, reason)
	}
	if r.Text == "" && r.Reason == "" {
		t.Error("neither text nor reason")
	}
}

func TestEmbeddings(t *testing.T) {
	const values = `"response":{"embedding":{"values":[0.5,-1]},"tokenCount":"3"}`
	for name, answer := range map[string][2]string{ // job, file
		"file":                {fileJob, `{"key":"k",` + values + `}`},
		"inline":              {inlineJob(`{"metadata":{"key":"k"},` + values + `}`), ""},
		"inline as genai has": {strings.ReplaceAll(inlineJob(`{"metadata":{"key":"k"},`+values+`}`), `{"inlinedResponses":{`, `{"inlinedEmbedContentResponses":{`), ""},
	} {
		results, err := get(t, answer[0], answer[1])
		if err != nil || len(results) != 1 {
			t.Errorf("%s: %d results, %v", name, len(results), err)
			continue
		}
		if r := results[0]; r.Key != "k" || r.Reason != "" || !slices.Equal(r.Embedding, []float32{0.5, -1}) {
			t.Errorf("%s: %+v", name, r)
		}
	}
}

func TestKeys(t *testing.T) {
	hi := `"response":` + said(`{"text":"Hi."}`)
	lines := `{"key":"b",` + hi + "}\n\n" + `{"key":1,` + hi + "}\r\n" + `{"metadata":{"key":"c"},` + hi + "}\n" + `{` + hi + "}\n"
	inline := `{"metadata":{"key":"b"},` + hi + `},{"metadata":{"key":1},` + hi + `},{` + hi + `,"metadata":{"key":"c","other":2}},{` + hi + `}`
	want := []string{"b", "1", "c", ""}
	for _, answer := range [][2]string{{fileJob, lines}, {inlineJob(inline), ""}} {
		results, err := get(t, answer[0], answer[1])
		var keys []string
		for _, r := range results {
			keys = append(keys, r.Key)
		}
		if err != nil || !slices.Equal(keys, want) {
			t.Errorf("keys %q, %v; want %q of %s", keys, err, want, answer)
		}
	}
}

// If a result is missing or unreadable, Results fails, so that the event is not
// acknowledged.
func TestNoResults(t *testing.T) {
	hi := `{"key":"k","response":` + said(`{"text":"Hi."}`) + `}`
	succeeded := func(more string) string {
		return `{"name":"batches/x","metadata":{"state":"BATCH_STATE_SUCCEEDED"` + more + `},"done":true}`
	}
	three := `,"batchStats":{"requestCount":"3","successfulRequestCount":"3"}`
	counted := strings.Replace(fileJob, `,
  "createTime"`, three+`,"createTime"`, 1)
	for name, test := range map[string]struct{ job, file, want string }{
		"output {}":            {succeeded(`,"output":{}`), "", "0 results"},
		"no output":            {succeeded(""), "", "0 results"},
		"no inline results":    {inlineJob(""), "", "0 results"},
		"empty file":           {fileJob, "", "0 results"},
		"blank file":           {fileJob, "\n\n", "0 results"},
		"fewer lines":          {counted, hi + "\n" + hi + "\n", "2 results for 3 requests"},
		"fewer inline results": {succeeded(three + `,"output":{"inlinedResponses":{"inlinedResponses":[{}]}}`), "", "1 results for 3 requests"},
		"no JSON in a line":    {fileJob, hi + "\nno JSON\n" + hi, "result 2 of 3"},
		"cut last line":        {fileJob, hi + "\n" + hi[:len(hi)/2], "result 2 of 2"},
		"line of other type":   {fileJob, "[]\n", "result 1 of 1"},
		"file gone":            {strings.ReplaceAll(fileJob, "batch-out", "gone"), "", "404 Not Found"},
		"file too long":        {fileJob, strings.Repeat(" ", 4<<20) + hi, "raise MaxBytes"},
		"job {}":               {`{}`, "", `state is ""`},
		"job no JSON":          {`<html>`, "", "invalid character"},
		"still running":        {`{"name":"batches/x","metadata":{"state":"BATCH_STATE_RUNNING"}}`, "", `state is "BATCH_STATE_RUNNING"`},
		"failed":               {`{"name":"batches/x","metadata":{"state":"BATCH_STATE_FAILED"},"done":true,"error":{"code":8,"message":"Quota."}}`, "", "Quota."},
	} {
		t.Run(name, func(t *testing.T) {
			results, err := get(t, test.job, test.file)
			if err == nil || results != nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("%d results, error %v; want none and %q", len(results), err, test.want)
			}
		})
	}
}

// An incomplete download is an error.
func TestBrokenDownload(t *testing.T) {
	hi := `{"key":"k","response":` + said(`{"text":"Hi."}`) + "}\n"
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, ":download") {
			w.Header().Set("Content-Length", fmt.Sprint(2*len(hi)))
			_, _ = io.WriteString(w, hi)
			return
		}
		_, _ = io.WriteString(w, fileJob)
	}))
	defer server.Close()
	gemini := &examples.Gemini{BaseURL: server.URL}
	results, err := gemini.Results(t.Context(), []byte(`{"type":"batch.succeeded","data":{"id":"x"}}`))
	if err == nil {
		t.Errorf("%d results and no error", len(results))
	}
}

// If the event is not of a succeeded batch, Results makes no request.
func TestOtherEvents(t *testing.T) {
	gemini := &examples.Gemini{BaseURL: "http://127.0.0.1:0"}
	for _, event := range []string{
		``, `{}`, `no JSON`,
		`{"type":"batch.failed","data":{"id":"batches/x"}}`,
		`{"type":"batch.succeeded","data":{}}`,
		`{"type":"batch.succeeded","data":{"id":"batches/"}}`,
	} {
		results, err := gemini.Results(t.Context(), []byte(event))
		if err == nil || !strings.HasPrefix(err.Error(), "event: ") {
			t.Errorf("%s: %d results, %v", event, len(results), err)
		}
	}
}
