package proof

import (
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/geminihook/geminihook/functions/functiontest"
)

// The causes that the contract allows for a second copy. unexplained is a violation.
const (
	unknownOutcome = "the publish's outcome could not be known"
	killedBetween  = "killed between publish and mark"
	markFailed     = "the mark failed"
	overranLease   = "the owner stalled past its lease"
	unexplained    = "unexplained"
)

// granularity is the resolution of a message's publish time.
const granularity = time.Millisecond

// A line is a function's log line about one request.
type line struct {
	outcome, messageID, err string
	attempts                int // attempts to publish
	latency                 time.Duration
}

// readLines returns the instances' log lines about deliveries, by webhook-id.
func readLines(t *testing.T, instances ...*functiontest.Process) map[string][]line {
	logged := make(map[string][]line)
	for _, instance := range instances {
		for _, fields := range instance.Log.Lines(t, "delivery") {
			text := func(name string) string { text, _ := fields[name].(string); return text }
			number := func(name string) float64 { number, _ := fields[name].(float64); return number }
			id := text("webhook_id")
			logged[id] = append(logged[id], line{
				outcome:   text("outcome"),
				messageID: text("message_id"),
				err:       text("error"),
				attempts:  max(int(number("publish_attempts")), 1),
				latency:   time.Duration(number("latency_ms") * float64(time.Millisecond)),
			})
		}
	}
	return logged
}

// A request is one attempt at a delivery.
type request struct {
	instance *functiontest.Process
	from, to time.Time
}

// A death is the end of a killed instance, at some time between from and to.
type death struct {
	instance *functiontest.Process
	from, to time.Time
	settled  time.Time // by then, publishes that were under way have reached the topic
}

// causes returns the cause of each copy of a delivery except the one that counts. It
// finds them in the log lines of the delivery's requests, and in the deaths of
// instances during these requests.
func causes(messages []functiontest.Message, logged []line, requests []request, deaths []death, lease time.Duration) (causes []string) {
	if len(messages) < 2 {
		return nil
	}
	// Each unacknowledged attempt to publish may have made one copy.
	unacknowledged := 0
	outcome := make(map[string]string)
	for _, l := range logged {
		switch {
		case l.messageID != "":
			outcome[l.messageID] = l.outcome
			unacknowledged += l.attempts - 1
		case strings.HasPrefix(l.err, "publish to "):
			unacknowledged += l.attempts
		}
	}
	counts := 0
	for _, m := range messages {
		switch o := outcome[m.MessageId]; {
		case o == "unmarked":
			causes = append(causes, markFailed)
		case o != "":
			if counts++; counts > 1 {
				causes = append(causes, overrun(logged, lease))
			}
		case died(m.PublishTime.AsTime(), requests, deaths):
			causes = append(causes, killedBetween)
		case unacknowledged > 0:
			unacknowledged--
			causes = append(causes, unknownOutcome)
		default:
			causes = append(causes, unexplained)
		}
	}
	if counts == 0 { // no acknowledged copy was marked done, so an explained one counts
		if i := slices.IndexFunc(causes, func(cause string) bool { return cause != unexplained }); i >= 0 {
			causes = slices.Delete(causes, i, i+1)
		}
	}
	return causes
}

// died reports whether the instance of a request that may have published at this time
// was killed during the request.
func died(published time.Time, requests []request, deaths []death) bool {
	for _, r := range requests {
		for _, d := range deaths {
			if d.instance == r.instance && r.from.Before(d.to) && d.from.Before(r.to) &&
				r.from.Before(published.Add(granularity)) && published.Before(d.settled) {
				return true
			}
		}
	}
	return false
}

// overrun returns the cause of a second acknowledged copy: overranLease if a request
// took longer than the lease.
func overrun(logged []line, lease time.Duration) string {
	if slices.ContainsFunc(logged, func(l line) bool { return l.outcome == "published" && l.latency >= lease }) {
		return overranLease
	}
	return unexplained
}

