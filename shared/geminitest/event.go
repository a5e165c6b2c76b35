package geminitest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// Whole returns the full name of a job, unchanged. Whole, [Operation] and [LastSegment]
// are the possible forms of data.id, for [API.EventID]. It is unknown which one Gemini
// uses for batches and videos. For interactions all forms are equal.
func Whole(name string) string { return name }

// Operation returns the name of a video operation without its model, "operations/ID".
// It returns other names unchanged. It is a form of data.id, see [Whole].
func Operation(name string) string {
	if at := strings.Index(name, "operations/"); at >= 0 {
		return name[at:]
	}
	return name
}

// LastSegment returns the part of the name after the last slash. It is a form of
// data.id, see [Whole].
func LastSegment(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// eventType returns the type of the event for a job's end, or "" if the end has no
// event.
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

// event returns the body of the event for a job's end. The caller holds the lock.
func (a *API) event(j *job) []byte {
	id := a.EventID
	if id == nil {
		id = Whole
	}
	data := object{"id": id(j.name)}
	switch {
	case j.kind == KindVideo:
		data["output_file_uri"], data["file_name"] = j.videoURI(), j.fileName()
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
		panic(err) // ChangeEvent added a value that JSON cannot represent
	}
	return body
}

// announce schedules the deliveries of a job's event. They go to the URLs of its
// webhook config, or if it has no config, to each enabled webhook that is subscribed
// to the event. The caller holds the lock.
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

// deliverLater schedules the first attempt of a delivery. The caller holds the lock.
func (a *API) deliverLater(j *job, d *delivery) {
	d.job, d.msg, d.again = j, webhooktest.NewID(), j.Delivery.Twice
	d.pause, d.until = a.Backoff, j.ends.Add(j.Delivery.After+keepTrying)
	a.after(time.Until(j.ends.Add(j.Delivery.After)), func() { a.try(d) })
}
