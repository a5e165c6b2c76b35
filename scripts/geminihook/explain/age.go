package explain

import (
	"fmt"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// tolerance is webhook.DefaultTolerance as text.
var tolerance = fmt.Sprintf("%.0f minutes", webhook.DefaultTolerance.Minutes())

// setClocks is the remedy for a wrong clock.
const setClocks = "synchronize both clocks with NTP, the sender's first"

// clock explains why a timestamp outside the tolerance shows a wrong clock. It returns
// "" if the timestamp is only old: then it may have been correct when it was sent.
func (x *examination) clock() string {
	sent, event := x.header.sent, webhook.ParseEvent(x.capture.Body).Time
	switch {
	case sent.IsZero() || x.now.Sub(sent).Abs() <= webhook.DefaultTolerance:
		return ""
	case sent.After(x.now):
		return fmt.Sprintf("the timestamp is %v ahead of this machine's clock, and the limit is %s", round(sent.Sub(x.now)), tolerance)
	case event.Sub(sent) > webhook.DefaultTolerance:
		return fmt.Sprintf("the sender's clock is wrong: the timestamp is %v before the event's time in the body", round(event.Sub(sent)))
	case !x.capture.arrived.IsZero() && sent.Sub(x.capture.arrived) > webhook.DefaultTolerance:
		return fmt.Sprintf("the sender's clock is wrong: the timestamp is %v after the time of arrival in the capture", round(sent.Sub(x.capture.arrived)))
	}
	return ""
}

// age compares the timestamp with the current time. Most captures are examined later
// than five minutes after arrival, so age is the cause only if there is no other.
func (x *examination) age() {
	if x.header.sent.IsZero() {
		return
	}
	age, at := x.now.Sub(x.header.sent), utc(x.header.sent)
	says := fmt.Sprintf("%s, %s; the limit is ±%s", at, from(age), tolerance)
	switch clock := x.clock(); {
	case age.Abs() <= webhook.DefaultTolerance:
		x.say(Pass, "age", "%s", says)
	case len(x.findings) > 0:
		x.say(Note, "age", "%s", says)
	case clock != "":
		x.find(finding{SenderClock, clock, setClocks}, "age", "%s", says)
	default:
		x.find(x.stale(age), "age", "%s", says)
	}
}

// stale returns the finding for a delivery that is only old.
func (x *examination) stale(age time.Duration) finding {
	at := utc(x.header.sent)
	f := finding{Stale, fmt.Sprintf("the timestamp is %v old, and the limit is %s", round(age), tolerance),
		fmt.Sprintf("nothing if the request arrived within %s of %s; else look for a queue that delayed it, for a replay, or for a wrong clock", tolerance, at)}
	arrived := x.capture.arrived
	if arrived.IsZero() {
		arrived = x.capture.At
	}
	then := arrived.Sub(x.header.sent)
	switch {
	case arrived.IsZero():
		return f
	case then.Abs() <= webhook.DefaultTolerance:
		f.why += fmt.Sprintf("; it was within the limit when it arrived, at %s", utc(arrived))
		f.do = "nothing if the function rejects it only now, because a capture sent again later is always rejected; if the function rejected it on arrival, give explain that function's secret or keys"
		return f
	}
	f.why += fmt.Sprintf("; it was %v old when it arrived", round(then))
	f.do = "look for a queue that delayed it, for a proxy that retries, for a replay, or for a wrong clock of the sender"
	return f
}

func utc(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") }

func from(age time.Duration) string {
	if age < 0 {
		return round(-age).String() + " ahead"
	}
	return round(age).String() + " ago"
}

func round(d time.Duration) time.Duration { return d.Truncate(time.Second) }
