package proof

import (
	"cmp"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/geminihook/geminihook/functions/functiontest"
)

const unexplained = "unexplained"

// granularity is that of the time at which a topic says that something was published.
const granularity = time.Millisecond

// line is what a function logged about one request.
type line struct {
	outcome, messageID, err string
	latency                 time.Duration
}

// causes says of each copy of a delivery but the one that counts why it was not the
// last. The acknowledgement of a copy without a line in the log did not get through, or
// its function did not live to write one.
func causes(messages []functiontest.Message, logged []line, requests []request, events []event) (causes []string) {
	if len(messages) < 2 {
		return nil
	}
	known := make(map[string]string)
	for _, l := range logged {
		known[l.messageID] = l.outcome
	}
	counts := 0
	for _, m := range messages {
		switch known[m.MessageId] {
		case "published":
			if counts++; counts > 1 {
				causes = append(causes, overranLease(logged))
			}
		case "unmarked":
			causes = append(causes, "the mark failed")
		default:
			causes = append(causes, cmp.Or(interruption(m.PublishTime.AsTime(), requests, events), overranDeadline(logged)))
		}
	}
	return causes
}

// interruption says what came, if anything did, over a request that may have published
// at a moment.
func interruption(published time.Time, requests []request, events []event) string {
	for _, r := range requests {
		for _, e := range events {
			if r.from.Before(published.Add(granularity)) && published.Before(e.settled) && e.befell(r) {
				return e.what
			}
		}
	}
	return ""
}

// befell reports whether an event came while a request was under way, at an instance
// that it was about.
func (e *event) befell(r request) bool {
	return (e.instance == nil || e.instance == r.instance) && r.from.Before(e.to) && e.from.Before(r.to)
}

// overranDeadline says that a publish had no answer in its time, where a request logged so.
func overranDeadline(logged []line) string {
	if slices.ContainsFunc(logged, func(l line) bool {
		return l.outcome == "unavailable" && strings.HasPrefix(l.err, "publish to ")
	}) {
		return "publish overran its deadline"
	}
	return unexplained
}

// overranLease says that an owner stood still on a busy machine, where it shows in how long
// its request took.
func overranLease(logged []line) string {
	if slices.ContainsFunc(logged, func(l line) bool {
		return l.outcome == "published" && l.latency >= soakTimes.lease
	}) {
		return "an owner stalled past its lease"
	}
	return unexplained
}

// TestCauses has copies whose causes are known.
func TestCauses(t *testing.T) {
	mortal, survivor := new(functiontest.Process), new(functiontest.Process)
	at := func(ms int) time.Time { return time.UnixMilli(0).Add(time.Duration(ms) * time.Millisecond) }
	copyAt := func(id string, ms int) functiontest.Message {
		return functiontest.Message{PubsubMessage: &pubsubpb.PubsubMessage{MessageId: id, PublishTime: timestamppb.New(at(ms))}}
	}
	// A copy without a line, published at 100, and the one that counts.
	copies := []functiontest.Message{copyAt("a", 100), copyAt("b", 900)}
	published := []line{{outcome: "published", messageID: "b"}}
	to := func(instance *functiontest.Process, from, to int) []request {
		return []request{{instance, at(from), at(to)}, {survivor, at(850), at(950)}}
	}
	cut := func(ms int) []event {
		return []event{{what: cutOff, from: at(ms), to: at(ms + 2), settled: at(ms + 40)}}
	}
	kill := func(ms int) []event {
		return []event{{what: killed, instance: mortal, from: at(ms), to: at(ms + 10), settled: at(ms + 40)}}
	}
	for _, test := range []struct {
		name     string
		copies   []functiontest.Message
		logged   []line
		requests []request
		events   []event
		want     []string
	}{
		{"one copy", copies[:1], nil, to(survivor, 80, 150), nil, nil},
		{"cut off", copies, published, to(survivor, 80, 150), cut(120), []string{cutOff}},
		{"cut off on its way to the topic", copies, published, to(survivor, 50, 150), cut(70), []string{cutOff}},
		{"in the request's first millisecond", copies, published, []request{{survivor, at(100).Add(granularity / 2), at(150)}}, cut(120), []string{cutOff}},
		{"no event", copies, published, to(survivor, 80, 150), nil, []string{unexplained}},
		{"request answered before", copies, published, to(survivor, 80, 110), cut(120), []string{unexplained}},
		{"request came after", copies, published, to(survivor, 105, 150), cut(120), []string{unexplained}},
		{"cut before the request", copies, published, to(survivor, 80, 150), cut(70), []string{unexplained}},
		{"published after the cut had settled", copies, published, to(survivor, 20, 150), cut(50), []string{unexplained}},
		{"killed", copies, published, to(mortal, 80, 125), kill(120), []string{killed}},
		{"the other instance killed", copies, published, to(survivor, 80, 150), kill(120), []string{unexplained}},
		{"publish overran", copies, append(published, line{outcome: "unavailable", err: "publish to t: deadline"}),
			to(survivor, 80, 150), nil, []string{"publish overran its deadline"}},
		{"unmarked", copies, append(published, line{outcome: "unmarked", messageID: "a"}), nil, nil, []string{"the mark failed"}},
		{"published twice", copies, append(published, line{outcome: "published", messageID: "a"}),
			to(mortal, 80, 150), append(cut(120), kill(120)...), []string{unexplained}},
		{"published twice, the owner stalled", copies, append(published, line{outcome: "published", messageID: "a", latency: soakTimes.lease}),
			nil, nil, []string{"an owner stalled past its lease"}},
	} {
		if got := causes(test.copies, test.logged, test.requests, test.events); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}
