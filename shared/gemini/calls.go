package gemini

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	// pageSize is the number of batches a page. The API documents no maximum; public
	// clients use 100, and no rejection of it is known.
	pageSize = 100

	// webhookPageSize is the number of webhooks a page: the API's maximum.
	webhookPageSize = 1000

	// maxWebhookPages bounds the list of webhooks, so that an API that always returns
	// a next page cannot keep a call busy for ever.
	maxWebhookPages = 10
)

// A Webhook is a webhook that is registered in the API key's project.
type Webhook struct {
	ID     string   `json:"id"`
	URI    string   `json:"uri"`               // URL to which the API delivers events
	State  string   `json:"state"`             // Enabled, Disabled, DisabledByFailures, or a later one
	Events []string `json:"subscribed_events"` // event types, such as "batch.succeeded"
}

// The states of a webhook, as they are on the wire.
const (
	Enabled            = "enabled"
	Disabled           = "disabled"                          // by a user of the project
	DisabledByFailures = "disabled_due_to_failed_deliveries" // by the API
)

// Webhooks returns all webhooks of the API key's project, in the API's order. It
// fails if there are more than 10 pages of up to 1,000 webhooks.
func (c *Client) Webhooks(ctx context.Context) ([]Webhook, error) {
	var all []Webhook
	query := url.Values{"page_size": {strconv.Itoa(webhookPageSize)}}
	for range maxWebhookPages {
		var page struct {
			Webhooks []Webhook `json:"webhooks"`
			Next     string    `json:"next_page_token"`
		}
		if err := c.call(ctx, http.MethodGet, "webhooks", query, nil, &page); err != nil {
			return nil, fmt.Errorf("list the webhooks: %w", err)
		}
		all = append(all, page.Webhooks...)
		if page.Next == "" {
			return all, nil
		}
		query.Set("page_token", page.Next)
	}
	return nil, fmt.Errorf("list the webhooks: more than %d pages", maxWebhookPages)
}

// Enable sets the state of the webhook with this id to Enabled.
func (c *Client) Enable(ctx context.Context, id string) error {
	body := map[string]string{"state": Enabled}
	if err := c.call(ctx, http.MethodPatch, "webhooks/"+url.PathEscape(id), nil, body, new(struct{})); err != nil {
		return fmt.Errorf("enable webhook %q: %w", id, err)
	}
	return nil
}

// An APIError is the API's reason for the failure of a job. The zero value means that
// the API reports no error.
type APIError struct {
	Code    string // a google.rpc code such as "8", or a word such as "internal"; interactions may have either
	Message string
}

// A Batch is a batch job, as the list of batches shows it.
type Batch struct {
	Name  string // "batches/ID"
	State string // "BATCH_STATE_SUCCEEDED"; the API may add states

	// Times in UTC; zero if the API does not report them. Ended is zero until the batch
	// has ended, and may be zero after that.
	Created, Updated, Ended time.Time

	Output string   // name of the file with the results, "files/ID"; empty if they are inline
	Error  APIError // of a failed batch, and of a cancelled one (code "1"); State tells them apart

	// URIs are the URLs in the batch's own webhook_config. If there are any, its events
	// go to them and not to the project's webhooks. Metadata is the user_metadata of
	// the same config, in JSON; nil if absent. It is unknown whether the API
	// returns webhook_config at all.
	URIs     []string
	Metadata json.RawMessage
}

// Running reports whether the state is pending or running. It is false for every other
// state, including one that the API adds later: false alone does not prove that the
// batch has ended.
func (b *Batch) Running() bool {
	return b.State == "BATCH_STATE_PENDING" || b.State == "BATCH_STATE_RUNNING"
}

// EndedAt returns Ended, or Updated if the API does not report the end. It is the time
// of a batch's end only if the batch has ended.
func (b *Batch) EndedAt() time.Time {
	if b.Ended.IsZero() {
		return b.Updated
	}
	return b.Ended
}

// A BatchPage is one page of the list of batches.
type BatchPage struct {
	Batches   []Batch
	Malformed int    // number of entries that are not a batch with a name
	Next      string // token of the next page; empty on the last one
}

// fields selects the fields of an answer. Without it, a list may carry the results of
// all jobs, as a get does.
const fields = "nextPageToken,operations(name,error,metadata(state,createTime,updateTime,endTime,output/responsesFile,webhookConfig))"

// Batches returns one page of at most 100 batches: the first page if token is empty,
// else the page that a previous page named as Next. The API was seen to list the newest
// batch first; its documentation states no order.
//
// Batches sends the query parameter "fields", which selects the fields of the answer.
// It is documented for all of the API but not known to work for this call. If the
// answer is 400, Batches repeats the call without it. If that succeeds, the client
// never sends it again.
func (c *Client) Batches(ctx context.Context, token string) (BatchPage, error) {
	page, err := c.batches(ctx, token)
	if Status(err) == http.StatusBadRequest && c.whole.CompareAndSwap(false, true) {
		if page, err = c.batches(ctx, token); err != nil {
			c.whole.Store(false) // fields was not the reason
		}
	}
	if err != nil {
		return BatchPage{}, fmt.Errorf("list the batches: %w", err)
	}
	return page, nil
}

// batches makes one call for a page of batches.
func (c *Client) batches(ctx context.Context, token string) (page BatchPage, err error) {
	query := url.Values{"pageSize": {strconv.Itoa(pageSize)}}
	if token != "" {
		query.Set("pageToken", token)
	}
	if !c.whole.Load() {
		query.Set("fields", fields)
	}
	var answer struct {
		Operations []json.RawMessage `json:"operations"`
		Next       string            `json:"nextPageToken"`
	}
	if err := c.call(ctx, http.MethodGet, "batches", query, nil, &answer); err != nil {
		return page, err
	}
	page.Next = answer.Next
	for _, text := range answer.Operations {
		var o batchOperation
		if json.Unmarshal(text, &o) != nil || o.Name == "" {
			page.Malformed++
			continue
		}
		page.Batches = append(page.Batches, o.batch())
	}
	return page, nil
}

