package manage

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"

	"github.com/geminihook/geminihook/scripts/internal/messages"
	"github.com/geminihook/geminihook/scripts/internal/terminal"
	geminiapi "github.com/geminihook/geminihook/shared/gemini"
)

const (
	// JobWait is a good Options.Wait for a job. Small batches were observed to take 2
	// to 30 minutes.
	JobWait = time.Hour

	// JobModel is a good Options.Model: the cheapest current model.
	JobModel = "gemini-3.5-flash-lite"

	// jobEvery is the interval between two reads of the API's list. Half of it is spent
	// waiting for the message.
	jobEvery = 10 * time.Second

	// maxJobPages bounds the pages of the API's list that are searched for the batch.
	// The list starts with the newest batch.
	maxJobPages = 3

	// metadataKey is the key in user_metadata that identifies this job's event.
	metadataKey = "geminihook_doctor"
)

// batchEvents are the types of the events that the end of a batch can cause.
var batchEvents = []string{"batch.succeeded", "batch.failed", "batch.expired", "batch.cancelled"}

// A job is a batch that doctor --job started.
type job struct {
	*Invocation
	sdk    *gemini
	api    *geminiapi.Client
	marker string // a random value in the user_metadata
	name   string // "batches/…"

	listed  *geminiapi.Batch        // the batch in the API's list; nil until the list shows it
	listErr error                   // the error of the last read of the list
	message *pubsubpb.PubsubMessage // the event's message; nil until it arrives
}

// testJob starts one small batch whose event goes to the dynamic function, waits for
// the event on its topic, reports the properties that only a real delivery shows, and
// deletes the batch.
func (inv *Invocation) testJob(ctx context.Context) (err error) {
	if err := inv.refuseEmulator(pubsubEmulator); err != nil {
		return err
	}
	j := &job{Invocation: inv, marker: rand.Text()}
	if j.sdk, err = inv.gemini(ctx); err != nil {
		return err
	}
	if j.api, err = inv.boundedAPI(ctx); err != nil {
		return err
	}
	to, err := inv.knownURL(ctx)
	if err != nil {
		return err
	}
	w, err := inv.watch(ctx, batchEvents)
	if err != nil {
		return err
	}
	defer w.close()
	inv.say("cost", "one request of a few tokens to %s, in a batch; Google bills it to the API key's project", inv.Model)
	inv.say("note", "your subscribers of the topic get the event, too")
	if j.name, err = j.sdk.startBatch(ctx, inv.Model, to, map[string]any{metadataKey: j.marker}); err != nil {
		return j.notStarted(err)
	}
	defer func() {
		if remains := j.remove(ctx); err == nil {
			err = remains
		}
	}()
	inv.say("started", "%s; waiting up to %v for its event", j.name, inv.Wait)
	if err := j.await(ctx, w); err != nil {
		return err
	}
	return j.report()
}

// notStarted returns the error for a failed start, after which the batch may exist.
func (j *job) notStarted(err error) error {
	state := "nothing was started"
	if !refused(err) {
		state = "a batch with the display name " + jobDisplayName + " may have been started; it ends by itself"
	}
	return &failure{err, state, "fix the cause, then " + terminal.Command("doctor --job")}
}

// knownURL returns the dynamic function's URL with an enabled URL token. It fails if no
// token is enabled.
func (inv *Invocation) knownURL(ctx context.Context) (string, error) {
	bare := inv.Values["dynamic_url"]
	if inv.Values["url_token_required"] == "false" {
		return bare, nil
	}
	tokens, err := inv.enabledVersions("url_token_secret_name")(ctx)
	switch {
	case err != nil:
		return "", err
	case len(tokens) == 0:
		return "", &failure{errors.New("there is no URL token yet"), "nothing was started", terminal.Command("dynamic-url") + ", which creates one"}
	}
	return withToken(bare, tokens[0]), nil
}

// await waits until the API's list shows that the batch has ended and its message has
// arrived. It also returns after Wait, without an error; report then reports what is
// missing.
func (j *job) await(ctx context.Context, w *watch) (err error) {
	for waited := time.Duration(0); waited < j.Wait && !(j.ended() && j.message != nil); waited += jobEvery {
		if !j.ended() {
			j.look(ctx)
		}
		if j.message == nil {
			if j.message, err = w.find(ctx, jobEvery/2, j.isMine); err != nil {
				return err
			}
		}
		if err := j.Pause(ctx, jobEvery/2); err != nil {
			return err
		}
	}
	return nil
}

// ended reports whether the API's list showed the batch in a final state.
func (j *job) ended() bool {
	return j.listed != nil && !j.listed.Running()
}

