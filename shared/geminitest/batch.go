package geminitest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// object is a JSON object in an answer.
type object = map[string]any

// typePrefix is the beginning of the "@type" of batches in the real API's answers.
const typePrefix = "type.googleapis.com/google.ai.generativelanguage.v1main."

// batchBody is the part of the body of a create call that affects the batch.
type batchBody struct {
	Batch struct {
		DisplayName string
		InputConfig struct {
			FileName string
			Requests struct {
				Requests []struct{ Metadata json.RawMessage }
			}
		}
		WebhookConfig *WebhookConfig
	}
}

func (a *API) createBatch(r *http.Request, body fields) (any, error) {
	var asked batchBody
	if err := body.into(&asked); err != nil {
		return nil, err
	}
	input := asked.Batch.InputConfig
	if input.FileName == "" && len(input.Requests.Requests) == 0 {
		return nil, invalid("batch.input_config: a file or inlined requests are required.")
	}
	if err := asked.Batch.WebhookConfig.check(); err != nil {
		return nil, err
	}
	as := a.jobLike(KindBatch, r.PathValue("model"), asked.Batch.WebhookConfig)
	as.Inline = input.FileName == ""
	if as.Inline {
		as.Requests = len(input.Requests.Requests)
	}
	j := a.newBatch(as)
	j.display = asked.Batch.DisplayName
	for _, request := range input.Requests.Requests {
		j.keys = append(j.keys, request.Metadata)
	}
	a.start(j)
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.show(j, true), nil
}

// jobLike returns the course of a job that a call starts.
func (a *API) jobLike(kind, model string, webhook *WebhookConfig) (as Job) {
	if a.Run != nil {
		as = a.Run(kind)
	}
	as.Webhook = webhook
	if model != "" {
		as.Model = "models/" + model
	}
	return as
}

func (a *API) getBatch(r *http.Request, _ fields) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	j, err := a.findJob(KindBatch, "batches/"+r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	return a.show(j, true), nil
}

func (a *API) cancelBatch(r *http.Request, _ fields) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	j, err := a.findJob(KindBatch, "batches/"+r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	a.cancel(j, BatchCancelled)
	return object{}, nil
}

func (a *API) deleteBatch(r *http.Request, _ fields) (any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	j, err := a.findJob(KindBatch, "batches/"+r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	a.drop(j)
	return object{}, nil
}

// listBatches leaves out inline results; whether the real API does is unknown. It
// includes jobs that get hides (Job.Get).
func (a *API) listBatches(r *http.Request, _ fields) (any, error) {
	query := r.URL.Query()
	size, err := strconv.Atoi(query.Get("pageSize"))
	if err != nil || size < 1 {
		size = defaultPage
	}
	size = min(size, a.Page)
	a.mu.Lock()
	defer a.mu.Unlock()
	from, ok := a.position(query.Get("pageToken"))
	if !ok {
		return nil, invalid("Invalid page token.")
	}
	var page []any
	answer := object{}
	for i, j := range a.order[from:] {
		if j.kind != KindBatch {
			continue
		}
		if len(page) == size {
			answer["nextPageToken"] = token(a.order[from+i-1])
			break
		}
		page = append(page, a.show(j, false))
	}
	if page != nil {
		answer["operations"] = page
	}
	return answer, nil
}

// token returns a page token for the jobs after this one. It stays valid if jobs are
// started or deleted.
func token(after *job) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d.%d", after.created.UnixNano(), after.seq))
}

// position returns the index of the first job after a page token. The caller holds
// the lock.
func (a *API) position(token string) (index int, ok bool) {
	if token == "" {
		return 0, true
	}
	text, err := base64.RawURLEncoding.DecodeString(token)
	var nano int64
	last := new(job)
	if _, scanErr := fmt.Sscanf(string(text), "%d.%d", &nano, &last.seq); err != nil || scanErr != nil {
		return 0, false
	}
	last.created = time.Unix(0, nano)
	index, found := slices.BinarySearchFunc(a.order, last, newer)
	if found {
		index++
	}
	return index, true
}

// showBatch returns the API's JSON of a batch. The caller holds the lock.
func (a *API) showBatch(j *job, now time.Time, results bool) object {
	count := strconv.Itoa(j.Requests)
	stats := object{"requestCount": count}
	metadata := object{
		"@type": typePrefix + "GenerateContentBatch", "model": j.Model, "name": j.name,
		"createTime": nanoTime(j.created), "updateTime": nanoTime(j.created), "batchStats": stats,
	}
	if j.display != "" {
		metadata["displayName"] = j.display
	}
	if j.Webhook != nil && a.EchoWebhookConfig {
		metadata["webhookConfig"] = j.Webhook.show("userMetadata")
	}
	operation := object{"name": j.name, "metadata": metadata}
	if j.running(now) {
		metadata["state"] = "BATCH_STATE_RUNNING"
		if now.Before(j.created.Add(j.ends.Sub(j.created) / 8)) {
			metadata["state"] = "BATCH_STATE_PENDING"
		}
		stats["pendingRequestCount"] = count
		return operation
	}
	operation["done"], metadata["state"] = true, j.End
	metadata["endTime"], metadata["updateTime"] = nanoTime(j.ends), nanoTime(j.ends.Add(-41))
	switch j.End {
	case BatchSucceeded:
		stats["successfulRequestCount"] = count
		j.showOutput(operation, metadata, results)
	case BatchFailed:
		operation["error"] = object{"code": j.Error.Code, "message": j.Error.Message}
	case BatchCancelled:
		operation["error"] = object{"code": 1, "message": "The operation was cancelled."}
	}
	return operation
}

// showOutput adds a batch's results: the name of their file, or inline results, which
// the real API has in two places.
func (j *job) showOutput(operation, metadata object, results bool) {
	output, response := object{}, object{"@type": typePrefix + "GenerateContentBatchOutput"}
	switch {
	case !j.Inline:
		output["responsesFile"] = j.fileName()
	case results:
		output["inlinedResponses"] = object{"inlinedResponses": j.results()}
	default:
		return
	}
	for name, value := range output {
		response[name] = value
	}
	metadata["output"], operation["response"] = output, response
}

// results returns one answer for each request.
func (j *job) results() []any {
	results := make([]any, j.Requests)
	for i := range results {
		result := object{"response": answerOf(j.Model, i)}
		if i < len(j.keys) && j.keys[i] != nil {
			result["metadata"] = j.keys[i]
		}
		results[i] = result
	}
	return results
}

// lines returns the content of the file with the results, one JSON object a line.
func (j *job) lines() []byte {
	var text []byte
	for i := range j.Requests {
		line, _ := json.Marshal(object{"key": "request-" + strconv.Itoa(i+1), "response": answerOf(j.Model, i)})
		text = append(append(text, line...), '\n')
	}
	return text
}

// answerOf returns the model's answer to the i-th request.
func answerOf(model string, i int) object {
	return object{
		"candidates": []any{object{
			"content":      object{"role": "model", "parts": []any{object{"text": fmt.Sprintf("Answer %d.", i+1)}}},
			"finishReason": "STOP", "index": 0,
		}},
		"usageMetadata": object{"promptTokenCount": 4, "candidatesTokenCount": 3, "totalTokenCount": 7},
		"modelVersion":  strings.TrimPrefix(model, "models/"),
	}
}

func nanoTime(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
