package dedup

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// The model is an exhaustive search, within the bounds below, through everything that
// can happen to one delivery while its record is kept. The code that decides is the real one, [Ledger.once] and all below it;
// what it stands on is not: a document, a topic, a clock that moves by whole leases,
// and a wire on which anything gets lost, held up, or doubled. Two instances work
// side by side, each stopping anywhere for any time, or for good, and the sender
// sends again whenever it likes.
//
// Calls that deliveries share add no fate to the model, which has one delivery. For each
// of those in it, a shared call goes through, gets lost, is held up, or goes through
// twice if its write is made again alone. That each gets its own outcome is the subject
// of TestSharedFault and the tests beside it.
//
// An attempt's future depends on nothing but what it has learnt so far. So its state
// is the list of that, and to find out what it does next the code is run again from
// its beginning, with the list for answers, up to the first question that is new.

// The bounds of the search: go test ./shared/dedup -run Model -v -faults 3
var (
	maxAttempts = flag.Int("attempts", 3, "of the sender, in the model")
	maxFaults   = flag.Int("faults", 2, "in the model")
	maxLeases   = flag.Int("leases", 2, "that go by, in the model")
)

// instances is how many attempts are under way at a time.
const instances = 2

// A question is what an attempt asks of the world next: a step on the document, or
// to publish.
type question struct {
	kind    string // create, read, replace, set, remove or publish
	record  Record
	seen    time.Time
	blindly bool // a mutant's: without looking at what is there
}

// A reply is what it learns.
type reply struct {
	updated time.Time
	seen    *snapshot
	err     error
}

var (
	errLost      = errors.New("no answer")
	errUndecided = errors.New("not finished")
)

// An attempt is one of the sender's, as far as it has come.
type attempt struct {
	owner   string
	learnt  []reply
	ended   bool
	claimed int  // the lease in which its claim was written; -1 before
	counts  bool // its mark went through within that lease
	failed  bool // its mark got lost, or it was killed before
	inTime  bool // it ended within that lease
}

// replayed answers the code under test from what its attempt has learnt.
type replayed struct {
	learnt []reply
	asked  question
}

// ask returns the next answer, or stops the code where there is none yet.
func (r *replayed) ask(q question) reply {
	if len(r.learnt) == 0 {
		r.asked = q
		panic(errUndecided)
	}
	answer := r.learnt[0]
	r.learnt = r.learnt[1:]
	return answer
}

func (r *replayed) create(_ context.Context, rec *Record) (time.Time, error) {
	a := r.ask(question{kind: "create", record: *rec})
	return a.updated, a.err
}

func (r *replayed) read(context.Context) (*snapshot, error) {
	a := r.ask(question{kind: "read"})
	return a.seen, a.err
}

func (r *replayed) replace(_ context.Context, rec *Record, seen time.Time) (time.Time, error) {
	a := r.ask(question{kind: "replace", record: *rec, seen: seen})
	return a.updated, a.err
}

func (r *replayed) set(_ context.Context, rec *Record) error {
	return r.ask(question{kind: "set", record: *rec}).err
}

func (r *replayed) remove(_ context.Context, seen time.Time) error {
	return r.ask(question{kind: "remove", seen: seen}).err
}

func (r *replayed) publish(context.Context) (webhook.Receipt, error) {
	return receipt, r.ask(question{kind: "publish"}).err
}

// next returns what the attempt asks next, or what it ended with.
func (m *model) next(a *attempt) (q question, err error) {
	r := &replayed{learnt: a.learnt}
	defer func() {
		if p := recover(); p != nil {
			if p != errUndecided {
				panic(p)
			}
			q, err = r.asked, errUndecided
		}
	}()
	// With no time left, a mark is tried once.
	l := &Ledger{Lease: DefaultLease, EndTimeout: 1, Retention: DefaultRetention}
	c := &claim{document: r, record: Record{Owner: a.owner, State: StateClaimed, ExpireAt: epoch.Add(DefaultRetention)}}
	_, err = l.once(context.Background(), c, m.mutant.bend(r.publish))
	return question{}, err
}

// accepted reports whether the sender is answered 2xx, as package receiver does it.
func accepted(err error) bool {
	return err == nil || errors.Is(err, webhook.ErrDuplicate) || errors.Is(err, webhook.ErrUnmarked)
}

// A message is one on the topic.
type message struct {
	by     int  // the attempt
	hidden bool // its publisher did not learn of it
}

// A held request is one that is still on its way when its sender has given up.
type held struct {
	by int
	question
}

// A world is one state of everything.
type world struct {
	present bool
	record  Record
	written int // in which lease
	version int // of the record, counted over all writes

	lease    int // that runs
	faults   int
	attempts []attempt
	messages []message
	wire     []held
}

