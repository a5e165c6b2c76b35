package main

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// sideFlag makes the command the user's side of a real-time run.
const sideFlag = "-side"

// realPatience bounds the wait for results after the start of the last job.
const realPatience = 20 * time.Second

// quick is the pace for jobs that run for seconds.
var quick = pace{
	Get: map[string]time.Duration{
		geminitest.KindBatch: 500 * time.Millisecond, geminitest.KindInteraction: 250 * time.Millisecond, geminitest.KindVideo: 250 * time.Millisecond,
	},
	List: time.Second,
}

// seconds draws a job's duration in real time.
func seconds(r *rand.Rand, _ string) time.Duration { return uniform(r, time.Second, 5*time.Second) }

// A setup is the configuration of the user's side.
type setup struct {
	Way, API, Cloud, Signing string
	Public                   ed25519.PublicKey
	Pace                     pace
}

// really runs a plan's jobs in one way, in real time over HTTP. The user's side is a
// separate process, so that its processor time can be measured.
func really(ctx context.Context, w way, plan []job, at pace) (f Figures, err error) {
	api := geminitest.New(apiKey)
	defer api.Close()
	server := httptest.NewServer(api)
	defer server.Close()
	cloud, err := gcptest.Start("127.0.0.1:0", newCloud())
	if err != nil {
		return f, err
	}
	defer cloud.Close()
	signing := webhooktest.NewSecret()

	executable, err := os.Executable()
	if err != nil {
		return f, err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := exec.CommandContext(ctx, executable, sideFlag)
	cmd.Stderr = os.Stderr
	in, inErr := cmd.StdinPipe()
	out, outErr := cmd.StdoutPipe()
	if err := errors.Join(inErr, outErr, cmd.Start()); err != nil {
		return f, err
	}
	tell, hear := json.NewEncoder(in), json.NewDecoder(out)
	_ = tell.Encode(setup{w.name, server.URL, cloud.Addr(), signing, api.Keys.Ed25519(0).Public().(ed25519.PublicKey), at})
	var hooks string
	if err := hear.Decode(&hooks); err != nil {
		return f, fmt.Errorf("%s: the other process: %w", w.name, errors.Join(err, cmd.Wait()))
	}
	if w.hooked {
		api.AddWithSecret(mustParse(hooks).JoinPath(staticPath).String(), signing)
	}
	play(api, plan, w, 0, mustParse(hooks), func(s started) { _ = tell.Encode(s) })
	in.Close()
	if err := errors.Join(hear.Decode(&f), cmd.Wait()); err != nil {
		return f, fmt.Errorf("%s: the other process: %w", w.name, err)
	}
	f.CPU = (cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime()).Seconds()
	return f, nil
}

// beSide is the user's side of a real-time run. From in, it reads its setup and then
// the started jobs. To out, it writes the URL of its webhooks and then its figures.
func beSide(in io.Reader, out io.Writer) error {
	hear, tell := json.NewDecoder(in), json.NewEncoder(out)
	var with setup
	if err := hear.Decode(&with); err != nil {
		return err
	}
	w, err := wayOf(with.Way)
	if err != nil {
		return err
	}
	conn, err := grpc.NewClient(with.Cloud, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return err
	}
	defer conn.Close()
	hooks := http.NewServeMux()
	server := httptest.NewServer(hooks)
	defer server.Close()
	ctx, end := context.WithCancel(context.Background())
	defer end()
	s := &side{
		meter: newMeter(&http.Transport{MaxIdleConnsPerHost: 100}), pace: with.Pace, api: mustParse(with.API), cloud: conn,
		signing: with.Signing, public: with.Public, hooks: hooks, hooksURL: mustParse(server.URL + "/"), ctx: ctx,
	}
	begin, err := w.open(s)
	if err != nil {
		return err
	}
	if err := tell.Encode(s.hooksURL.String()); err != nil {
		return err
	}
	jobs, err := s.follow(hear, begin)
	if err != nil {
		return err
	}
	end()
	s.running.Wait()
	return tell.Encode(s.figures(w.name, jobs))
}

// follow calls begin for each job that it reads, until the end of input, and then waits
// for all results, at most realPatience. It returns the number of jobs by kind.
func (s *side) follow(hear *json.Decoder, begin func(started)) (jobs map[string]int, err error) {
	jobs, all := make(map[string]int), 0
	for ; ; all++ {
		var j started
		if err := hear.Decode(&j); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, err
		}
		jobs[j.Kind]++
		begin(j)
	}
	for limit := time.Now().Add(realPatience); s.count() < all && time.Now().Before(limit); {
		s.sleep(10 * time.Millisecond)
	}
	return jobs, nil
}

// wayOf returns the way with a name.
func wayOf(name string) (way, error) {
	for _, w := range ways {
		if w.name == name {
			return w, nil
		}
	}
	return way{}, fmt.Errorf("unknown way %q", name)
}

func mustParse(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}
