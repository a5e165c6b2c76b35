package proof

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"cloud.google.com/go/firestore"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	// patience bounds a sender's wait for an answer.
	patience = time.Minute

	// enough bounds the time until a delivery is accepted, on a busy machine.
	enough = 10 * time.Minute

	// arrival is the delay of a call during an instance's start, so that the delivery
	// has arrived when the fault occurs.
	arrival = 300 * time.Millisecond

	// meeting bounds a step's wait for the concurrent duplicate's answer.
	meeting = 300 * time.Millisecond
)

// A plan is one fault at one step in one situation: a cell of the matrix.
type plan struct {
	step      *step
	fault     *fault
	situation situation
	function  string
	times     times // for an idle machine
}

// A cell is one execution of a plan. It has its own project, one delivery, and one or
// two instances.
type cell struct {
	plan

	t       *testing.T
	machine *machine
	project *functiontest.Project
	store   *firestore.Client // not through the proxy
	id      string
	body    []byte
	sign    webhooktest.Signer
	victim  *party // has the fault
	other   *party // sends the concurrent duplicate; nil if there is none

	calls      sync.RWMutex   // read-locked by each call through the proxy
	background sync.WaitGroup // all goroutines of the cell
	published  atomic.Int32   // successful publishes of this delivery and of probes
	before     atomic.Int32   // successful publishes before the delivery
	second     []string       // the causes of second copies, at the end

	mu     sync.Mutex
	leads  []lead        // the calls that must still precede the step
	struck chan struct{} // closed when the fault occurs
	deaths []death
	probes map[string]int // statuses of other deliveries, by webhook-id
}

// A party is a sender of the delivery with its own instance.
type party struct {
	instance *functiontest.Process
	client   *http.Client
	answered chan struct{} // closed at the end of the first attempt that reached the function
	accepted chan struct{} // closed when the sender has a 204
	start    sync.Once

	mu       sync.Mutex
	hangUp   context.CancelFunc // cancels the current attempt
	requests []request          // all attempts
	refused  int                // attempts answered 503 without Retry-After and without a new connection
}

func newCell(t *testing.T, m *machine, what plan, p *functiontest.Project) *cell {
	if what.function != realStatic {
		what.times = what.times.slower(m.slowness)
		p.Env = environment(p, what.times)
	} else {
		p.Env = append(p.Env, "SIGNING_SECRET_NAME="+signingSecret)
	}
	return &cell{
		plan: what, t: t, machine: m, project: p,
		id: webhooktest.NewID(), body: webhooktest.NewEvent("batch.succeeded"),
		sign:   newSigner(t, p, what.function),
		leads:  what.step.leads[what.situation],
		struck: make(chan struct{}),
		probes: make(map[string]int),
	}
}

// run executes the cell's plan.
func (c *cell) run() {
	c.store = c.openStore()
	if c.situation == retry || c.step.takesOver {
		c.abandon()
	}
	c.victim = c.newParty()
	if c.situation == concurrent {
		c.other = c.newParty()
	}
	if c.step.atStart {
		c.project.Interfere(c.handle)
		c.begin(c.victim)
	}
	for _, p := range c.parties() {
		p.instance.Start()
	}
	if !c.step.atStart {
		c.warmedUp()
		c.project.Interfere(c.handle)
	}
	if c.fault.idles {
		c.idle()
	}
	if c.step.idle && c.strike("") {
		c.fault.idle(c)
	}
	c.deliver()
	c.conclude()
}

func (c *cell) openStore() *firestore.Client {
	client, err := firestore.NewClient(c.t.Context(), c.project.ID, gcptest.ClientOptions(c.project.Firestore)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { client.Close() })
	return client
}

// state returns the state of the delivery's record, or "" if there is no record.
func (c *cell) state() string {
	records, err := c.store.Collection("deliveries").Where("webhook_id", "==", c.id).Documents(context.Background()).GetAll()
	if err != nil || len(records) > 1 {
		c.t.Errorf("%d records, want at most one: %v", len(records), err)
	}
	if len(records) == 0 {
		return ""
	}
	state, _ := records[0].Data()["state"].(string)
	return state
}

