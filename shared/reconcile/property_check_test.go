package reconcile

import (
	"slices"
	"time"

	"github.com/geminihook/geminihook/shared/geminitest"
)

// check compares the outcome of the story with the contract, and counts the outcomes.
func (s *story) check() {
	all := s.w.messages()
	byJob := make(map[string][]message)
	for _, m := range all {
		byJob[lastOf(m.subject)] = append(byJob[lastOf(m.subject)], m)
	}
	firstOfKind := make(map[string]time.Time) // time of Gemini's first delivery
	for _, m := range all {
		kind := kindOf(m.eventType)
		if at, ok := firstOfKind[kind]; !byUs(m) && (!ok || m.at.Before(at)) {
			firstOfKind[kind] = m.at
		}
	}
	var delays []time.Duration
	for _, state := range s.api.Jobs() {
		k := s.known[lastOf(state.Name)]
		c := &checked{story: s, told: k, state: state, messages: byJob[lastOf(state.Name)], firstOfKind: firstOfKind[k.kind]}
		c.check()
		delays = append(delays, c.delays...)
	}
	s.checkCopies(all)
	s.checkLost()
	if slices.Sort(delays); len(delays) > 0 {
		s.count("minutes after the grace, the median of the events that we handed over", int(delays[len(delays)/2].Minutes()))
		s.count("minutes after the grace, the slowest of the events that we handed over", int(delays[len(delays)-1].Minutes()))
	}
	if open := s.w.open(); len(open) > 0 && s.passes[len(s.passes)-1].Held == 0 {
		s.t.Errorf("still open: %v", open)
	}
}

// checkCopies counts the messages with an id that was on their topic before. There
// may be one for each failed call.
func (s *story) checkCopies(all []message) {
	ids := make(map[string]int)
	for _, m := range all {
		ids[m.source+m.id]++
	}
	again := len(all) - len(ids)
	s.count("copies with the same id", again)
	if most := s.counts["faults of Firestore and Pub/Sub"] + s.counts["passes killed"]; again > most {
		s.t.Errorf("%d copies with the same id, after %d faults", again, most)
	}
}

// checkLost checks that only jobs that the API hides are lost.
func (s *story) checkLost() {
	hidden := make(map[string]bool)
	for _, state := range s.api.Jobs() {
		c := &checked{story: s, told: s.known[lastOf(state.Name)], state: state}
		hidden[lastOf(state.Name)] = c.mayBeLost()
	}
	for _, line := range s.w.log.take(s.t, "lost job") {
		if name, _ := line["job"].(string); !hidden[lastOf(name)] {
			s.t.Errorf("lost, although the API shows it: %v", line)
		}
	}
}

func kindOf(eventType string) string {
	for i, c := range eventType {
		if c == '.' {
			return eventType[:i]
		}
	}
	return eventType
}

func byUs(m message) bool { return m.scheme == "api" }

// checked is one job with the events on its topic.
type checked struct {
	*story
	*told
	state       geminitest.State
	messages    []message
	firstOfKind time.Time // time of Gemini's first delivery of the kind
	seen        time.Time // time at which a complete pass first saw the end of a video
	delays      []time.Duration
}

func (c *checked) check() {
	c.count("jobs, "+c.kind, 1)
	if c.state.Running {
		c.t.Errorf("%s still runs at the end of the story", c.name)
	}
	wanted := c.wanted()
	for _, m := range c.messages {
		began := c.state.Ended
		if m.eventType == requiresAction {
			began = c.required
		}
		if m.at.Before(began) {
			c.t.Errorf("%s: %s came %v before the end", c.name, m.eventType, began.Sub(m.at))
		}
		switch {
		case !byUs(m):
		case m.eventType != wanted && !(m.eventType == requiresAction && !c.required.IsZero() && c.registered):
			c.t.Errorf("%s, which ended as %s: a pass published %s", c.name, c.state.End, m.eventType)
		case m.at.Before(began.Add(grace)):
			c.t.Errorf("%s: published %v after the end", c.name, m.at.Sub(began))
		}
	}
	if wanted != "" {
		c.checkEvent(wanted)
	}
	if !c.required.IsZero() && c.registered && !c.mayBeLost() {
		c.checkAction()
	}
}

// wanted returns the type of the event that the contract guarantees; empty if it
// guarantees no event.
func (c *checked) wanted() string {
	event := c.state.Event
	switch {
	case c.state.End == geminitest.BatchCancelled || c.state.End == geminitest.InteractionCancelled:
		return ""
	case c.kind == geminitest.KindBatch && c.config == otherURL:
		return ""
	case c.kind != geminitest.KindBatch && !c.registered:
		return ""
	case c.kind == geminitest.KindVideo && event == "":
		return "video.failed"
	}
	return event
}

// mayBeLost reports whether the API hides the job for so long that it counts as lost.
func (c *checked) mayBeLost() bool {
	return c.state.Get != 0 && c.kind != geminitest.KindBatch && (c.hidden || c.state.GetFor > grace+time.Hour)
}

