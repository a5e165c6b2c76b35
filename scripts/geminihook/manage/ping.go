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
	// PingWait is a good Options.Wait: it covers the sender's delay, a cold start, and the
	// time until Cloud Logging shows a line.
	PingWait = 2 * time.Minute

	pollEvery = 2 * time.Second

	// logWindow is how far back lines are read, by the clock of this machine, which may
	// be wrong by less. logPage is how many, the newest.
	logWindow = 15 * time.Minute
	logPage   = 100
)

// Ping asks the API for a ping, and waits until the function's log shows an accepted
// delivery.
func (inv *Invocation) Ping(ctx context.Context) error {
	api, w, err := inv.webhook(ctx)
	if err != nil {
		return err
	}
	if w.state != enabled {
		return &failure{fmt.Errorf("webhook %s is %s: no ping would come", w.id, w.state), "", terminal.Command("enable")}
	}
	log, err := inv.deliveryLog(ctx)
	if err != nil {
		return err
	}
	if err := api.ping(ctx, w.id); err != nil {
		return err
	}
	inv.say("asked", "for a ping of webhook %s; waiting up to %v for it to arrive at %s", w.id, inv.Wait, inv.Values["static_function"])
	return inv.awaitPing(ctx, log)
}

// awaitPing waits for a delivery that was accepted. Nothing in the answer to the request
// tells which one is the ping, nor what it looks like; any proves the way open. A
// refusal proves nothing, since the URL is open to all callers, but may say what is wrong.
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
			err:   fmt.Errorf("no delivery was accepted within %v; the last one was answered %d, %s: %s", inv.Wait, last.Status, last.Outcome, last.Error),
			state: "the function is reached, but refuses",
			next:  terminal.Command("doctor") + ", which says what is missing",
		}
	}
	return &failure{
		err:   fmt.Errorf("nothing arrived within %v", inv.Wait),
		state: "the function is not reached: not deployed, not open to all callers, or another URL is registered; or the log is late",
		next:  fmt.Sprintf("%s; %s shows the URL that is registered", terminal.Command("doctor"), terminal.Command("list")),
	}
}

// A delivery is the log's line about one, as shared/receiver writes it.
type delivery struct {
	Outcome   string `json:"outcome"`
	Status    int    `json:"status"`
	Type      string `json:"type"`
	WebhookID string `json:"webhook_id"`
	Topic     string `json:"topic"`
	Error     string `json:"error"`
}

// accepted reports whether the delivery was genuine, and is on its topic.
func (d *delivery) accepted() bool { return d.Status/100 == 2 }

// A deliveryLog tells which deliveries reached the static function.
//
// It reads Cloud Logging. A subscription would take messages away from others, or,
// made for the purpose, have to be made on every topic, since the type of a ping is
// not known; the ledger cannot be asked for its latest records, which have no index.
// Reading the log changes nothing, needs one role to view, and shows refusals too.
type deliveryLog struct {
	entries *logging.EntriesService
	request *logging.ListLogEntriesRequest
	seen    map[string]bool // insert ids
}

// deliveryLog returns a log that has seen all there is so far.
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

// read returns the deliveries that were not seen before.
func (l *deliveryLog) read(ctx context.Context) ([]*delivery, error) {
	res, err := l.entries.List(l.request).Context(ctx).Do()
	if err != nil {
		return nil, &failure{fmt.Errorf("read the function's log: %w", short(err)), "", "roles/logging.viewer on the project allows it"}
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

// short returns an error of a Google API without the rest of its answer.
func short(err error) error {
	var answer *googleapi.Error
	if errors.As(err, &answer) && answer.Message != "" {
		return fmt.Errorf("answered %d: %s", answer.Code, answer.Message)
	}
	return err
}