// TestCauses checks causes on copies with known causes.
func TestCauses(t *testing.T) {
	const lease = 5 * time.Second
	mortal, survivor := new(functiontest.Process), new(functiontest.Process)
	at := func(ms int) time.Time { return time.UnixMilli(0).Add(time.Duration(ms) * time.Millisecond) }
	copyAt := func(id string, ms int) functiontest.Message {
		return functiontest.Message{PubsubMessage: &pubsubpb.PubsubMessage{MessageId: id, PublishTime: timestamppb.New(at(ms))}}
	}
	// a has no log line and was published at 100 ms; b is the copy that counts.
	copies := []functiontest.Message{copyAt("a", 100), copyAt("b", 900)}
	published := line{outcome: "published", messageID: "b", attempts: 1}
	refused := line{outcome: "unavailable", err: "publish to t: deadline", attempts: 1}
	to := func(instance *functiontest.Process, from, to int) []request {
		return []request{{instance, at(from), at(to)}, {survivor, at(850), at(950)}}
	}
	kill := func(ms int) []death {
		return []death{{instance: mortal, from: at(ms), to: at(ms + 10), settled: at(ms + 40)}}
	}
	with := func(l line, change func(*line)) line { change(&l); return l }
	for _, test := range []struct {
		name     string
		copies   []functiontest.Message
		logged   []line
		requests []request
		deaths   []death
		want     []string
	}{
		{"one copy", copies[:1], nil, to(survivor, 80, 150), nil, nil},
		{"no log line", copies, []line{published}, to(survivor, 80, 150), nil, []string{unexplained}},
		{"published again by the same call", copies, []line{with(published, func(l *line) { l.attempts = 2 })}, nil, nil, []string{unknownOutcome}},
		{"published again by another request", copies, []line{refused, published}, nil, nil, []string{unknownOutcome}},
		{"one attempt, two copies", append(copies, copyAt("c", 120)), []line{refused, published}, nil, nil, []string{unknownOutcome, unexplained}},
		{"two attempts, two copies", append(copies, copyAt("c", 120)), []line{with(refused, func(l *line) { l.attempts = 2 }), published}, nil, nil,
			[]string{unknownOutcome, unknownOutcome}},
		{"another failure", copies, []line{{outcome: "unavailable", err: "claim: deadline", attempts: 1}, published}, nil, nil, []string{unexplained}},
		{"killed", copies, []line{published}, to(mortal, 80, 125), kill(120), []string{killedBetween}},
		{"killed in the request's first millisecond", copies, []line{published}, []request{{mortal, at(100).Add(granularity / 2), at(150)}}, kill(120), []string{killedBetween}},
		{"the other instance killed", copies, []line{published}, to(survivor, 80, 150), kill(120), []string{unexplained}},
		{"killed after the answer", copies, []line{published}, to(mortal, 80, 110), kill(120), []string{unexplained}},
		{"killed before the request", copies, []line{published}, to(mortal, 80, 150), kill(60), []string{unexplained}},
		{"published before the request", copies, []line{published}, to(mortal, 105, 150), kill(120), []string{unexplained}},
		{"published long after the death", copies, []line{published}, to(mortal, 20, 150), kill(50), []string{unexplained}},
		{"unmarked", copies, []line{{outcome: "unmarked", messageID: "a", attempts: 1}, published}, nil, nil, []string{markFailed}},
		{"unmarked twice", copies, []line{{outcome: "unmarked", messageID: "a", attempts: 1}, {outcome: "unmarked", messageID: "b", attempts: 1}}, nil, nil, []string{markFailed}},
		{"unmarked, and an unexplained copy", copies, []line{{outcome: "unmarked", messageID: "a", attempts: 1}}, nil, nil, []string{unexplained}},
		{"published twice", copies, []line{published, with(published, func(l *line) { l.messageID = "a" })}, to(mortal, 80, 150), kill(120), []string{unexplained}},
		{"published twice, the owner stalled", copies, []line{published, with(published, func(l *line) { l.messageID, l.latency = "a", lease })},
			nil, nil, []string{overranLease}},
	} {
		if got := causes(test.copies, test.logged, test.requests, test.deaths, lease); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
