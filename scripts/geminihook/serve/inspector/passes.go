package inspector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strings"
	"sync"
	"time"
)

// A Pass is the reconciler's log line about one pass. Its counts are those of
// reconcile.Summary. After a failed build, the line has only Time, and the rest is
// zero.
type Pass struct {
	Time         time.Time `json:"time"`
	WebhookState string    `json:"webhook_state,omitempty"` // empty if reading it failed
	WebhookOK    bool      `json:"webhook_ok"`

	Jobs       int `json:"jobs"`
	Delivered  int `json:"delivered"`
	Pending    int `json:"pending"`
	Missed     int `json:"missed"`
	HandedOver int `json:"handed_over"`
	Held       int `json:"held"`
	Reported   int `json:"reported"`
	Lost       int `json:"lost"`
	Rejected   int `json:"rejected"`
	Foreign    int `json:"foreign"`

	Truncated bool    `json:"truncated"`
	Complete  bool    `json:"complete"`
	PassMS    float64 `json:"pass_ms"`
	Calls     int64   `json:"calls"`
}

// ReadPass parses a line of a function's log. It returns nil if the line is not about a
// pass.
func ReadPass(line []byte) *Pass {
	var p struct {
		Message string `json:"message"`
		Pass
	}
	if !bytes.Contains(line, []byte(`"pass"`)) || json.Unmarshal(line, &p) != nil || p.Message != "pass" {
		return nil
	}
	return &p.Pass
}

// Words describes the pass for people. It omits zero counts, except that of jobs.
func (p *Pass) Words() string {
	words := []string{"complete", "webhook " + p.WebhookState, fmt.Sprintf("%d jobs", p.Jobs)}
	if !p.Complete {
		words[0] = "not complete"
	}
	if p.WebhookState == "" {
		words[1] = "webhook not read"
	}
	if p.Jobs == 1 {
		words[2] = "1 job"
	}
	for _, count := range []struct {
		n    int
		what string
	}{
		{p.Delivered, "delivered"}, {p.Pending, "pending"}, {p.Missed, "missed"}, {p.HandedOver, "handed over"},
		{p.Held, "held"}, {p.Reported, "reported"}, {p.Lost, "lost"}, {p.Rejected, "names rejected"}, {p.Foreign, "of others"},
	} {
		if count.n > 0 {
			words = append(words, fmt.Sprint(count.n, " ", count.what))
		}
	}
	if p.Truncated {
		words = append(words, "truncated")
	}
	return strings.Join(words, ", ")
}

// Passes holds the reconciler's latest pass, and its latest action for each job with a
// missed event. Both come from the function's log. The zero value is ready for use. It
// is safe for concurrent use.
type Passes struct {
	mu      sync.Mutex
	last    *Pass             // nil before the first one
	actions map[string]string // by the last segment of the job's name
}

// Logged records a line of the functions' log. If the line is about a pass, Logged
// returns the pass, and whether its words equal those of the pass before.
func (p *Passes) Logged(line []byte) (pass *Pass, again bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if pass = ReadPass(line); pass != nil {
		again = p.last != nil && p.last.Words() == pass.Words()
		p.last = pass
		return pass, again
	}
	var missed struct{ Job, Action string }
	if bytes.Contains(line, []byte(`"action"`)) && json.Unmarshal(line, &missed) == nil && missed.Job != "" {
		if p.actions == nil {
			p.actions = make(map[string]string)
		}
		p.actions[path.Base(missed.Job)] = missed.Action
	}
	return nil, false
}

// words describes the latest pass.
func (p *Passes) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		return "none yet"
	}
	return clock(p.last.Time) + " " + p.last.Words()
}

// action returns the reconciler's action for a job's missed event, or "" if no event of
// the job was missed.
func (p *Passes) action(job string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.ReplaceAll(p.actions[path.Base(job)], "_", " ")
}