// checkEvent checks the event of a job's end.
func (c *checked) checkEvent(eventType string) {
	var sender, ours []message
	for _, m := range c.messages {
		switch {
		case m.eventType != eventType:
		case byUs(m):
			ours = append(ours, m)
		default:
			sender = append(sender, m)
		}
	}
	c.count("events, "+c.kind, 1)
	switch {
	case len(sender)+len(ours) == 0 && c.mayBeLost():
		c.count("lost with reason: the API hid them", 1)
	case len(sender)+len(ours) == 0:
		c.t.Errorf("%s, which ended %v after the story's beginning as %s, has no event on its topic", c.name, c.state.Ended.Sub(c.begin), c.state.End)
	case len(ours) == 0:
		c.count("by the sender alone", 1)
	case len(sender) == 0:
		c.count("by us alone", 1)
	default:
		c.count("by both", 1)
		c.checkBoth(sender[0], ours[0])
	}
	if len(ours) > 0 {
		c.delays = append(c.delays, ours[0].at.Sub(c.state.Ended)-grace)
		for _, m := range ours {
			if m.id != ours[0].id {
				c.t.Errorf("%s: passes published its event under two ids", c.name)
			}
		}
	}
	if at := arrived(sender, ours); !at.IsZero() {
		c.checkTime(at)
	}
}

func arrived(lists ...[]message) (at time.Time) {
	for _, list := range lists {
		for _, m := range list {
			if at.IsZero() || m.at.Before(at) {
				at = m.at
			}
		}
	}
	return at
}

// checkBoth checks that Gemini's event arrived after the grace, and has the same
// subject and type as the one of a pass.
func (c *checked) checkBoth(sender, ours message) {
	if sender.at.Before(c.state.Ended.Add(grace)) || sender.at.Before(ours.at.Add(-DefaultTimeout)) {
		c.count("by both, though the sender came first: its mark failed", 1)
	}
	if sender.subject != ours.subject {
		if c.firstOfKind.Before(ours.at) {
			c.t.Errorf("%s: ce-subject %s from Gemini, %s from a pass", c.name, sender.subject, ours.subject)
		}
		c.count("by both, in another form: the sender had not called yet", 1)
	}
}

// checkTime checks that an event was published by the first pass that could do so: it
// was complete, held and deferred no event, and began after the grace. For a
// registered job, that pass must also have seen the end, and the API must have been
// called often enough.
func (c *checked) checkTime(at time.Time) {
	due := c.state.Ended.Add(grace)
	for _, p := range c.passes {
		if !p.Complete || p.Held > 0 || p.Deferred > 0 || !at.After(p.to) {
			continue
		}
		if c.kind != geminitest.KindBatch {
			if !c.mayBeLost() && !c.t.Failed() { // report the first failure of a job only
				c.checkAsked(p)
			}
			if !c.sawEnd(p) {
				continue
			}
		}
		if c.kind == geminitest.KindVideo { // the grace begins when the end is seen
			if c.seen.IsZero() {
				c.seen = p.from
			}
			due = c.seen.Add(grace)
		}
		if !p.from.Before(due) {
			c.t.Errorf("%s: published %v after its end, and %v after the first pass that could publish it", c.name, at.Sub(c.state.Ended), at.Sub(p.to))
			return
		}
	}
}

// sawEnd reports whether an API call of a pass returned that the job had ended.
func (c *checked) sawEnd(p passed) bool {
	return slices.ContainsFunc(c.asks[c.name], func(a asked) bool {
		return a.ended && a.by == p.by && !a.at.Before(p.from) && !a.at.After(p.to)
	})
}

// checkAsked checks that the API was called for a registered job without an event in
// the interval before the end of a complete pass.
func (c *checked) checkAsked(p passed) {
	most := min(max(p.from.Sub(c.started)/ageShare, 0), maxInterval)
	if p.from.Sub(c.started) < grace+askedOften {
		most = 0
	}
	if c.state.Ended.Before(p.from) { // the job may be within its grace
		most = max(most, grace)
	}
	if !c.required.IsZero() && c.required.Before(p.from) {
		most = max(most, grace)
	}
	since := p.from.Add(-most - period)
	if since.Before(c.started.Add(grace)) {
		return
	}
	if !slices.ContainsFunc(c.asks[c.name], func(a asked) bool { return a.at.After(since) && !a.at.After(p.to) }) {
		c.t.Errorf("%s: no API call for it in the %v before %v", c.name, most+period, p.to.Sub(c.started))
	}
}

// complete returns the end of the n-th pass that began at or after from, was
// complete, and held or deferred no event.
func (c *checked) complete(from time.Time, n int) (end time.Time, ok bool) {
	for _, p := range c.passes {
		if !p.from.Before(from) && p.Complete && p.Held == 0 && p.Deferred == 0 {
			if n--; n == 0 {
				return p.to, true
			}
		}
	}
	return time.Time{}, false
}

// checkAction checks the event of a required action that lasted long enough for a
// pass to publish it.
func (c *checked) checkAction() {
	end, ok := c.complete(c.required.Add(grace+maxInterval), 6)
	if !ok || !end.Before(c.required.Add(c.waits)) {
		return
	}
	c.count("events, action required", 1)
	ids := make(map[string]bool)
	for _, m := range c.messages {
		if m.eventType == requiresAction {
			ids[m.source+m.id] = true
		}
	}
	if len(ids) == 0 {
		c.t.Errorf("%s: the event of its required action is not on its topic", c.name)
	}
}
