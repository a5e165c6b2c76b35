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
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	// patience is how long a sender waits for an answer, and enough until a delivery
	// must be accepted on a machine that has much else to do.
	patience = time.Minute
	enough   = 10 * time.Minute

	// arrival is how long a call of an instance that starts is held up, so that the
	// delivery is there when the fault comes.
	arrival = 300 * time.Millisecond

	// meeting bounds how long a step waits for the concurrent duplicate's answer.
	meeting = 300 * time.Millisecond
)

// A plan is one fault at one step in one situation: a cell of the matrix.
type plan struct {
	step      *step
	fault     *fault
	situation situation
	function  string
	times     times // on a machine with nothing else to do
}

// A cell is a plan carried out: in a project of its own, with one delivery, and one
// or two instances that it is sent to.
type cell struct {
	plan

	t       *testing.T
	machine *machine
	project *functiontest.Project
	store   *firestore.Client // past the wire
	id      string
	body    []byte
	sign    webhooktest.Signer
	victim  *party // whom the fault befalls
	other   *party // the concurrent duplicate's; nil if there is none

	calls      sync.RWMutex   // held by each call on the wire
	background sync.WaitGroup // what is under way beside the senders
	published  atomic.Int32   // on the topic, as far as the wire knows
	before     atomic.Int32   // the same, of deliveries before this one
	second     []string       // in the end, the causes of second copies

	mu     sync.Mutex
	leads  []lead        // what the step still needs to come about
	struck chan struct{} // closed when the fault has come
	deaths []death
	probes map[string]int // how further deliveries were answered, by webhook-id
}

// A party sends the delivery, to an instance of its own.
type party struct {
	instance *functiontest.Process
	client   *http.Client
	answered chan struct{} // closed when the first attempt that got through is over
	accepted chan struct{} // closed when it knows that the delivery is accepted
	start    sync.Once

	mu       sync.Mutex
	hangUp   context.CancelFunc
	requests []request // all attempts
	refused  int       // of those answered 503: how many were not busy, and found no new connection
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

// run goes through the cell.
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

func loopback(addr string) []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint(addr), option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(grpc.WithPerRPCCredentials(administrator{})),
	}
}

// administrator is the credential that the official emulator asks for in a BatchWrite.
type administrator struct{}

func (administrator) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer owner"}, nil
}

func (administrator) RequireTransportSecurity() bool { return false }

func (c *cell) openStore() *firestore.Client {
	client, err := firestore.NewClient(c.t.Context(), c.project.ID, loopback(c.project.Firestore)...)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { client.Close() })
	return client
}

// state is that of the delivery's record, empty if there is none.
func (c *cell) state() string {
	records, err := c.store.Collection("deliveries").Where("webhook_id", "==", c.id).Documents(context.Background()).GetAll()
	if err != nil || len(records) > 1 {
		c.t.Errorf("%d records: %v", len(records), err)
	}
	if len(records) == 0 {
		return ""
	}
	state, _ := records[0].Data()["state"].(string)
	return state
}

// abandon leaves the expired claim of an owner that was killed.
func (c *cell) abandon() {
	ledger, err := dedup.Open(c.t.Context(), c.project.ID, "(default)", "deliveries", loopback(c.project.Firestore)...)
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

// warmedUp waits until the instances have made the reads that they make by
// themselves, so that these are not taken for the delivery's. Where the fault wants an
// instance that idles, it first accepts another delivery, over all of its connections.
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

// slower lengthens a time as much as the machine's slowness does the function's.
func (c *cell) slower(d time.Duration) time.Duration { return d * time.Duration(c.machine.slowness) }

// idle lets all connections be silent for as long as keepalive asks for.
func (c *cell) idle() { c.machine.idle(idleTime) }

// probe sends another delivery to the victim's instance, once, and returns how it was
// answered: 0 if it was not.
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

// thawed sends a delivery to the victim's instance, which was frozen until now. It is
// accepted, unless the machine is too slow: then all of its time is over.
func (c *cell) thawed() {
	start := time.Now()
	status := c.probe()
	if took := time.Since(start); status != http.StatusNoContent && took < min(leastDeadline, c.times.process) {
		c.t.Errorf("the first delivery after a thaw was answered %d after %v", status, took)
	}
}

// deliver sends the delivery until everybody knows that it is accepted, and what is
// under way has come to its end.
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
	c.calls.Lock() // nothing is on its way any more
}

func (c *cell) parties() []*party {
	if c.other == nil {
		return []*party{c.victim}
	}
	return []*party{c.victim, c.other}
}

// begin has a party send.
func (c *cell) begin(p *party) {
	p.start.Do(func() { c.background.Go(func() { c.send(p) }) })
}

// send repeats the delivery until it is accepted.
func (c *cell) send(p *party) {
	defer close(p.accepted)
	for pause := backoff(); !c.attempt(p); {
		if c.fault.idles && p == c.victim && c.hasStruck() {
			c.idle() // its connection too, if it is one that the fault did not find idle
		} else {
			time.Sleep(pause())
		}
		if c.t.Context().Err() != nil {
			return
		}
	}
}

