package explain

import (
	"fmt"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// tolerance is how far a time may be from now.
var tolerance = fmt.Sprintf("%.0f minutes", webhook.DefaultTolerance.Minutes())

const setClocks = "set the clocks, the sender's first: both by NTP"

// clock says why the timestamp is a wrong clock's, if it is out of tolerance, and is
// empty if nothing shows that: what is only old may have been right at its time.
func (x *examination) clock() string {
	sent, event := x.header.sent, webhook.ParseEvent(x.capture.Body).Time
	switch {
	case sent.IsZero() || x.now.Sub(sent).Abs() <= webhook.DefaultTolerance:
		return ""
	case sent.After(x.now):
		return fmt.Sprintf("the timestamp is %v ahead of this machine's clock, and a receiver takes %s", round(sent.Sub(x.now)), tolerance)
	case event.Sub(sent) > webhook.DefaultTolerance:
		return fmt.Sprintf("the sender's clock is wrong: the timestamp is %v before the time of the event that the body tells of", round(event.Sub(sent)))
	case !x.capture.arrived.IsZero() && sent.Sub(x.capture.arrived) > webhook.DefaultTolerance:
		return fmt.Sprintf("the sender's clock is wrong: the timestamp is %v after the time of arrival in the capture", round(sent.Sub(x.capture.arrived)))
	}
	return ""
}

// age holds the timestamp against now. A capture is rarely read within the five
// minutes, so it is the cause only if there is no other.
func (x *examination) age() {
	if x.header.sent.IsZero() {
		return
	}
	age, at := x.now.Sub(x.header.sent), utc(x.header.sent)
	says := fmt.Sprintf("%s, %s; up to %s either way are taken", at, from(age), tolerance)
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

// stale is the finding of a delivery that is only old.
func (x *examination) stale(age time.Duration) finding {
	at := utc(x.header.sent)
	f := finding{Stale, fmt.Sprintf("the timestamp is %v old, and a receiver takes %s", round(age), tolerance),
		fmt.Sprintf("nothing, if it arrived within %s of %s: it was right at its time; else look for what held it up, a queue, or played it again, or for a clock", tolerance, at)}
	arrived := x.capture.arrived
	if arrived.IsZero() {
		arrived = x.capture.At
	}
	then := arrived.Sub(x.header.sent)
	switch {
	case arrived.IsZero():
		return f
	case then.Abs() <= webhook.DefaultTolerance:
		f.why += fmt.Sprintf("; it was right when it arrived, at %s", utc(arrived))
		f.do = "nothing, if the function refuses it now only: a capture that is sent again later is always refused. If it was refused when it arrived, give explain the secret or the keys of that function"
		return f
	}
	f.why += fmt.Sprintf("; it was %v old when it arrived", round(then))
	f.do = "look for what held it up, a queue or a proxy that sends again, for who played it again, or for the sender's clock"
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
