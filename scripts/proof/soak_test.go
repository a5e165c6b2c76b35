package proof

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/iterator"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

var deliveries = flag.Int("deliveries", 3000, "in the soak")

// soakTimes are those of the functions in the soak.
var soakTimes = shortTimes.slower(soakSlowness)

const (
	senders      = 64 // that work at a time
	soakSlowness = 2

	// One delivery in this many is sent twice at once, and has all connections cut,
	// or an instance killed, somewhere in the middle of it.
	oneTwice  = 10
	oneCut    = 150
	oneKilled = 1000
)

// A soak is many deliveries to two instances, one of which is killed again and
// again, over connections that are cut again and again.
type soak struct {
	t         *testing.T
	project   *functiontest.Project
	sign      signer
	client    *http.Client
	mortal    *functiontest.Process
	survivor  *functiontest.Process
	instances []*functiontest.Process

	next atomic.Int64 // of the deliveries

	mu         sync.Mutex
	sent       map[string][]request // by webhook-id
	events     []event
	publishing *sync.WaitGroup // what is under way on the wire
	killing    sync.WaitGroup
}

// A request is one attempt to hand a delivery over.
type request struct {
	instance *functiontest.Process
	from, to time.Time
}

// An event is what may keep a function from learning, or from noting down, that it
// has published. It came somewhere between two times.
type event struct {
	what     string
	instance *functiontest.Process // that it befell; nil for all
	from, to time.Time
	settled  time.Time // what was being published meanwhile is on the topic
}

const (
	killed = "killed between publish and mark"
	cutOff = "acknowledgement cut off"
)

// TestSoak sends many deliveries, none of which gets lost.
func TestSoak(t *testing.T) {
	s := newSoak(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.run()
	}()
	topic, memory := make(copies), new(samples)
	for started, running := time.Now(), true; running; {
		select {
		case <-done:
			running = false
		case <-time.After(100 * time.Millisecond):
		}
		memory.add(time.Since(started), s.survivor.PID())
		topic.add(s.project.Messages(t))
	}
	s.conclude(topic, memory)
}

func newSoak(t *testing.T) *soak {
	p := newProject(t)
	s := &soak{t: t, project: p, sign: newSigner(t, p, shortStatic), sent: make(map[string][]request), publishing: new(sync.WaitGroup)}
	s.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * senders}}
	env := append(p.Env, "SIGNING_SECRET="+signingSecret, slowness+"="+strconv.Itoa(soakSlowness))
	s.mortal, s.survivor = functiontest.NewProcess(t, shortStatic, env...), functiontest.NewProcess(t, shortStatic, env...)
	s.instances = []*functiontest.Process{s.mortal, s.survivor}
	for _, instance := range s.instances {
		instance.Start()
	}
	p.Interfere(s.handle)
	return s
}

// run sends all deliveries, and returns when all are taken.
func (s *soak) run() {
	var all sync.WaitGroup
	for range senders {
		all.Go(func() {
			for s.next.Add(1) <= int64(*deliveries) {
				s.deliver()
			}
		})
	}
	all.Wait()
	s.killing.Wait()
}

// deliver sends one delivery until it is taken, now and then twice at once.
func (s *soak) deliver() {
	id, body := webhooktest.NewID(), webhooktest.NewEvent("batch.succeeded")
	var both sync.WaitGroup
	at := rand.IntN(len(s.instances))
	if rand.IntN(oneTwice) == 0 {
		both.Go(func() { s.send(1-at, id, body) })
	}
	if rand.IntN(oneCut) == 0 {
		both.Go(s.cut)
	}
	if rand.IntN(oneKilled) == 0 {
		both.Go(s.kill)
	}
	s.send(at, id, body)
	both.Wait()
}

// send repeats a delivery, at either instance in turn, until it is taken.
func (s *soak) send(at int, id string, body []byte) {
	for pause := backoff(); s.t.Context().Err() == nil; at = 1 - at {
		resp, err := s.attempt(s.instances[at], id, body)
		switch {
		case err != nil || resp.StatusCode == http.StatusServiceUnavailable:
		case resp.StatusCode == http.StatusNoContent:
			return
		default:
			s.t.Errorf("answered %d", resp.StatusCode)
		}
		time.Sleep(pause())
	}
}

// attempt makes one request, and notes it.
func (s *soak) attempt(instance *functiontest.Process, id string, body []byte) (*http.Response, error) {
	r := request{instance: instance, from: time.Now()}
	resp, err := post(s.t.Context(), s.client, instance.URL(), s.sign(id, r.from, body), body)
	r.to = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[id] = append(s.sent[id], r)
	return resp, err
}

