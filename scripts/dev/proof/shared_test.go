package proof

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	// crowdSize is the number of deliveries that an instance gets at once. More crowds
	// follow, at most mostCrowds, until a call was shared and the fault has struck.
	crowdSize  = 12
	mostCrowds = 20
)

// The steps at which deliveries share a call. The first two are seen by their method; a
// publish follows a shared claim, whose deliveries are published together.
var (
	sharedClaim   = &step{name: "shared claim", method: functiontest.BatchWrite}
	sharedMark    = &step{name: "shared mark", method: functiontest.BatchWrite, leads: always(lead{functiontest.BatchWrite, pass}, lead{functiontest.Publish, pass})}
	sharedPublish = &step{name: "shared publish", method: functiontest.Publish, leads: always(lead{functiontest.BatchWrite, pass})}
)

// A crowd is a cell with many deliveries, which share their calls.
type crowd struct {
	*cell

	mu        sync.Mutex
	requests  map[string][]request // by webhook-id
	publishes atomic.Int32         // calls that Pub/Sub accepted
	accepted  atomic.Int32         // deliveries that were answered 204
	struckAt  time.Time
}

// TestShared has each fault come to a call that deliveries share. Each of them is
// accepted in the end, and on its topic more than once only for one of the contract's
// reasons.
func TestShared(t *testing.T) {
	m := calibrate(t)
	for _, s := range []*step{sharedClaim, sharedPublish, sharedMark} {
		for _, f := range []*fault{refused, requestLost, replyLost, late, pastLease, killedBefore, killedAfter, terminated, stalled, frozen} {
			t.Run(strings.ReplaceAll(s.name+"/"+f.name, " ", "-"), func(t *testing.T) {
				t.Parallel()
				m.acquire()
				defer m.release()
				c := &crowd{cell: newCell(t, m, newPlan(s, f, first), newProject(t)), requests: make(map[string][]request)}
				c.run()
			})
		}
	}
}

func (c *crowd) run() {
	c.store = c.openStore()
	c.victim = c.newParty()
	c.victim.instance.Start()
	c.warmedUp()
	c.project.Interfere(c.handle)
	// A fault can spread a crowd so that none of its messages shares a call.
	for n := 0; n < mostCrowds && !(c.hasStruck() && c.publishes.Load() < c.accepted.Load()); n++ {
		var all sync.WaitGroup
		for range crowdSize {
			all.Go(c.send)
		}
		all.Wait()
	}
	c.background.Wait()
	c.victim.instance.Signal(syscall.SIGTERM)
	_ = c.victim.instance.Wait()
	c.project.Interfere(nil)
	c.calls.Lock() // nothing is on its way any more
	c.conclude()
}

// send sends a new delivery until it is accepted.
func (c *crowd) send() {
	id := webhooktest.NewID()
	client := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for pause, begun := backoff(), time.Now(); ; time.Sleep(pause()) {
		r := request{instance: c.victim.instance, from: time.Now()}
		resp, err := post(c.t.Context(), client, c.victim.instance.URL(), c.sign, id, c.body)
		r.to = time.Now()
		c.mu.Lock()
		c.requests[id] = append(c.requests[id], r)
		c.mu.Unlock()
		switch {
		case err == nil && resp.StatusCode == http.StatusNoContent:
			c.accepted.Add(1)
			return
		case err == nil && resp.StatusCode != http.StatusServiceUnavailable:
			c.t.Errorf("answered %d", resp.StatusCode)
			return
		case time.Since(begun) > enough:
			c.t.Errorf("not accepted in %v", enough)
			return
		}
	}
}

// handle is the wire.
func (c *crowd) handle(ctx context.Context, method string, forward func() error) error {
	c.calls.RLock()
	defer c.calls.RUnlock()
	apply := func() error {
		err := forward()
		if err == nil && method == functiontest.Publish {
			c.publishes.Add(1)
		}
		return err
	}
	if act := c.lead(method); act != nil {
		return act(c.cell, apply)
	}
	if method != c.step.method || !c.strike(method) && !c.lasts() {
		return apply()
	}
	c.background.Add(1)
	defer c.background.Done()
	return c.fault.call(c.cell, ctx, apply)
}

// lasts reports whether the fault befalls a later call, too: for as long as a delivery
// has.
func (c *crowd) lasts() bool {
	if !c.fault.lasts || !c.hasStruck() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.struckAt.IsZero() {
		c.struckAt = time.Now()
	}
	return time.Since(c.struckAt) < c.times.process
}

// conclude checks what is left when all is quiet.
func (c *crowd) conclude() {
	defer c.tell()
	if !c.hasStruck() {
		c.t.Fatal("the fault never came")
	}
	copies := make(map[string][]functiontest.Message)
	messages := c.project.Messages(c.t)
	for _, m := range messages {
		id := m.Attributes["ce-id"]
		copies[id] = append(copies[id], m)
	}
	if int(c.publishes.Load()) >= len(messages) {
		c.t.Errorf("%d messages in %d calls: none was shared", len(messages), c.publishes.Load())
	}
	logged := readLines(c.t, c.victim.instance)
	for id, requests := range c.requests {
		if len(copies[id]) == 0 {
			c.t.Errorf("%s was answered 204, and is not on its topic", id)
		}
		for _, m := range copies[id] {
			if m.Attributes["ce-source"] != copies[id][0].Attributes["ce-source"] || !slices.Equal(m.Data, c.body) {
				c.t.Errorf("a copy reads %v", m.Attributes)
			}
		}
		if second := causes(copies[id], logged[id], requests, c.deaths, c.times.lease); slices.Contains(second, unexplained) {
			c.t.Errorf("%s: %d copies on the topic: %v", id, len(copies[id]), second)
		}
	}
	c.wantDone(logged)
}

// wantDone checks that each record is done, unless a line says that its mark failed.
func (c *crowd) wantDone(logged map[string][]line) {
	records, err := c.store.Collection("deliveries").Documents(context.Background()).GetAll()
	if err != nil || len(records) < len(c.requests) {
		c.t.Errorf("%d records of %d deliveries: %v", len(records), len(c.requests), err)
	}
	for _, r := range records {
		id, _ := r.Data()["webhook_id"].(string)
		unmarked := slices.ContainsFunc(logged[id], func(l line) bool { return l.outcome == "unmarked" })
		if state := r.Data()["state"]; state != "done" && !unmarked {
			c.t.Errorf("%s: the record ends %q, and no line says that a mark failed", id, state)
		}
	}
}