// abandon makes an expired claim, as a killed owner would leave it.
func (c *cell) abandon() {
	ledger, err := dedup.Open(c.t.Context(), c.project.ID, "(default)", "deliveries", gcptest.ClientOptions(c.project.Firestore)...)
	if err != nil {
		c.t.Fatal(err)
	}
	defer ledger.Close()
	endpoint := webhook.StaticEndpoint
	if c.function == shortDynamic {
		endpoint = webhook.DynamicEndpoint
	}
	killed := errors.New("killed")
	_, err = ledger.Once(c.t.Context(), &webhook.Delivery{Endpoint: endpoint, ID: c.id, Body: c.body, Event: webhook.ParseEvent(c.body)},
		func(context.Context) (webhook.Receipt, error) { return webhook.Receipt{}, killed })
	if err != killed {
		c.t.Fatal(err)
	}
	time.Sleep(c.times.lease)
}

func (c *cell) newParty() *party {
	return &party{
		instance: functiontest.NewProcess(c.t, c.function, c.project.Env...),
		client:   &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		answered: make(chan struct{}),
		accepted: make(chan struct{}),
	}
}

// warmedUp waits until the instances have made their warm-up reads, so that these are
// not mistaken for the delivery's. If the fault needs an idle instance, warmedUp also
// sends another delivery, which opens all connections.
func (c *cell) warmedUp() {
	var reads int
	functiontest.Eventually(c.t, "warmed up", func() bool {
		for _, call := range c.project.Calls() {
			if call == functiontest.Read {
				reads++
			}
		}
		return reads >= len(c.parties())
	})
	if c.fault.idles || c.step.idle {
		c.project.Interfere(func(_ context.Context, method string, forward func() error) error {
			err := forward()
			if err == nil && method == functiontest.Publish {
				c.before.Add(1)
			}
			return err
		})
		functiontest.Eventually(c.t, "a delivery accepted before", func() bool { return c.probe() == http.StatusNoContent })
	}
}

// slower multiplies a time by the machine's slowness, like the function's times.
func (c *cell) slower(d time.Duration) time.Duration { return d * time.Duration(c.machine.slowness) }

// idle leaves all connections idle until keepalive is due.
func (c *cell) idle() { c.machine.idle(idleTime) }

// probe sends another delivery to the victim's instance, once. It returns the status,
// or 0 if there was no answer.
func (c *cell) probe() (status int) {
	id := webhooktest.NewID()
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.probes[id] = status
	}()
	resp, err := post(c.t.Context(), c.victim.client, c.victim.instance.URL(), c.sign, id, c.body)
	if err != nil {
		return 0
	}
	return resp.StatusCode
}

// thawed sends a delivery to the victim's instance after a freeze. The delivery must be
// accepted, unless the machine is so slow that the request's deadline has passed.
func (c *cell) thawed() {
	start := time.Now()
	status := c.probe()
	if took := time.Since(start); status != http.StatusNoContent && took < min(leastDeadline, c.times.process) {
		c.t.Errorf("the first delivery after a freeze was answered %d after %v, want 204", status, took)
	}
}

// deliver sends the delivery until all parties have a 204, and then ends the instances
// and waits for all calls.
func (c *cell) deliver() {
	if c.step.dupFirst && c.other != nil {
		c.begin(c.other)
	} else {
		c.begin(c.victim)
	}
	for _, p := range c.parties() {
		select {
		case <-p.accepted:
		case <-time.After(enough):
			c.t.Fatalf("not accepted in %v", enough)
		}
	}
	c.background.Wait()
	for _, p := range c.parties() {
		p.instance.Signal(syscall.SIGTERM)
		_ = p.instance.Wait()
	}
	c.project.Interfere(nil)
	c.calls.Lock() // waits for all calls through the proxy
}

func (c *cell) parties() []*party {
	if c.other == nil {
		return []*party{c.victim}
	}
	return []*party{c.victim, c.other}
}

// begin makes a party start sending.
func (c *cell) begin(p *party) {
	p.start.Do(func() { c.background.Go(func() { c.send(p) }) })
}

