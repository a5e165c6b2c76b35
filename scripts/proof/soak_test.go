package proof

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"cloud.google.com/go/firestore"

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

	mu      sync.Mutex
	sent    []string // ids
	events  []event
	killing sync.WaitGroup
}

// An event is what may keep a function from learning, or from noting down, that it
// has published. It came somewhere between two times.
type event struct {
	what     string
	from, to time.Time
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
	s := &soak{t: t, project: p, sign: newSigner(t, p, shortStatic)}
	s.client = &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: 2 * senders}}
	env := append(p.Env, "SIGNING_SECRET="+signingSecret, slowness+"="+strconv.Itoa(soakSlowness))
	s.mortal, s.survivor = functiontest.NewProcess(t, shortStatic, env...), functiontest.NewProcess(t, shortStatic, env...)
	s.instances = []*functiontest.Process{s.mortal, s.survivor}
	for _, instance := range s.instances {
		instance.Start()
	}
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
	s.mu.Lock()
	s.sent = append(s.sent, id)
	s.mu.Unlock()
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
		resp, err := post(s.t.Context(), s.client, s.instances[at].URL(), s.sign(id, time.Now(), body), body)
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

// soon has an event come in a moment, and notes it.
func (s *soak) soon(what string, happen func()) {
	time.Sleep(rand.N(20 * time.Millisecond))
	e := event{what: what, from: time.Now()}
	happen()
	e.to = time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events = append(s.events, e)
}

func (s *soak) cut() { s.soon(cutOff, s.project.Cut) }

// kill ends an instance, and has another come up in its place.
func (s *soak) kill() {
	s.soon(killed, func() {
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
	for _, id := range s.sent {
		if len(topic[id]) == 0 {
			lost++
		}
		for _, cause := range s.causes(topic[id], logged[id]) {
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
}

// copies are the messages on the topic, by webhook-id.
type copies map[string][]functiontest.Message

func (c copies) add(messages []functiontest.Message) {
	for _, m := range messages {
		id := m.Attributes["ce-id"]
		c[id] = append(c[id], m)
	}
}

// line is what a function logged about one request.
type line struct {
	outcome, messageID, err string
	latency                 time.Duration
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

const unexplained = "unexplained"

// causes says of each copy but the one that counts why it was not the last. The
// acknowledgement of a copy without a line in the log did not get through, or its
// function did not live to write one.
func (s *soak) causes(messages []functiontest.Message, logged []line) (causes []string) {
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
			causes = append(causes, cmp.Or(s.eventAfter(m.PublishTime.AsTime()), overranDeadline(logged)))
		}
	}
	return causes
}

// eventAfter says what came, if anything did, while a request that published at a
// moment was under way.
func (s *soak) eventAfter(published time.Time) string {
	for _, e := range s.events {
		if e.to.After(published) && e.from.Before(published.Add(soakTimes.take+soakTimes.end)) {
			return e.what
		}
	}
	return ""
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

// checkRecords checks that every record is done, or said not to be.
func (s *soak) checkRecords(logged map[string][]line) {
	client, err := firestore.NewClient(context.Background(), s.project.ID, loopback(s.project.Firestore)...)
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	open, err := client.Collection("deliveries").Where("state", "==", "claimed").Documents(context.Background()).GetAll()
	if err != nil {
		s.t.Fatal(err)
	}
	for _, doc := range open {
		id, _ := doc.Data()["webhook_id"].(string)
		unmarked := false
		for _, l := range logged[id] {
			unmarked = unmarked || l.outcome == "unmarked"
		}
		if !unmarked {
			s.t.Errorf("%s: the record ends claimed", id)
		}
	}
}

// samples are a process's resident memory over time.
type samples struct {
	seconds, mebibytes []float64
}

func (s *samples) add(at time.Duration, pid int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
	fields := strings.Fields(string(text))
	if err != nil || len(fields) < 2 {
		return // no such system, or the process has ended
	}
	pages, _ := strconv.Atoi(fields[1])
	s.seconds = append(s.seconds, at.Seconds())
	s.mebibytes = append(s.mebibytes, float64(pages*os.Getpagesize())/(1<<20))
}

// slope is the least-squares slope of the samples after the first fifth, in which a
// process comes to its size: mebibytes a minute.
func (s *samples) slope() float64 {
	from := len(s.seconds) / 5
	var n, x, y, xx, xy float64
	for i := from; i < len(s.seconds); i++ {
		n++
		x += s.seconds[i]
		y += s.mebibytes[i]
		xx += s.seconds[i] * s.seconds[i]
		xy += s.seconds[i] * s.mebibytes[i]
	}
	return 60 * (n*xy - x*y) / (n*xx - x*x)
}

func (s *samples) String() string {
	n := len(s.seconds)
	if n < 10 {
		return "memory: too few samples"
	}
	return fmt.Sprintf("memory of the instance that lived: %.1f MiB after a fifth of %.0f s, %.1f MiB at the end, slope %+.2f MiB a minute",
		s.mebibytes[n/5], s.seconds[n-1], s.mebibytes[n-1], s.slope())
}