func (w *world) clone() *world {
	next := *w
	next.attempts = append([]attempt(nil), w.attempts...)
	next.messages = append([]message(nil), w.messages...)
	next.wire = append([]held(nil), w.wire...)
	return &next
}

var epoch = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// at is the server's time of a write, and of a reading after it: no two writes share
// one, and within a lease all are close together.
func at(lease, version int) time.Time {
	return epoch.Add(time.Duration(lease)*DefaultLease + time.Duration(version))
}

// apply has the server act on a request, and returns its reply. late is set where
// its sender has given up.
func (m *model) apply(w *world, by int, q question, late bool) reply {
	guarded := w.present && (q.blindly || at(w.written, w.version).Equal(q.seen))
	switch q.kind {
	case "create":
		if w.present && !q.blindly {
			return reply{err: errExists}
		}
		return m.write(w, by, q.record)
	case "read":
		if !w.present {
			return reply{err: errChanged}
		}
		return reply{seen: &snapshot{Record: w.record, updated: at(w.written, w.version), read: at(w.lease, w.version+1)}}
	case "replace":
		if !guarded {
			return reply{err: errChanged}
		}
		return m.write(w, by, q.record)
	case "set":
		return m.write(w, by, q.record)
	case "remove":
		if !guarded {
			return reply{err: errChanged}
		}
		w.present, w.record = false, Record{}
	case "publish":
		m.publish(w, message{by: by, hidden: late}, late)
	}
	return reply{}
}

func (m *model) write(w *world, by int, r Record) reply {
	w.version++
	w.present, w.record, w.written = true, r, w.lease
	a := &w.attempts[by]
	switch {
	case r.State != StateDone:
		a.claimed = w.lease
	case a.claimed == w.lease:
		a.counts = true
	}
	if r.State == StateDone && len(w.messages) == 0 {
		m.violated("the record is done, and nothing is on the topic")
	}
	return reply{updated: at(w.lease, w.version)}
}

// publish adds a message, and asks of each that was there before why there are two.
func (m *model) publish(w *world, fresh message, late bool) {
	for _, old := range w.messages {
		x, y := &w.attempts[old.by], &w.attempts[fresh.by]
		switch {
		case old.hidden || late:
			m.excused["a publish's outcome could not be known"]++
		case x.failed:
			m.excused["a mark failed"]++
		case !x.counts && !x.inTime && w.lease > x.claimed, y.claimed >= 0 && w.lease > y.claimed:
			m.excused["an owner stalled past its lease"]++
		default:
			m.violated("published twice, and nothing in the contract allows it")
		}
	}
	w.messages = append(w.messages, fresh)
}

// A model is one search.
type model struct {
	mutant mutant

	seen    map[string]bool
	path    []string
	excused map[string]int
	found   string // the first violation, and how it came about
}

func (m *model) violated(what string) {
	if m.found == "" {
		m.found = what + ":\n\t" + strings.Join(m.path, "\n\t")
	}
}

// search goes through every state that can be reached from w.
func (m *model) search(w *world) {
	key := w.key()
	if m.seen[key] || m.found != "" {
		return
	}
	m.seen[key] = true
	m.send(w)
	m.pass(w)
	m.arrive(w)
	for i := range w.attempts {
		if !w.attempts[i].ended {
			m.step(w, i)
		}
	}
}

// try searches on from a state one step further.
func (m *model) try(what string, w *world) {
	m.path = append(m.path, what)
	m.search(w)
	m.path = m.path[:len(m.path)-1]
}

func (w *world) underWay() (n int) {
	for _, a := range w.attempts {
		if !a.ended {
			n++
		}
	}
	return n
}

// send: the sender makes another attempt, whatever became of the others. When all
// is quiet, one without a fault must come through.
func (m *model) send(w *world) {
	if w.underWay() == 0 {
		m.mustComeThrough(w.clone())
	}
	if len(w.attempts) < *maxAttempts && w.underWay() < instances {
		next := w.clone()
		next.begin()
		m.try("the sender sends", next)
	}
}

func (w *world) begin() int {
	w.attempts = append(w.attempts, attempt{owner: string(rune('A' + len(w.attempts))), claimed: -1})
	return len(w.attempts) - 1
}

func (m *model) mustComeThrough(w *world) {
	w.lease++
	by := w.begin()
	err := errUndecided
	for err == errUndecided {
		q, _ := m.next(&w.attempts[by])
		err = m.learn(w, by, q, m.ask(w, by, q))
	}
	if !accepted(err) || len(w.messages) == 0 {
		m.violated(fmt.Sprintf("a last attempt without a fault ends with %v, %d messages", err, len(w.messages)))
	}
}

// pass: a lease's time goes by.
func (m *model) pass(w *world) {
	if w.lease < *maxLeases && w.present {
		next := w.clone()
		next.lease++
		m.try("a lease goes by", next)
	}
}