// attempt reports whether the sender learns that the delivery is accepted.
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
		return false // did not get through, or was killed
	}
	defer p.over()
	if err != nil {
		return false
	}
	return c.learn(p, resp.StatusCode)
}

func (p *party) over() {
	select {
	case <-p.answered:
	default:
		close(p.answered)
	}
}

// learn checks an answer, and reports whether it is good and reaches the sender.
func (c *cell) learn(p *party, status int) bool {
	switch status {
	case http.StatusNoContent:
		if c.published.Load() == 0 {
			c.t.Error("answered 204, and is not on its topic")
		}
	case http.StatusServiceUnavailable:
		return false
	default:
		c.t.Errorf("answered %d", status)
		return false
	}
	if p == c.victim && c.step == answer && c.strike("") {
		c.meet()
		c.fault.answer(c)
		return false
	}
	return true
}

// handle is the wire.
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

// lead takes the next thing that has to come about before the step, if this is it.
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

// strike reports whether this is the call that the fault is to befall.
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

// lasts reports whether the fault befalls this call too.
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

// apply has the server act, and looks whether the record runs ahead of the topic.
func (c *cell) apply(method string, forward func() error) error {
	err := forward()
	if err == nil && method == functiontest.Publish {
		c.published.Add(1)
	}
	if err == nil && method == functiontest.Commit && c.state() == "done" && c.published.Load() == 0 {
		c.t.Error("the record is done, and nothing is on its topic")
	}
	return err
}

// meet has the concurrent duplicate come now, if there is one, and waits a little
// for its answer.
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

// kill ends the victim's instance in the middle of whatever it does. Another comes
// up in its place.
func (c *cell) kill() {
	d := death{instance: c.victim.instance, from: time.Now()}
	c.victim.instance.Kill()
	d.to = time.Now()
	d.settled = d.to.Add(enough) // the wire is the cell's own, and so is what is on it
	c.mu.Lock()
	c.deaths = append(c.deaths, d)
	c.mu.Unlock()
	c.background.Go(c.victim.instance.Start)
}

// freeze stops the victim's instance for a while.
func (c *cell) freeze(d time.Duration) {
	c.victim.instance.Signal(syscall.SIGSTOP)
	c.meet()
	c.machine.idle(d)
	c.victim.instance.Signal(syscall.SIGCONT)
}

// terminate tells the victim's instance to end. Another comes up in its place.
func (c *cell) terminate() {
	c.victim.instance.Signal(syscall.SIGTERM)
	c.background.Go(func() {
		if err := c.victim.instance.Wait(); err != nil {
			c.t.Errorf("the instance ended with %v", err)
		}
		c.victim.instance.Start()
	})
}

// hang breaks off the attempt that is under way.
func (p *party) hang() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hangUp()
}

// conclude checks what is left when all is quiet.
func (c *cell) conclude() {
	defer c.tell()
	if !c.hasStruck() {
		c.t.Error("the fault never came")
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
			c.t.Errorf("another delivery was answered 204, and is not on its topic")
		}
	}
	total := 0
	for _, copies := range byID {
		total += len(copies)
	}
	if n := int(c.published.Load() + c.before.Load()); len(byID[c.id]) == 0 || total != n {
		c.t.Errorf("%d copies on the topic, %d messages of %d published", len(byID[c.id]), total, n)
	}
	unmarked := slices.ContainsFunc(logged[c.id], func(l line) bool { return l.outcome == "unmarked" })
	if state := c.state(); state != "done" && !unmarked {
		c.t.Errorf("the record ends %q, and no line says that a mark failed", state)
	}
	if most := c.fault.mostRefused; most > 0 && c.victim.refused > most {
		c.t.Errorf("%d attempts were refused without a new connection, of at most %d", c.victim.refused, most)
	}
}

func (c *cell) instances() (all []*functiontest.Process) {
	for _, p := range c.parties() {
		all = append(all, p.instance)
	}
	return all
}

// judge checks that every copy of a delivery is the delivery, and returns why there is
// more than one, which must have a cause.
func (c *cell) judge(copies []functiontest.Message, logged []line) []string {
	for _, m := range copies {
		if m.Attributes["ce-source"] != copies[0].Attributes["ce-source"] ||
			m.Topic != functiontest.BatchTopic || !slices.Equal(m.Data, c.body) {
			c.t.Errorf("a copy reads %v on %s", m.Attributes, m.Topic)
		}
	}
	var requests []request
	for _, p := range c.parties() {
		requests = append(requests, p.requests...)
	}
	second := causes(copies, logged, requests, c.deaths, c.times.lease)
	if slices.Contains(second, unexplained) {
		c.t.Errorf("%d copies on the topic: %v", len(copies), second)
	}
	return second
}

// tell shows what the instances logged, where something went wrong.
func (c *cell) tell() {
	if c.t.Failed() {
		for _, p := range c.parties() {
			c.t.Logf("an instance logged\n%s", p.instance.Log.Text())
		}
	}
}
