package examples

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"

	"google.golang.org/genai"
)

// A Result is the answer to one request of a batch.
type Result struct {
	Key  string // as in the input file; empty for requests that were sent inline
	Text string
	Err  string // why there is no answer
}

// Results fetches what the batch job of a batch.succeeded event answered: body is
// the message's data. The event tells which job, and no more. The job is asked for
// with a key of one's own, which also shows that it is one's own job.
//
// client's HTTPClient should have the transport [Strict].
func Results(ctx context.Context, client *genai.Client, body []byte) ([]Result, error) {
	var event struct {
		Type string
		Data struct{ ID string }
	}
	if err := json.Unmarshal(body, &event); err != nil || event.Type != "batch.succeeded" {
		return nil, errors.New("not a batch.succeeded event")
	}
	name := event.Data.ID
	if !strings.Contains(name, "/") { // the documentation's sample has no folder
		name = "batches/" + name
	}
	job, err := client.Batches.Get(ctx, name, nil)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", name, err)
	case job.State != genai.JobStateSucceeded || job.Dest == nil:
		return nil, fmt.Errorf("%s: %s, and no results", name, job.State)
	case job.Dest.FileName == "":
		return inline(job.Dest.InlinedResponses), nil
	}
	// The job's name for the file: genai v1.77.0 cuts a URI, such as the event's
	// output_file_uri, at the first hyphen of the name. All of the file is held in
	// memory.
	text, err := client.Files.Download(ctx, genai.NewDownloadURIFromFile(&genai.File{DownloadURI: job.Dest.FileName}), nil)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", job.Dest.FileName, err)
	}
	return lines(text)
}

func inline(responses []*genai.InlinedResponse) (all []Result) {
	for _, r := range responses {
		result := Result{}
		if r.Response != nil {
			result.Text = r.Response.Text()
		} else if r.Error != nil {
			result.Err = r.Error.Message
		}
		all = append(all, result)
	}
	return all
}

// lines reads a results file: a JSON object a line, in the order of the requests.
func lines(text []byte) (all []Result, err error) {
	dec := json.NewDecoder(bytes.NewReader(text))
	for {
		var line struct {
			Key      string
			Response *genai.GenerateContentResponse
			Error    struct{ Message string }
		}
		switch err := dec.Decode(&line); {
		case err == io.EOF:
			return all, nil
		case err != nil:
			return nil, fmt.Errorf("result %d: %w", len(all)+1, err)
		}
		result := Result{Key: line.Key, Err: line.Error.Message}
		if line.Response != nil {
			result.Text = line.Response.Text()
		}
		all = append(all, result)
	}
}

// Strict makes a download fail that the API answers with an error. genai v1.77.0
// returns the error's text as if it were the file.
type Strict struct{ http.RoundTripper }

// RoundTrip implements [http.RoundTripper].
func (s Strict) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := s.RoundTripper.RoundTrip(r)
	if err == nil && strings.HasSuffix(r.URL.Path, ":download") && resp.StatusCode != http.StatusOK {
		resp.Body.Close()
		return nil, errors.New(resp.Status)
	}
	return resp, err
}
