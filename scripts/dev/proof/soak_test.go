package proof

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"google.golang.org/api/iterator"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

var deliveries = flag.Int("deliveries", 3000, "number of deliveries in the soak")

const (
	senders    = 64 // concurrent senders
	soakSlower = 2  // factor on the times of the matrix: all senders share two instances

	// One delivery in this many is sent twice at once; during one in this many, all
	// connections are cut, or an instance is killed.
	oneTwice  = 10
	oneCut    = 150
	oneKilled = 1000
)

// A soak sends many deliveries to two instances. Instances are killed and connections
// cut repeatedly.
type soak struct {
	t         *testing.T
	project   *functiontest.Project
	sign      webhooktest.Signer
	client    *http.Client
	times     times
	mortal    *functiontest.Process
	survivor  *functiontest.Process
	instances []*functiontest.Process

	next atomic.Int64 // number of the next delivery

	mu         sync.Mutex
	sent       map[string][]request // by webhook-id
	deaths     []death
	publishing *sync.WaitGroup // publishes that are under way
	killing    sync.WaitGroup
	cuts       atomic.Int64
}

// TestSoak sends many deliveries and checks that none is lost.
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
	s.client = newClient()
	s.times = shortTimes.slower(soakSlower * calibrate(t).slowness)
	env := environment(p, s.times)
	s.mortal, s.survivor = functiontest.NewProcess(t, shortStatic, env...), functiontest.NewProcess(t, shortStatic, env...)
	s.instances = []*functiontest.Process{s.mortal, s.survivor}
	for _, instance := range s.instances {
		instance.Start()
	}
	p.Interfere(s.handle)
	return s
}

// run sends all deliveries, and returns when all are accepted.
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

// deliver sends one delivery until it is accepted, sometimes twice at once.
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

// send retries a delivery until it is accepted, alternating between the instances.
func (s *soak) send(at int, id string, body []byte) {
	end := time.Now().Add(enough)
	for pause := backoff(); s.t.Context().Err() == nil; at = 1 - at {
		if time.Now().After(end) {
			s.t.Errorf("%s is not accepted in %v", id, enough)
			return
		}
		resp, err := s.attempt(s.instances[at], id, body)
		switch {
		case err != nil || resp.StatusCode == http.StatusServiceUnavailable:
		case resp.StatusCode == http.StatusNoContent:
			return
		default:
			s.t.Errorf("answered %d, want 204 or 503", resp.StatusCode)
		}
		time.Sleep(pause())
	}
}

// attempt makes one request and records it.
func (s *soak) attempt(instance *functiontest.Process, id string, body []byte) (*http.Response, error) {
	r := request{instance: instance, from: time.Now()}
	resp, err := post(s.t.Context(), s.client, instance.URL(), s.sign, id, body)
	r.to = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sent[id] = append(s.sent[id], r)
	return resp, err
}

// soon sleeps until a random time during a delivery.
func soon() { time.Sleep(rand.N(20 * time.Millisecond)) }

// handle is called by the proxy for each call. A publish that it has forwarded reaches
// the topic, even if its function is killed.
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

// settle waits until all publishes under way have reached the topic.
func (s *soak) settle() {
	time.Sleep(noticed) // until the proxy has received calls sent before
	next := new(sync.WaitGroup)
	s.mu.Lock()
	publishing := s.publishing
	next.Go(publishing.Wait)
	s.publishing = next
	s.mu.Unlock()
	publishing.Wait()
}

// cut closes all connections.
func (s *soak) cut() {
	soon()
	s.project.Cut()
	s.cuts.Add(1)
}

// kill kills an instance, starts a new one, and records the death.
func (s *soak) kill() {
	soon()
	d := death{instance: s.mortal, from: time.Now()}
	s.mortal.Kill()
	s.killing.Go(s.mortal.Start)
	d.to = time.Now()
	s.settle()
	d.settled = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaths = append(s.deaths, d)
}

// conclude checks that each delivery is published and that each second copy has a
// cause.
func (s *soak) conclude(topic copies, memory *samples) {
	for _, instance := range s.instances {
		instance.Kill() // no request is under way
	}
	topic.add(s.project.Messages(s.t))
	logged := readLines(s.t, s.instances...)
	lost, second := 0, make(map[string]int)
	for id, requests := range s.sent {
		if len(topic[id]) == 0 {
			lost++
		}
		for _, cause := range causes(topic[id], logged[id], requests, s.deaths, s.times.lease) {
			second[cause]++
		}
	}
	fmt.Printf("%d deliveries, an instance killed %d times, all connections cut %d times: %d lost; second copies by cause: %v\n",
		len(s.sent), len(s.deaths), s.cuts.Load(), lost, second)
	fmt.Println(memory)
	if lost > 0 || len(topic) != len(s.sent) {
		s.t.Errorf("%d deliveries lost: the topic has %d ids of %d", lost, len(topic), len(s.sent))
	}
	if n := second[unexplained]; n > 0 {
		s.t.Errorf("%d unexplained second copies", n)
	}
	s.checkRecords(logged)
	memory.check(s.t)
}

// copies returns the messages on the topic, by webhook-id.
type copies map[string][]functiontest.Message

func (c copies) add(messages []functiontest.Message) {
	for _, m := range messages {
		id := m.Attributes["ce-id"]
		c[id] = append(c[id], m)
	}
}

// checkRecords checks that each delivery has a record that is done, unless a failed
// mark was logged.
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
		s.t.Errorf("%d deliveries have no record that is done: the last state of %s is %q", len(open), open[0], states[open[0]])
	}
}

// readStates returns the states of all records by webhook-id.
func (s *soak) readStates() map[string]string {
	client, err := firestore.NewClient(context.Background(), s.project.ID, gcptest.ClientOptions(s.project.Firestore)...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	states := make(map[string]string)
	records := client.Collection("deliveries").Documents(context.Background())
	defer records.Stop()
	for {
		doc, err := records.Next()
		if errors.Is(err, iterator.Done) {
			return states
		}
		if err != nil {
			s.t.Fatal(err)
		}
		var record dedup.Record
		if err := doc.DataTo(&record); err != nil {
			s.t.Fatal(err)
		}
		states[record.WebhookID] = record.State
	}
}
