package geminitest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// The forms that data.id may have, for [API.EventID]. Which one Gemini sends for
// batches and videos is not known. For interactions the id is the name.

// Whole returns the name as get wants it.
func Whole(name string) string { return name }

// Operation returns a video's name without its model, "operations/…".
func Operation(name string) string {
	if at := strings.Index(name, "operations/"); at >= 0 {
		return name[at:]
	}
	return name
}

// LastSegment returns the name after its last slash.
func LastSegment(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// eventType returns the type of the event of a job's end, or "" if it has none.
func (j *job) eventType() string {
	of := map[string]string{
		BatchSucceeded: "batch.succeeded", BatchFailed: "batch.failed",
		BatchExpired: "batch.expired", BatchCancelled: "batch.cancelled",
	}
	switch j.kind {
	case KindInteraction:
		of = map[string]string{
			InteractionCompleted: "interaction.completed", InteractionFailed: "interaction.failed",
			InteractionCancelled: "interaction.cancelled", InteractionRequiresAction: "interaction.requires_action",
		}
	case KindVideo:
		of = map[string]string{VideoGenerated: "video.generated"}
	}
	if j.quiet {
		return ""
	}
	return of[j.End]
}

// event returns the body of the event of a job's end. The caller holds the lock.
func (a *API) event(j *job) []byte {
	id := a.EventID
	if id == nil {
		id = Whole
	}
	data := object{"id": id(j.name)}
	switch {
	case j.kind == KindVideo:
		data["output_file_uri"], data["file_name"] = a.videoURI(j), j.fileName()
	case j.End == BatchSucceeded && !j.Inline:
		data["output_file_uri"] = j.fileName()
	case j.End == BatchFailed || j.End == InteractionFailed:
		data["error_code"], data["error_message"] = strconv.Itoa(j.Error.Code), j.Error.Message
	}
	event := object{"type": j.eventType(), "version": "v1", "timestamp": wholeSeconds(j.ends), "data": data}
	if j.Webhook != nil && j.Webhook.UserMetadata != nil {
		event["user_metadata"] = j.Webhook.UserMetadata
	}
	if a.ChangeEvent != nil {
		a.ChangeEvent(event)
	}
	body, err := json.Marshal(event)
	if err != nil {
		panic(err) // a test put something into the event that is not JSON
	}
	return body
}

// announce starts the deliveries of a job's end: to the URLs of its own config, or else
// to every enabled webhook that is subscribed to the event. The caller holds the lock.
func (a *API) announce(j *job) {
	event := j.eventType()
	if event == "" {
		return
	}
	body := a.event(j)
	if j.Webhook != nil {
		for _, uri := range j.Webhook.URIs {
			a.deliverLater(j, &delivery{uri: uri, body: body})
		}
		return
	}
	for _, w := range a.webhooks {
		if w.state == enabled && slices.Contains(w.events, event) {
			a.deliverLater(j, &delivery{hook: w.id, body: body})
		}
	}
}

// deliverLater has the first attempt at a delivery made in time.
func (a *API) deliverLater(j *job, d *delivery) {
	d.job, d.msg, d.again = j, webhooktest.NewID(), j.Delivery.Twice
	d.pause, d.until = a.Backoff, j.ends.Add(j.Delivery.After+keepTrying)
	a.after(time.Until(j.ends.Add(j.Delivery.After)), func() { a.try(d) })
}