// send retries the delivery until it is accepted.
func (c *cell) send(p *party) {
	defer close(p.accepted)
	for pause := backoff(); !c.attempt(p); {
		if c.fault.idles && p == c.victim && c.hasStruck() {
			c.idle() // a connection that was not idle when the fault occurred must be idle now
		} else {
			time.Sleep(pause())
		}
		if c.t.Context().Err() != nil {
			return
		}
	}
}

// attempt makes one attempt, and reports whether the sender got a 204.
func (c *cell) attempt(p *party) bool {
	ctx, cancel := context.WithTimeout(c.t.Context(), patience)
	defer cancel()
	p.mu.Lock()
	p.hangUp = cancel
	p.mu.Unlock()
	r, connections := request{instance: p.instance, from: time.Now()}, c.project.Connections()
	resp, err := post(ctx, p.client, p.instance.URL(), c.sign, c.id, c.body)
	r.to = time.Now()
	p.mu.Lock()
	p.requests = append(p.requests, r)
	if err == nil && resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") == "" && c.project.Connections() == connections {
		p.refused++
	}
	p.mu.Unlock()
	if err != nil && ctx.Err() == nil {
		return false // no connection, or the instance was killed
	}
	defer p.over()
	if err != nil {
		return false
	}
	return c.learn(p, resp.StatusCode)
}

// over notes the end of an attempt that reached the function.
func (p *party) over() {
	select {
	case <-p.answered:
	default:
		close(p.answered)
	}
}

// learn checks an answer, and reports whether it is a 204 that reaches the sender.
func (c *cell) learn(p *party, status int) bool {
	switch status {
	case http.StatusNoContent:
		if c.published.Load() == 0 {
			c.t.Error("answered 204, but not published")
		}
	case http.StatusServiceUnavailable:
		return false
	default:
		c.t.Errorf("answered %d, want 204 or 503", status)
		return false
	}
	if p == c.victim && c.step == answer && c.strike("") {
		c.meet()
		c.fault.answer(c)
		return false
	}
	return true
}

// handle is called by the proxy for each call. It makes the fault occur at its step.
func (c *cell) handle(ctx context.Context, method string, forward func() error) error {
	c.calls.RLock()
	defer c.calls.RUnlock()
	apply := func() error { return c.apply(method, forward) }
	if act := c.lead(method); act != nil {
		return act(c, apply)
	}
	if method == c.step.method && (c.strike(method) || c.lasts(method)) {
		c.background.Add(1)
		defer c.background.Done()
		if c.step.atStart {
			time.Sleep(c.slower(arrival))
		}
		return c.fault.call(c, ctx, apply)
	}
	return apply()
}

// lead returns the action of the next lead and removes the lead, if this call is the
// lead. Otherwise it returns nil.
func (c *cell) lead(method string) func(*cell, func() error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.leads) == 0 || c.leads[0].method != method {
		return nil
	}
	act := c.leads[0].act
	c.leads = c.leads[1:]
	return act
}

// strike reports whether the fault must occur at this call. It does so only once.
func (c *cell) strike(method string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.leads) > 0 || method != c.step.method || c.hasStruck() {
		return false
	}
	close(c.struck)
	return true
}

func (c *cell) hasStruck() bool {
	select {
	case <-c.struck:
		return true
	default:
		return false
	}
}

// lasts reports whether a lasting fault affects this call, too.
func (c *cell) lasts(method string) bool {
	if !c.fault.lasts || method != c.step.method || !c.hasStruck() {
		return false
	}
	select {
	case <-c.victim.answered:
		return false
	default:
		return true
	}
}

// apply forwards a call to the server. It fails the test if a record is done before the
// delivery is published.
func (c *cell) apply(method string, forward func() error) error {
	err := forward()
	if err == nil && method == functiontest.Publish {
		c.published.Add(1)
	}
	if err == nil && method == functiontest.Commit && c.state() == "done" && c.published.Load() == 0 {
		c.t.Error("the record is done, but the delivery is not published")
	}
	return err
}

// meet sends the concurrent duplicate, if there is one, and waits up to meeting for its
// answer.
func (c *cell) meet() {
	if c.other == nil {
		return
	}
	c.begin(c.other)
	select {
	case <-c.other.answered:
	case <-time.After(c.slower(meeting)):
	}
}

