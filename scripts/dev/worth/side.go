package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/geminihook/geminihook/shared/geminitest"
)

// apiKey is the stand-in's API key.
const apiKey = "AIza-worth"

// A started is a job that has started. Ends is only for measuring the delay.
type started struct {
	Name, Kind string
	Ends       time.Time
}

// A pace is the intervals between calls.
type pace struct {
	Get    map[string]time.Duration // between gets of one job, by kind
	List   time.Duration            // between lists of all batches
	Passes time.Duration            // between passes of the reconciler
	Grace  time.Duration            // the reconciler's grace
}

// usual has the intervals of Google's guides and of the deployed reconciler.
var usual = pace{
	Get: map[string]time.Duration{
		geminitest.KindBatch: 30 * time.Second, geminitest.KindInteraction: 10 * time.Second, geminitest.KindVideo: 10 * time.Second,
	},
	List: time.Minute, Passes: 10 * time.Minute, Grace: time.Hour,
}

// A side is the user's side of a run. The ways use it.
type side struct {
	*meter // carries the calls
	pace   pace
	api    *url.URL

	// Only for webhooks.
	cloud    *grpc.ClientConn  // to Firestore and Pub/Sub
	signing  string            // the static webhook's secret
	public   ed25519.PublicKey // verifies dynamic deliveries
	hooks    *http.ServeMux    // routes to the receivers
	hooksURL *url.URL

	ctx     context.Context // ends with the run
	running sync.WaitGroup
}

// sleep waits, and reports false if the run has ended.
func (s *side) sleep(d time.Duration) bool {
	select {
	case <-s.ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

// An answer is the API's description of a job.
type answer struct {
	Name     string
	Status   string // only of interactions
	Done     bool   // only of other jobs
	Metadata struct {
		Output struct{ ResponsesFile string }
	}
	Response struct {
		GenerateVideoResponse struct {
			GeneratedSamples []struct{ Video struct{ URI string } }
		}
	}
}

// ended reports whether the job has ended.
func (a *answer) ended() bool { return a.Done || a.Status != "" && a.Status != "in_progress" }

// file returns the name of the file with the results, or "" if the answer to a get
// contains them.
func (a *answer) file() string {
	for _, sample := range a.Response.GenerateVideoResponse.GeneratedSamples {
		_, name, _ := strings.Cut(sample.Video.URI, "/v1beta/")
		name, _, _ = strings.Cut(name, ":")
		return name
	}
	return a.Metadata.Output.ResponsesFile
}

// get fetches a job's description.
func (s *side) get(kind, name string) (a answer, err error) {
	if kind == geminitest.KindInteraction {
		name = "interactions/" + name
	}
	return a, s.call("v1beta/"+name, nil, &a)
}

// download fetches the file of a job's results.
func (s *side) download(file string) error {
	return s.call("download/v1beta/"+file+":download", url.Values{"alt": {"media"}}, nil)
}

// collect downloads the file with an ended job's result, retries until that succeeds,
// and notes that the result has arrived. If file is empty, the result has already
// arrived.
func (s *side) collect(j started, file string) {
	for wait := time.Second; file != "" && s.download(file) != nil; wait = min(2*wait, time.Minute) {
		if !s.sleep(wait) {
			return
		}
	}
	s.inHand(j)
}

// call calls the API, reads the complete answer, and decodes it unless into is nil.
func (s *side) call(path string, query url.Values, into any) error {
	to := s.api.JoinPath(path)
	to.RawQuery = query.Encode()
	req, err := http.NewRequestWithContext(s.ctx, http.MethodGet, to.String(), nil)
	if err != nil {
		return err
	}
	req.Header.Set("X-Goog-Api-Key", apiKey)
	resp, err := (&http.Client{Transport: s.meter}).Do(req)
	if err != nil {
		return err
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("get %s: %s", path, resp.Status)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(body, into)
}
