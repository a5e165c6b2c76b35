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

// A Pass is what the reconciler logs of a pass, under the same names.
type Pass struct {
	Time         time.Time `json:"time"`
	WebhookState string    `json:"webhook_state,omitempty"` // empty if it could not be read
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

// ReadPass returns the pass that a line of a function's log is about, nil if it is about
// something else.
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

// Words returns the pass in words. Counts that are zero are left out.
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

// Passes holds the latest pass of the reconciler, and what passes did with each job whose
// event was missing. It learns of them from the function's log. It may be used
// concurrently.
type Passes struct {
	mu      sync.Mutex
	last    *Pass             // nil before the first one
	actions map[string]string // by the last segment of the job's name
}

// Logged takes a line of the functions' log. If it is about a pass, it returns that pass,
// and whether its words are those of the one before.
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

// words returns the latest pass in words.
func (p *Passes) words() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		return "none yet"
	}
	return clock(p.last.Time) + " " + p.last.Words()
}

// action returns what the reconciler did with a job's event, empty if it was not missing.
func (p *Passes) action(job string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.ReplaceAll(p.actions[path.Base(job)], "_", " ")
}
