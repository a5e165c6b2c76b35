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
	pageSize = 100 // of batches; nobody reports that the API refuses it

	webhookPageSize = 1000 // the most that the API returns at once
	maxWebhookPages = 10
)

// A Webhook is a webhook of the project.
type Webhook struct {
	ID     string   `json:"id"`
	URI    string   `json:"uri"`
	State  string   `json:"state"` // Enabled, Disabled, DisabledByFailures, or a later one
	Events []string `json:"subscribed_events"`
}

// The states of a webhook.
const (
	Enabled            = "enabled"
	Disabled           = "disabled" // by a person
	DisabledByFailures = "disabled_due_to_failed_deliveries"
)

// Webhooks returns all webhooks of the project that the API key belongs to. It fails if
// there are more than 10,000.
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

// Enable enables the webhook with that id.
func (c *Client) Enable(ctx context.Context, id string) error {
	body := map[string]string{"state": Enabled}
	if err := c.call(ctx, http.MethodPatch, "webhooks/"+url.PathEscape(id), nil, body, new(struct{})); err != nil {
		return fmt.Errorf("enable webhook %q: %w", id, err)
	}
	return nil
}

// An APIError is why a job failed, in the API's words. Its zero value is no error.
type APIError struct {
	Code    string // a number for batches and operations, a word for interactions
	Message string
}

// A Batch is a batch job, as the list shows it.
type Batch struct {
	Name  string // "batches/" and an id
	State string // BATCH_STATE_… as on the wire; an open set

	// Zero if the API does not name them. Ended is absent until the end, and perhaps
	// after it.
	Created, Updated, Ended time.Time

	Output string // the file of the results; empty if they are inline
	Error  APIError

	// URIs are those of the batch's own webhook_config: if there are any, its events go to
	// them instead of to the project's webhooks. Metadata is that of the config, JSON.
	// Whether the API shows a config at all is unknown.
	URIs     []string
	Metadata json.RawMessage
}

// A BatchPage is one page of the list of batches.
type BatchPage struct {
	Batches   []Batch
	Malformed int    // entries that could not be read
	Next      string // the token of the next page; empty if this is the last one
}

// fields is what the list of batches is asked for. A get, and perhaps a list without
// fields, carries all results of the jobs.
const fields = "nextPageToken,operations(name,error,metadata(state,createTime,updateTime,endTime,output/responsesFile,webhookConfig))"

// Batches returns a page of at most 100 batches, the first one if token is empty. The
// API was seen to list the newest first, which is documented nowhere.
//
// The parameter fields is documented for the API as a whole, and untested for this call.
// If the answer to it is 400, Batches asks once more without it, and leaves it out from
// then on.
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

// batchOperation is a batch on the wire.
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
	Status   string // an open set
	Updated  time.Time
	Error    APIError        // the first of its errors
	Metadata json.RawMessage // that of its webhook_config; nil if it is not shown
}

// Interaction returns the interaction with that id, which is without "interactions/".
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

// An Operation is a video operation.
type Operation struct {
	Done     bool
	Error    APIError
	Video    string // the URI of the first sample; empty if there is none
	Filtered int    // samples that were left out
}

// Operation returns the operation with that name, models/M/operations/O.
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

// numberedError is why a batch or an operation failed.
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

// scalar is a number or a string, as text.
type scalar string

// UnmarshalJSON never fails: another value counts as none.
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

// timestamp is a time in RFC 3339, or zero.
type timestamp struct{ time.Time }

// UnmarshalJSON never fails: a time of another form counts as none.
func (t *timestamp) UnmarshalJSON(text []byte) error {
	var word string
	if json.Unmarshal(text, &word) == nil {
		if at, err := time.Parse(time.RFC3339, word); err == nil {
			t.Time = at.UTC()
		}
	}
	return nil
}