// arrive: something that was held up on the wire gets there after all.
func (m *model) arrive(w *world) {
	for i, h := range w.wire {
		next := w.clone()
		next.wire = append(next.wire[:i:i], next.wire[i+1:]...)
		m.path = append(m.path, fmt.Sprintf("%s's %s arrives after all", next.attempts[h.by].owner, h.kind))
		m.apply(next, h.by, h.question, true)
		m.search(next)
		m.path = m.path[:len(m.path)-1]
	}
}

// ask is apply, as the mutant has it.
func (m *model) ask(w *world, by int, q question) reply {
	if m.mutant.ask != nil {
		m.mutant.ask(&q)
	}
	if q.kind == "" {
		return reply{}
	}
	return m.apply(w, by, q, false)
}

// step: an attempt's next request, with all that can become of it.
func (m *model) step(w *world, by int) {
	q, _ := m.next(&w.attempts[by]) // it has not ended
	for _, fate := range fates {
		if fate.faults+w.faults > *maxFaults || fate.only != "" && fate.only != q.kind || fate.not == q.kind {
			continue
		}
		next := w.clone()
		next.faults += fate.faults
		m.path = append(m.path, fmt.Sprintf("%s: %s %s", w.attempts[by].owner, q.kind, fate.name))
		fate.happens(m, next, by, q)
		m.search(next)
		m.path = m.path[:len(m.path)-1]
	}
}

// A fate is what can become of a request.
type fate struct {
	name      string
	faults    int
	only, not string // kind
	happens   func(m *model, w *world, by int, q question)
}

var fates = []fate{
	{name: "goes through", happens: func(m *model, w *world, by int, q question) {
		m.learn(w, by, q, m.ask(w, by, q))
	}},
	{name: "gets lost", faults: 1, happens: func(m *model, w *world, by int, q question) {
		m.learn(w, by, q, reply{err: errLost})
	}},
	{name: "is refused outright", faults: 1, only: "publish", happens: func(m *model, w *world, by int, q question) {
		m.learn(w, by, q, reply{err: webhook.ErrNotPublished})
	}},
	{name: "is aborted", faults: 1, only: "create", happens: func(m *model, w *world, by int, q question) {
		m.learn(w, by, q, reply{err: errChanged})
	}},
	{name: "goes through, its reply gets lost", faults: 1, not: "read", happens: func(m *model, w *world, by int, q question) {
		m.ask(w, by, q)
		w.hide(by, q)
		m.learn(w, by, q, reply{err: errLost})
	}},
	{name: "goes through twice, its first reply lost", faults: 1, not: "read", happens: func(m *model, w *world, by int, q question) {
		m.ask(w, by, q)
		w.hide(by, q)
		m.learn(w, by, q, m.ask(w, by, q))
	}},
	{name: "is held up for longer than anybody waits", faults: 1, not: "read", happens: func(m *model, w *world, by int, q question) {
		w.wire = append(w.wire, held{by, q})
		m.learn(w, by, q, reply{err: errLost})
	}},
	{name: "never leaves, the instance is killed", faults: 1, happens: func(m *model, w *world, by int, q question) {
		w.kill(by)
	}},
	{name: "goes through, the instance is killed", faults: 1, not: "read", happens: func(m *model, w *world, by int, q question) {
		m.ask(w, by, q)
		w.hide(by, q)
		w.kill(by)
	}},
}

// hide notes that the publisher does not learn of its message.
func (w *world) hide(by int, q question) {
	if n := len(w.messages); q.kind == "publish" && w.messages[n-1].by == by {
		w.messages[n-1].hidden = true
	}
}

func (w *world) kill(by int) {
	a := &w.attempts[by]
	a.ended, a.failed, a.learnt = true, !a.counts, nil
}

// learn tells an attempt what became of its request, and returns what it ends with.
func (m *model) learn(w *world, by int, q question, r reply) error {
	if m.mutant.tell != nil {
		m.mutant.tell(&w.attempts[by], q, &r)
	}
	a := &w.attempts[by]
	a.failed = a.failed || q.kind == "set" && r.err != nil && !a.counts
	a.learnt = append(a.learnt[:len(a.learnt):len(a.learnt)], r)
	_, err := m.next(a)
	if err == errUndecided {
		return err
	}
	if accepted(err) && len(w.messages) == 0 {
		m.violated("answered 2xx, and nothing is on the topic")
	}
	a.ended, a.inTime, a.learnt = true, w.lease == a.claimed, nil
	return err
}