// kill kills the victim's instance and starts a new one.
func (c *cell) kill() {
	d := death{instance: c.victim.instance, from: time.Now()}
	c.victim.instance.Kill()
	d.to = time.Now()
	d.settled = d.to.Add(enough) // all messages in the cell's project are the cell's own
	c.mu.Lock()
	c.deaths = append(c.deaths, d)
	c.mu.Unlock()
	c.background.Go(c.victim.instance.Start)
}

// freeze suspends the victim's instance for a time.
func (c *cell) freeze(d time.Duration) {
	c.victim.instance.Signal(syscall.SIGSTOP)
	c.meet()
	c.machine.idle(d)
	c.victim.instance.Signal(syscall.SIGCONT)
}

// terminate sends SIGTERM to the victim's instance, and starts a new one when it has
// ended.
func (c *cell) terminate() {
	c.victim.instance.Signal(syscall.SIGTERM)
	c.background.Go(func() {
		if err := c.victim.instance.Wait(); err != nil {
			c.t.Errorf("after SIGTERM, the instance ended with %v", err)
		}
		c.victim.instance.Start()
	})
}

// hang cancels the current attempt, so the sender disconnects.
func (p *party) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangUp()
}

// conclude checks the topic, the record and the log after the end of all calls.
func (c *cell) conclude() {
	defer c.tell()
	if !c.hasStruck() {
		c.t.Error("the fault did not occur")
	}
	byID := make(map[string][]functiontest.Message)
	for _, m := range c.project.Messages(c.t) {
		id := m.Attributes["ce-id"]
		byID[id] = append(byID[id], m)
	}
	logged := readLines(c.t, c.instances()...)
	c.second = c.judge(byID[c.id], logged[c.id])
	for id, status := range c.probes {
		if c.judge(byID[id], logged[id]); status == http.StatusNoContent && len(byID[id]) == 0 {
			c.t.Errorf("another delivery was answered 204, but not published")
		}
	}
	total := 0
	for _, copies := range byID {
		total += len(copies)
	}
	if n := int(c.published.Load() + c.before.Load()); len(byID[c.id]) == 0 || total != n {
		c.t.Errorf("%d copies on the topic, and %d messages in total; want at least 1, and %d", len(byID[c.id]), total, n)
	}
	unmarked := slices.ContainsFunc(logged[c.id], func(l line) bool { return l.outcome == "unmarked" })
	if state := c.state(); state != "done" && !unmarked {
		c.t.Errorf("the record's last state is %q, want done, or a log line about a failed mark", state)
	}
	if most := c.fault.mostRefused; most > 0 && c.victim.refused > most {
		c.t.Errorf("%d attempts were answered 503 without a new connection, want at most %d", c.victim.refused, most)
	}
}

func (c *cell) instances() (all []*functiontest.Process) {
	for _, p := range c.parties() {
		all = append(all, p.instance)
	}
	return all
}

// judge checks that all copies of a delivery are equal to it, and returns the causes of
// second copies. An unexplained copy fails the test.
func (c *cell) judge(copies []functiontest.Message, logged []line) []string {
	for _, m := range copies {
		if m.Attributes["ce-source"] != copies[0].Attributes["ce-source"] ||
			m.Topic != functiontest.BatchTopic || !slices.Equal(m.Data, c.body) {
			c.t.Errorf("a copy differs from the delivery: attributes %v, topic %s", m.Attributes, m.Topic)
		}
	}
	var requests []request
	for _, p := range c.parties() {
		requests = append(requests, p.requests...)
	}
	second := causes(copies, logged, requests, c.deaths, c.times.lease)
	if slices.Contains(second, unexplained) {
		c.t.Errorf("%d copies on the topic, at least one unexplained: %v", len(copies), second)
	}
	return second
}

// tell prints the instances' logs if the test has failed.
func (c *cell) tell() {
	if c.t.Failed() {
		for _, p := range c.parties() {
			c.t.Logf("an instance logged\n%s", p.instance.Log.Text())
		}
	}
}
