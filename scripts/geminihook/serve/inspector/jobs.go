package inspector

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/geminihook/geminihook/shared/geminitest"
)

// maxJobs is the number of jobs that the page shows, latest first.
const maxJobs = 50

// Jobs shows and starts jobs of the stand-in for the Gemini API. It is safe for
// concurrent use.
type Jobs struct {
	API     *geminitest.API
	Webhook string        // URL of the webhook that the page disables and enables
	For     time.Duration // how long a job started by the page runs
	Passes  *Passes       // the reconciler's passes

	// Reconcile runs a pass and waits for its end. It fails if the pass was incomplete.
	Reconcile func(ctx context.Context) error
}

// ends are the final states of jobs that the page starts, by the job's kind and by the
// page's choice.
var ends = map[string]map[string]string{
	geminitest.KindBatch: {
		"success": geminitest.BatchSucceeded, "failure": geminitest.BatchFailed, "other": geminitest.BatchExpired,
	},
	geminitest.KindInteraction: {
		"success": geminitest.InteractionCompleted, "failure": geminitest.InteractionFailed, "other": geminitest.InteractionRequiresAction,
	},
	geminitest.KindVideo: {
		"success": geminitest.VideoGenerated, "failure": geminitest.VideoFailed, "other": geminitest.VideoFiltered,
	},
}

// A jobRow is a job in the list.
type jobRow struct {
	Name    string `json:"name"`
	Kind    string `json:"kind"`
	Started string `json:"started"`
	State   string `json:"state"`
	Tone    string `json:"tone"` // as a meaning's
	Event   string `json:"event"`
	Sent    string `json:"sent"`
	CanLose bool   `json:"can_lose"` // the job runs and its event is yet to be delivered
}

// list answers with the latest jobs, the webhook's state, and the latest pass.
func (j *Jobs) list(w http.ResponseWriter, _ *http.Request) {
	state, _ := j.API.State(j.Webhook)
	rows := []jobRow{}
	for _, job := range j.API.Jobs() {
		if len(rows) < maxJobs {
			row := rowOfJob(&job)
			if action := j.Passes.action(job.Name); action != "" {
				row.Sent += ", then " + action
			}
			rows = append(rows, row)
		}
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"webhook": cmp.Or(state, "not registered"), "pass": j.Passes.words(), "jobs": rows})
}

func rowOfJob(job *geminitest.State) jobRow {
	r := jobRow{Name: job.Name, Kind: job.Kind, Started: clock(job.Created), Event: job.Event, Sent: sent(job)}
	r.State, r.Tone = "running", "calm"
	if !job.Running {
		r.State, r.Tone = strings.ToLower(strings.TrimPrefix(job.End, "BATCH_STATE_")), "warn"
		switch job.End {
		case geminitest.BatchSucceeded, geminitest.InteractionCompleted, geminitest.VideoGenerated:
			r.Tone = "good"
		}
	}
	r.CanLose = job.Running && job.Event != "" && !job.Delivery.Never
	return r
}

// sent describes the deliveries of a job's event, with their answers.
func sent(job *geminitest.State) string {
	switch {
	case job.Event == "":
		return "no event for this end"
	case job.Delivery.Never && len(job.Sent) == 0:
		return "lost"
	case job.Running:
		return "when it ends"
	case len(job.Sent) == 0:
		return "none"
	}
	var texts []string
	for _, attempt := range job.Sent {
		text := fmt.Sprint(attempt.Status)
		if attempt.Err != nil {
			text = attempt.Err.Error()
		}
		if at, err := url.Parse(attempt.URL); err == nil {
			text += " from " + at.Path
		}
		texts = append(texts, text)
	}
	return strings.Join(texts, ", ")
}

// start starts a job.
func (j *Jobs) start(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Kind string `json:"kind"`
		End  string `json:"end"`
	}
	if !read(w, r, &asked) {
		return
	}
	end, ok := ends[asked.Kind][asked.End]
	if !ok {
		say(w, errors.New("unknown job"))
		return
	}
	start := map[string]func(geminitest.Job) string{
		geminitest.KindBatch: j.API.StartBatch, geminitest.KindInteraction: j.API.StartInteraction, geminitest.KindVideo: j.API.StartVideo,
	}[asked.Kind]
	start(geminitest.Job{For: j.For, End: end})
	say(w, nil)
}

// lose makes the stand-in never deliver a job's event. The job must run.
func (j *Jobs) lose(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Name string `json:"name"`
	}
	if !read(w, r, &asked) {
		return
	}
	for _, job := range j.API.Jobs() {
		if job.Name != asked.Name {
			continue
		}
		if !job.Running {
			say(w, errors.New("the job has ended: only the event of a running job can be lost"))
			return
		}
		j.API.Lose(job.Name)
		say(w, nil)
		return
	}
	say(w, errors.New("unknown job"))
}

// reconcile runs a pass.
func (j *Jobs) reconcile(w http.ResponseWriter, r *http.Request) {
	say(w, j.Reconcile(r.Context()))
}

// turn enables the webhook, or disables it as too many failed deliveries would.
func (j *Jobs) turn(w http.ResponseWriter, r *http.Request) {
	var asked struct {
		Enabled bool `json:"enabled"`
	}
	if !read(w, r, &asked) {
		return
	}
	state, id := j.API.State(j.Webhook)
	if state == "" {
		say(w, errors.New("no webhook is registered for "+j.Webhook+": run geminihook register --serve"))
		return
	}
	if asked.Enabled {
		j.API.Enable(id)
	} else {
		j.API.Disable(id)
	}
	say(w, nil)
}
