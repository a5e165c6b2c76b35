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

// apiKey is the key of the stand-in.
const apiKey = "AIza-worth"

// A started job is what its starter knows of it, and when it will end, against which its
// delay is measured.
type started struct {
	Name, Kind string
	Ends       time.Time
}

// A pace is how often a way asks.
type pace struct {
	Get    map[string]time.Duration // of one job, by kind
	List   time.Duration            // of all batches
	Passes time.Duration            // of the reconciler
	Grace  time.Duration            // of the reconciler
}

// usual is the pace of Google's own guides, and the reconciler's as it is deployed.
var usual = pace{
	Get: map[string]time.Duration{
		geminitest.KindBatch: 30 * time.Second, geminitest.KindInteraction: 10 * time.Second, geminitest.KindVideo: 10 * time.Second,
	},
	List: time.Minute, Passes: 10 * time.Minute, Grace: time.Hour,
}

// A side is the user's side of a run: all that a way may use.
type side struct {
	*meter // carries the calls
	pace   pace
	api    *url.URL

	// For the webhooks.
	cloud    *grpc.ClientConn // Firestore and Pub/Sub
	signing  string           // the secret of the static webhook
	public   ed25519.PublicKey
	hooks    *http.ServeMux // where the receivers serve
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

// An answer is what a get or a list says about a job.
type answer struct {
	Name     string
	Status   string // of an interaction
	Done     bool   // of the others
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

// file returns the name of the file that holds the results, or nothing if they are in
// the answer to a get.
func (a *answer) file() string {
	for _, sample := range a.Response.GenerateVideoResponse.GeneratedSamples {
		_, name, _ := strings.Cut(sample.Video.URI, "/v1beta/")
		name, _, _ = strings.Cut(name, ":")
		return name
	}
	return a.Metadata.Output.ResponsesFile
}

// get asks for a job.
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

// collect fetches the result of a job that has ended, and repeats the call until it is
// in hand. It does nothing if file is empty: then the result came with the answer.
func (s *side) collect(j started, file string) {
	for wait := time.Second; file != "" && s.download(file) != nil; wait = min(2*wait, time.Minute) {
		if !s.sleep(wait) {
			return
		}
	}
	s.inHand(j)
}

// call makes a call of the API, reads the whole answer, and decodes it if into is set.
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