// key is the same for states that have the same future. Versions count only by
// which of them are the same, and times only by whether a lease lies between.
func (w *world) key() string {
	k := key{names: make(map[time.Time]int)}
	k.add(w.lease, w.faults, len(w.attempts), len(w.messages), len(w.wire))
	k.record(&w.record, at(w.written, w.version), w.lease > w.written)
	for i := range w.attempts {
		a := &w.attempts[i]
		k.add(a.claimed, flags(a.ended, a.counts, a.failed, a.inTime), len(a.learnt))
		for _, r := range a.learnt {
			k.text(fmt.Sprint(r.err))
			k.time(r.updated)
			if r.seen != nil {
				k.record(&r.seen.Record, r.seen.updated, r.seen.age() >= DefaultLease)
			}
		}
	}
	for _, message := range w.messages {
		k.add(message.by, flags(message.hidden))
	}
	for _, h := range w.wire {
		k.add(h.by)
		k.text(h.kind)
		k.record(&h.record, h.seen, false)
	}
	return string(k.bytes)
}

type key struct {
	bytes []byte
	names map[time.Time]int // of versions
}

func (k *key) add(numbers ...int) {
	for _, n := range numbers {
		k.bytes = append(k.bytes, byte(n))
	}
}

func (k *key) text(s string) { k.bytes = append(append(k.bytes, s...), 0) }

func (k *key) time(t time.Time) {
	if _, ok := k.names[t]; !ok {
		k.names[t] = len(k.names)
	}
	k.add(k.names[t])
}

func (k *key) record(r *Record, updated time.Time, expired bool) {
	k.text(r.Owner)
	k.text(r.State)
	k.add(r.Attempts, flags(expired))
	k.time(updated)
}

func flags(bits ...bool) (n int) {
	for _, bit := range bits {
		n *= 2
		if bit {
			n++
		}
	}
	return n
}

func explore(bent mutant) *model {
	m := &model{mutant: bent, seen: make(map[string]bool), excused: make(map[string]int)}
	m.search(new(world))
	return m
}

// No interleaving breaks the contract.
func TestModel(t *testing.T) {
	m := explore(mutant{})
	if m.found != "" {
		t.Error(m.found)
	}
	t.Logf("%d states; second copies by cause: %v", len(m.seen), m.excused)
	for _, cause := range []string{"a publish's outcome could not be known", "a mark failed", "an owner stalled past its lease"} {
		if m.excused[cause] == 0 {
			t.Errorf("no second copy because %s: the search did not get there", cause)
		}
	}
}

// A mutant is a fault planted in what the code asks or is told, or in what it does to
// publish.
type mutant struct {
	name string
	ask  func(*question)
	tell func(*attempt, question, *reply)
	do   func(publish do) do
}

type do = func(context.Context) (webhook.Receipt, error)

func (m mutant) bend(publish do) do {
	if m.do == nil {
		return publish
	}
	return m.do(publish)
}

func of(kind string, bend func(*question)) func(*question) {
	return func(q *question) {
		if q.kind == kind {
			bend(q)
		}
	}
}

func seeing(bend func(*attempt, *snapshot)) func(*attempt, question, *reply) {
	return func(a *attempt, _ question, r *reply) {
		if r.seen != nil {
			bend(a, r.seen)
		}
	}
}

var mutants = []mutant{
	{name: "what exists is taken for done", tell: seeing(func(_ *attempt, s *snapshot) { s.State = StateDone })},
	{name: "whoever owns it, it is ours", tell: seeing(func(a *attempt, s *snapshot) { s.Owner = a.owner })},
	{name: "a lease is never alive", tell: seeing(func(_ *attempt, s *snapshot) { s.read = s.read.Add(DefaultLease) })},
	{name: "done is not looked at", tell: seeing(func(_ *attempt, s *snapshot) { s.State = StateClaimed })},
	{name: "create overwrites", ask: of("create", func(q *question) { q.blindly = true })},
	{name: "take over without a guard", ask: of("replace", func(q *question) { q.blindly = true })},
	{name: "release without a guard", ask: of("remove", func(q *question) { q.blindly = true })},
	{name: "claimed as done", ask: of("create", func(q *question) { q.record.State = StateDone })},
	{name: "marked as claimed", ask: of("set", func(q *question) { q.record.State = StateClaimed })},
	{name: "a mark is never sent", ask: of("set", func(q *question) { q.kind = "" })},
	{name: "published twice", do: func(publish do) do {
		return func(ctx context.Context) (webhook.Receipt, error) {
			if receipt, err := publish(ctx); err != nil {
				return receipt, err
			}
			return publish(ctx)
		}
	}},
	{name: "a publish of unknown outcome is a success", tell: func(_ *attempt, q question, r *reply) {
		if q.kind == "publish" && r.err == errLost {
			r.err = nil
		}
	}},
}

// The search finds what is planted.
func TestModelFindsMutants(t *testing.T) {
	for _, bent := range mutants {
		m := explore(bent)
		if m.found == "" {
			t.Errorf("%s: not found in %d states", bent.name, len(m.seen))
			continue
		}
		t.Logf("%s, after %d states: %s", bent.name, len(m.seen), m.found)
	}
}