// soon has an event come in a moment, and notes it.
func (s *soak) soon(e event, happen func()) {
	time.Sleep(rand.N(20 * time.Millisecond))
	e.from = time.Now()
	happen()
	e.to = time.Now()
	s.settle()
	e.settled = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

// handle is the wire. A publish that is on it gets to the topic, whatever becomes of
// its function.
func (s *soak) handle(_ context.Context, method string, forward func() error) error {
	if method != functiontest.Publish {
		return forward()
	}
	s.mu.Lock()
	publishing := s.publishing
	publishing.Add(1)
	s.mu.Unlock()
	defer publishing.Done()
	return forward()
}

// settle waits until what is being published is on the topic.
func (s *soak) settle() {
	time.Sleep(noticed) // what has been sent is on the wire
	next := new(sync.WaitGroup)
	s.mu.Lock()
	publishing := s.publishing
	next.Go(publishing.Wait)
	s.publishing = next
	s.mu.Unlock()
	publishing.Wait()
}

func (s *soak) cut() { s.soon(event{what: cutOff}, s.project.Cut) }

// kill ends an instance, and has another come up in its place.
func (s *soak) kill() {
	s.soon(event{what: killed, instance: s.mortal}, func() {
		s.mortal.Kill()
		s.killing.Go(s.mortal.Start)
	})
}

// conclude counts, and asks of each second copy where it came from.
func (s *soak) conclude(topic copies, memory *samples) {
	for _, instance := range s.instances {
		instance.Kill() // nothing is under way
	}
	topic.add(s.project.Messages(s.t))
	logged := s.readLogs()
	lost, second := 0, make(map[string]int)
	for id, requests := range s.sent {
		if len(topic[id]) == 0 {
			lost++
		}
		for _, cause := range causes(topic[id], logged[id], requests, s.events) {
			second[cause]++
		}
	}
	events := make(map[string]int)
	for _, e := range s.events {
		events[e.what]++
	}
	fmt.Printf("%d deliveries, an instance killed %d times, all connections cut %d times: %d lost; second copies by cause: %v\n",
		len(s.sent), events[killed], events[cutOff], lost, second)
	fmt.Println(memory)
	if lost > 0 || len(topic) != len(s.sent) {
		s.t.Errorf("%d lost, %d ids on the topic of %d", lost, len(topic), len(s.sent))
	}
	if n := second[unexplained]; n > 0 {
		s.t.Errorf("%d second copies that nothing explains", n)
	}
	s.checkRecords(logged)
	memory.check(s.t)
}

// copies are the messages on the topic, by webhook-id.
type copies map[string][]functiontest.Message

func (c copies) add(messages []functiontest.Message) {
	for _, m := range messages {
		id := m.Attributes["ce-id"]
		c[id] = append(c[id], m)
	}
}

// readLogs returns the lines of both instances by webhook-id.
func (s *soak) readLogs() map[string][]line {
	logged := make(map[string][]line)
	for _, instance := range s.instances {
		for _, fields := range instance.Log.Lines(s.t, "delivery") {
			text := func(name string) string { text, _ := fields[name].(string); return text }
			id := text("webhook_id")
			milliseconds, _ := fields["latency_ms"].(float64)
			latency := time.Duration(milliseconds * float64(time.Millisecond))
			logged[id] = append(logged[id], line{text("outcome"), text("message_id"), text("error"), latency})
		}
	}
	return logged
}

// checkRecords checks that every delivery's record is there and done, or said not to be.
func (s *soak) checkRecords(logged map[string][]line) {
	states := s.readStates()
	var open []string
	for id := range s.sent {
		unmarked := slices.ContainsFunc(logged[id], func(l line) bool { return l.outcome == "unmarked" })
		if states[id] != "done" && !unmarked {
			open = append(open, id)
		}
	}
	if len(open) > 0 {
		s.t.Errorf("%d deliveries have no record that is done: that of %s ends %q", len(open), open[0], states[open[0]])
	}
}

// readStates returns the states of all records by webhook-id. Two fields would do, but
// the embedded Firestore has no projections.
func (s *soak) readStates() map[string]string {
	client, err := firestore.NewClient(context.Background(), s.project.ID, loopback(s.project.Firestore)...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	states := make(map[string]string)
	records := client.Collection("deliveries").Documents(context.Background())
	defer records.Stop()
	for {
		record, err := records.Next()
		if errors.Is(err, iterator.Done) {
			return states
		}
		if err != nil {
			s.t.Fatal(err)
		}
		var r struct {
			ID    string `firestore:"webhook_id"`
			State string `firestore:"state"`
		}
		if err := record.DataTo(&r); err != nil {
			s.t.Fatal(err)
		}
		states[r.ID] = r.State
	}
}