// batchOperation is the API's JSON form of a batch.
type batchOperation struct {
	Name     string         `json:"name"`
	Error    *numberedError `json:"error"`
	Metadata struct {
		State   string    `json:"state"`
		Created timestamp `json:"createTime"`
		Updated timestamp `json:"updateTime"`
		Ended   timestamp `json:"endTime"`
		Output  struct {
			File string `json:"responsesFile"`
		} `json:"output"`
		Config *struct {
			URIs     []string        `json:"uris"`
			Metadata json.RawMessage `json:"userMetadata"`
		} `json:"webhookConfig"`
	} `json:"metadata"`
}

func (o *batchOperation) batch() Batch {
	m := &o.Metadata
	b := Batch{
		Name:    o.Name,
		State:   m.State,
		Created: m.Created.Time, Updated: m.Updated.Time, Ended: m.Ended.Time,
		Output: m.Output.File,
		Error:  o.Error.apiError(),
	}
	if m.Config != nil {
		b.URIs, b.Metadata = m.Config.URIs, m.Config.Metadata
	}
	return b
}

// An Interaction is a background interaction.
type Interaction struct {
	// Status is "in_progress" or "queued" while the interaction runs. After
	// "requires_action" it may continue. "completed", "failed" and "cancelled" are final.
	// There are others, and the API may add some.
	Status string

	Updated  time.Time       // in UTC; zero if the API does not report it
	Error    APIError        // the first of its errors; zero if there are none
	Metadata json.RawMessage // user_metadata of its webhook_config, in JSON; nil if absent
}

// Interaction returns the interaction with this id. The id has no "interactions/" in
// front.
func (c *Client) Interaction(ctx context.Context, id string) (Interaction, error) {
	var answer struct {
		Status  string    `json:"status"`
		Updated timestamp `json:"updated"`
		Errors  []struct {
			Code    scalar `json:"code"`
			Message string `json:"message"`
		} `json:"errors"`
		Config struct {
			Metadata json.RawMessage `json:"user_metadata"`
		} `json:"webhook_config"`
	}
	if err := c.call(ctx, http.MethodGet, "interactions/"+url.PathEscape(id), nil, nil, &answer); err != nil {
		return Interaction{}, fmt.Errorf("get an interaction: %w", err)
	}
	i := Interaction{Status: answer.Status, Updated: answer.Updated.Time, Metadata: answer.Config.Metadata}
	if len(answer.Errors) > 0 {
		i.Error = APIError{string(answer.Errors[0].Code), answer.Errors[0].Message}
	}
	return i, nil
}

// An Operation is a video generation, which the API runs as a long-running operation.
type Operation struct {
	Done     bool     // ended, with or without an error
	Error    APIError // zero unless it failed
	Video    string   // download URI of the first video; empty if there is no video
	Filtered int      // number of videos that the API's safety filter removed
}

// Operation returns the operation with this name, which is
// "models/MODEL/operations/ID".
func (c *Client) Operation(ctx context.Context, name string) (Operation, error) {
	var answer struct {
		Done     bool           `json:"done"`
		Error    *numberedError `json:"error"`
		Response struct {
			Video struct {
				Samples []struct {
					Video struct {
						URI string `json:"uri"`
					} `json:"video"`
				} `json:"generatedSamples"`
				Filtered int `json:"raiMediaFilteredCount"`
			} `json:"generateVideoResponse"`
		} `json:"response"`
	}
	segments := strings.Split(name, "/")
	for i, segment := range segments {
		segments[i] = url.PathEscape(segment)
	}
	if err := c.call(ctx, http.MethodGet, strings.Join(segments, "/"), nil, nil, &answer); err != nil {
		return Operation{}, fmt.Errorf("get an operation: %w", err)
	}
	video := &answer.Response.Video
	o := Operation{Done: answer.Done, Error: answer.Error.apiError(), Filtered: video.Filtered}
	if len(video.Samples) > 0 {
		o.Video = video.Samples[0].Video.URI
	}
	return o, nil
}

// numberedError is the API's JSON form of the error of a batch or an operation.
type numberedError struct {
	Code    scalar `json:"code"`
	Message string `json:"message"`
}

func (e *numberedError) apiError() APIError {
	if e == nil {
		return APIError{}
	}
	return APIError{string(e.Code), e.Message}
}

// scalar is a JSON number or string, as text. The API sends error codes as either.
type scalar string

// UnmarshalJSON never fails: it ignores other values, so that one odd error code does
// not make a whole page unreadable.
func (s *scalar) UnmarshalJSON(text []byte) error {
	var word string
	var number json.Number
	switch {
	case json.Unmarshal(text, &word) == nil:
		*s = scalar(word)
	case json.Unmarshal(text, &number) == nil:
		*s = scalar(number)
	}
	return nil
}

// timestamp is a time in RFC 3339, converted to UTC.
type timestamp struct{ time.Time }

// UnmarshalJSON never fails: a value that is not a time in RFC 3339 leaves it zero.
func (t *timestamp) UnmarshalJSON(text []byte) error {
	var word string
	if json.Unmarshal(text, &word) == nil {
		if at, err := time.Parse(time.RFC3339, word); err == nil {
			t.Time = at.UTC()
		}
	}
	return nil
}