// look searches the API's list for the batch. It does not get the batch by its name,
// because that would not show whether the list includes webhook_config.
func (j *job) look(ctx context.Context) {
	token := ""
	for range maxJobPages {
		page, err := j.api.Batches(ctx, token)
		if j.listErr = err; err != nil {
			return
		}
		if i := slices.IndexFunc(page.Batches, func(b geminiapi.Batch) bool { return b.Name == j.name }); i >= 0 {
			j.listed = &page.Batches[i]
			return
		}
		if token = page.Next; token == "" {
			break
		}
	}
	j.listErr = errors.New("the batch is not listed")
}

// isMine reports whether a message is the batch's event: it holds the marker, or its
// ce-subject is the batch's full or short name.
func (j *job) isMine(m *pubsubpb.PubsubMessage) bool {
	return strings.Contains(string(m.Data), j.marker) || path.Base(m.Attributes["ce-subject"]) == path.Base(j.name)
}

// report reports the batch and its event. It fails if one of them did not arrive in
// time.
func (j *job) report() error {
	if j.listed != nil {
		j.reportListed()
	}
	if j.message != nil {
		j.reportMessage()
	}
	again := terminal.Command("doctor") + "; if all is ✓, " + terminal.Command("doctor --job --wait "+(2*j.Wait).String())
	switch {
	case j.message == nil && j.ended():
		return &failure{fmt.Errorf("%s ended, but its event did not reach the topic within %v", j.name, j.Wait), "", again}
	case j.message == nil:
		return &failure{fmt.Errorf("%s did not end within %v", j.name, j.Wait), "", again}
	case j.listed == nil:
		return &failure{fmt.Errorf("the API's list never showed %s: %w", j.name, j.listErr), "", again}
	}
	return nil
}

// reportListed reports the batch as the API's list shows it.
func (j *job) reportListed() {
	b := j.listed
	if j.ended() {
		j.say("ended", "%s at %s, created at %s", b.State, j.end().Format(time.RFC3339), b.Created.Format(time.RFC3339))
	}
	shown := "does not show webhook_config"
	if len(b.URIs) > 0 {
		shown = "shows webhook_config"
	}
	if len(b.Metadata) > 0 {
		shown += ", with user_metadata"
	}
	j.say("list", "%s", shown)
}

// end returns the time at which the batch ended according to the API's list, or zero if
// the list does not show the batch.
func (j *job) end() time.Time {
	if j.listed == nil {
		return time.Time{}
	}
	return j.listed.EndedAt()
}

// reportMessage reports the properties of the event's delivery.
func (j *job) reportMessage() {
	a := j.message.Attributes
	delay := "after an unknown delay"
	if received, err := time.Parse(time.RFC3339, a["ce-receivedtime"]); err == nil && !j.end().IsZero() {
		delay = received.Sub(j.end()).Round(time.Millisecond).String() + " after the end"
	}
	j.say("delivered", "%s: %s, webhook-id %s", delay, a["ce-type"], messages.Printable(a["ce-id"]))
	j.say("data.id", "%q, %s", a["ce-subject"], formOf(a["ce-subject"], j.name))
	j.say("content", "%s", messages.Printable(cmp.Or(a["content-type"], "no type")))
	j.say("signature", "%s", a["ce-scheme"])
	j.say("metadata", "user_metadata is %s", whereIn(j.message.Data, j.marker))
	j.say("body", "%s", messages.Body(j.message.Data))
}

// formOf describes how an event's data.id names the job.
func formOf(id, name string) string {
	switch id {
	case name:
		return "the full name"
	case path.Base(name):
		return "the last part of the name"
	}
	return "neither " + name + " nor its last part: the reconciler holds events of such jobs"
}

// whereIn returns the part of an event that holds the marker.
func whereIn(body []byte, marker string) string {
	var event struct {
		Metadata json.RawMessage `json:"user_metadata"`
		Data     struct {
			Metadata json.RawMessage `json:"user_metadata"`
		} `json:"data"`
	}
	_ = json.Unmarshal(body, &event)
	switch {
	case strings.Contains(string(event.Metadata), marker):
		return "at the top of the event"
	case strings.Contains(string(event.Data.Metadata), marker):
		return "in the event's data"
	case strings.Contains(string(body), marker):
		return "elsewhere in the event"
	}
	return "not in the event"
}

// remove deletes the batch, and cancels it first if it may still run. It does so after
// an interrupt, too. If the batch remains, remove reports it and returns
// terminal.ErrReported.
func (j *job) remove(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	var err error
	if !j.ended() {
		err = j.sdk.cancelBatch(ctx, j.name)
	}
	if err = errors.Join(err, j.sdk.deleteBatch(ctx, j.name)); err != nil {
		j.say("remains", "%s: %s", j.name, strings.ReplaceAll(err.Error(), "\n", "; "))
		return terminal.ErrReported
	}
	j.say("deleted", "%s", j.name)
	return nil
}
