package manage

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"google.golang.org/api/googleapi"
	"google.golang.org/api/logging/v2"

	"github.com/geminihook/geminihook/scripts/internal/terminal"
)

const (
	// PingWait is a good Options.Wait for a ping. It covers Gemini's delay, a cold
	// start, and the delay of Cloud Logging.
	PingWait = 2 * time.Minute

	pollEvery = 2 * time.Second // interval between two reads of the log

	// logWindow is the age of the oldest log line that is read, by this machine's
	// clock. It must be larger than the clock's error. logPage bounds the lines that
	// are read; the newest come first.
	logWindow = 15 * time.Minute
	logPage   = 100
)

// Ping makes the API send a test event, and waits until the static function's log shows
// an accepted delivery. It fails if that takes longer than Wait.
func (inv *Invocation) Ping(ctx context.Context) error {
	api, w, err := inv.webhook(ctx)
	if err != nil {
		return err
	}
	if w.state != enabled {
		return &failure{fmt.Errorf("webhook %s is %s: the API would send no ping", w.id, w.state), "", terminal.Command("enable")}
	}
	log, err := inv.deliveryLog(ctx)
	if err != nil {
		return err
	}
	if err := api.ping(ctx, w.id); err != nil {
		return err
	}
	inv.say("asked", "for a ping to webhook %s; waiting up to %v until it arrives at %s", w.id, inv.Wait, inv.Values["static_function"])
	return inv.awaitPing(ctx, log)
}

// awaitPing waits for an accepted delivery. The API's answer does not identify the
// ping's delivery, so any accepted delivery counts: it proves that deliveries arrive. A
// rejected delivery is no proof, because anyone can call the URL, but it may show the
// cause.
func (inv *Invocation) awaitPing(ctx context.Context, log *deliveryLog) error {
	var last *delivery
	for waited := time.Duration(0); waited < inv.Wait; waited += pollEvery {
		if err := inv.Pause(ctx, pollEvery); err != nil {
			return err
		}
		fresh, err := log.read(ctx)
		if err != nil {
			return err
		}
		for _, d := range fresh {
			if d.accepted() {
				inv.say("arrived", "%s, type %q, id %s, on %s", d.Outcome, d.Type, d.WebhookID, d.Topic)
				return nil
			}
			last = d
		}
	}
	if last != nil {
		return &failure{
			err:   fmt.Errorf("no delivery was accepted within %v; the last one was rejected with %d, %s: %s", inv.Wait, last.Status, last.Outcome, last.Error),
			state: "deliveries reach the function, but it rejects them",
			next:  terminal.Command("doctor") + ", which finds the cause",
		}
	}
	return &failure{
		err:   fmt.Errorf("no delivery arrived within %v", inv.Wait),
		state: "the function is not deployed or not open to all callers, another URL is registered, or the log is late",
		next:  fmt.Sprintf("%s; %s shows the registered URL", terminal.Command("doctor"), terminal.Command("list")),
	}
}

// A delivery holds fields of the log line that shared/receiver writes for each
// delivery.
type delivery struct {
	Outcome   string `json:"outcome"`
	Status    int    `json:"status"`
	Type      string `json:"type"`
	WebhookID string `json:"webhook_id"`
	Topic     string `json:"topic"`
	Error     string `json:"error"`
}

// accepted reports whether the delivery was valid and is on its topic.
func (d *delivery) accepted() bool { return d.Status/100 == 2 }

// A deliveryLog reads the static function's deliveries from Cloud Logging.
//
// There are two other sources, and neither is suitable. A subscription would have to
// exist on every topic, because a ping's type is unknown. The ledger cannot list its
// latest records, because they have no index. Reading the log has no side effects,
// needs one viewer role, and also shows rejected deliveries.
type deliveryLog struct {
	entries *logging.EntriesService
	request *logging.ListLogEntriesRequest
	seen    map[string]bool // insert ids
}

// deliveryLog returns a log whose existing lines count as seen.
func (inv *Invocation) deliveryLog(ctx context.Context) (*deliveryLog, error) {
	service, err := logging.NewService(ctx, inv.Google...)
	if err != nil {
		return nil, fmt.Errorf("cloud logging client: %w", err)
	}
	l := &deliveryLog{service.Entries, &logging.ListLogEntriesRequest{
		ResourceNames: []string{"projects/" + inv.Values["project"]},
		Filter: fmt.Sprintf(`resource.type="cloud_run_revision" AND resource.labels.service_name=%q AND jsonPayload.message="delivery" AND timestamp>=%q`,
			inv.Values["static_function"], inv.Now().Add(-logWindow).UTC().Format(time.RFC3339)),
		OrderBy:  "timestamp desc",
		PageSize: logPage,
	}, map[string]bool{}}
	_, err = l.read(ctx)
	return l, err
}

// read returns the deliveries that have appeared since the last read.
func (l *deliveryLog) read(ctx context.Context) ([]*delivery, error) {
	res, err := l.entries.List(l.request).Context(ctx).Do()
	if err != nil {
		return nil, &failure{fmt.Errorf("read the function's log: %w", short(err)), "", "grant yourself roles/logging.viewer on the project"}
	}
	var fresh []*delivery
	for _, entry := range res.Entries {
		if l.seen[entry.InsertId] {
			continue
		}
		l.seen[entry.InsertId] = true
		d := new(delivery)
		if err := json.Unmarshal(entry.JsonPayload, d); err == nil {
			fresh = append(fresh, d)
		}
	}
	return fresh, nil
}

// short returns the status and the message of a Google API's error, without its
// details.
func short(err error) error {
	var answer *googleapi.Error
	if errors.As(err, &answer) && answer.Message != "" {
		return fmt.Errorf("answered %d: %s", answer.Code, answer.Message)
	}
	return err
}
