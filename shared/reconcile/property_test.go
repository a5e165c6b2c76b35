package reconcile

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	propertyKey = "AIza-key"
	dynamicURL  = "https://hooks.example/dynamic"
	otherURL    = "https://other.example/"
	period      = 10 * time.Minute
	grace       = time.Hour
)

// A story is a simulation of some days of jobs, deliveries and passes. A seed
// determines it.
type story struct {
	seed uint64
	jobs int
	days int
	form func(name string) string // data.id of batches and videos

	t     *testing.T
	w     *world
	api   *geminitest.API
	rand  *rand.Rand
	begin time.Time

	mu     sync.Mutex
	known  map[string]*told // by the last segment of the job's name
	down   bool             // our project is down: deliveries and passes fail
	passes []passed
	asks   map[string][]asked // by the job's name
	counts map[string]int
}

// asked is one API call for a job.
type asked struct {
	at    time.Time
	by    *instance
	ended bool // according to the answer; false if the call failed
}

// told holds the story's facts about a job that the API does not hold.
type told struct {
	name, kind string
	registered bool
	started    time.Time
	config     string        // the URL of its own webhook_config; empty if it has none
	hidden     bool          // the API never shows it
	required   time.Time     // when it began to require an action; zero if it never did
	waits      time.Duration // for that action
}

type passed struct {
	from, to time.Time
	by       *instance
	Summary
}

// The event of every job that ended and was subscribed to or registered is on its
// topic, despite any faults in deliveries and passes. The environment variables
// RECONCILE_JOBS, RECONCILE_DAYS and RECONCILE_SEEDS (a list) make the test longer.
func TestEveryEventArrives(t *testing.T) {
	number := func(name string, fallback int) int {
		n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(fallback)))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return n
	}
	forms := map[string]func(string) string{"whole": geminitest.Whole, "last": geminitest.LastSegment, "operations": geminitest.Operation}
	for seed := range strings.SplitSeq(cmp.Or(os.Getenv("RECONCILE_SEEDS"), "2,3"), ",") {
		n, err := strconv.ParseUint(seed, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		name := slices.Sorted(maps.Keys(forms))[n%3]
		t.Run(fmt.Sprintf("seed %d, ids %s", n, name), func(t *testing.T) {
			var s *story
			inWorld(t, func(w *world) {
				s = &story{seed: n, jobs: number("RECONCILE_JOBS", 200), days: number("RECONCILE_DAYS", 6), form: forms[name], t: w.t, w: w}
				s.tell()
				s.check()
			})
			for _, line := range slices.Sorted(maps.Keys(s.counts)) {
				t.Logf("%6d %s", s.counts[line], line)
			}
		})
	}
}

func (s *story) count(what string, n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[what] += n
}

// tell runs the story.
func (s *story) tell() {
	s.rand = rand.New(rand.NewPCG(s.seed, 7))
	s.begin = time.Now()
	s.known, s.asks, s.counts = make(map[string]*told), make(map[string][]asked), make(map[string]int)
	s.api = geminitest.New(propertyKey)
	s.api.EchoWebhookConfig = true
	s.api.DisableAfter = 100
	s.api.Backoff = 5 * time.Second
	s.api.EventID = func(name string) string { return s.form(name) }
	s.api.Deliveries = geminitest.InMemory(http.HandlerFunc(s.receive))
	s.api.Add(staticURL)
	s.api.Trouble = s.trouble
	s.w.setFault(s.fault)
	defer s.api.Close()

	plan := s.plan()
	var apart sync.WaitGroup
	apart.Go(func() {
		for _, step := range plan {
			time.Sleep(time.Until(step.at))
			step.do()
		}
	})
	end := s.begin.Add(time.Duration(s.days)*24*time.Hour + 80*time.Hour)
	s.schedule(end, &apart)
	apart.Wait()
}

// A step of the plan is something that happens at a time.
type step struct {
	at time.Time
	do func()
}

// plan returns the steps in the order of time: job starts, outages and changes of the
// webhook.
func (s *story) plan() (plan []step) {
	all := time.Duration(s.days) * 24 * time.Hour
	add := func(at time.Duration, do func()) { plan = append(plan, step{s.begin.Add(at), do}) }
	for range s.jobs {
		at := time.Duration(s.rand.Int64N(int64(all)))
		kind := []string{geminitest.KindBatch, geminitest.KindInteraction, geminitest.KindVideo}[s.rand.IntN(3)]
		add(at, func() { s.start(kind) })
	}
	day := all / 12
	hook := s.api.IDs()[0]
	add(2*day, func() { s.setDown(true) })
	add(2*day+2*time.Hour, func() { s.setDown(false) })
	add(4*day, func() { s.setState(hook, "disabled") })
	add(6*day, func() { s.setState(hook, "enabled") })
	add(8*day, func() { s.api.Revoke(true) })
	add(8*day+24*time.Hour, func() { s.api.Revoke(false) })
	slices.SortStableFunc(plan, func(a, b step) int { return a.at.Compare(b.at) })
	return plan
}

func (s *story) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
}

func (s *story) isDown() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.down
}

// setState changes the state of a webhook, as a user does.
func (s *story) setState(hook, state string) {
	for {
		req, _ := http.NewRequest(http.MethodPatch, "https://x/v1beta/webhooks/"+hook, strings.NewReader(`{"state":"`+state+`"}`))
		req.Header.Set("X-Goog-Api-Key", propertyKey)
		resp, err := s.api.Client().Do(req)
		if err == nil && resp.StatusCode == http.StatusOK {
			return
		}
		time.Sleep(time.Second)
	}
}

// start starts a job as an application does. Some applications register it, and some
// give it URLs of its own.
func (s *story) start(kind string) {
	j, k := s.job(kind), &told{kind: kind, started: time.Now()}
	if s.rand.IntN(10) == 0 {
		k.config = []string{dynamicURL + "?token=x", otherURL}[s.rand.IntN(2)]
		j.Webhook = &geminitest.WebhookConfig{URIs: []string{k.config}}
	}
	k.hidden = j.Get != 0 && j.GetFor == 0
	switch kind {
	case geminitest.KindBatch:
		k.name = s.api.StartBatch(j)
	case geminitest.KindInteraction:
		k.name = s.api.StartInteraction(j)
		if j.End == geminitest.InteractionRequiresAction {
			k.waits = time.Duration(s.rand.Int64N(int64(10 * time.Hour)))
			k.required = time.Now().Add(j.For)
			more, runs := s.end(kind), time.Duration(s.rand.Int64N(int64(time.Hour)))
			if more == geminitest.InteractionRequiresAction {
				more = geminitest.InteractionCompleted
			}
			time.AfterFunc(j.For+k.waits, func() { s.api.Continue(k.name, runs, more) })
		}
	default:
		k.name = s.api.StartVideo(j)
	}
	if k.registered = kind != geminitest.KindBatch && s.rand.IntN(8) > 0; k.registered {
		s.w.start(k.name)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.known[lastOf(k.name)] = k
}

// job returns how a job runs, ends, and is delivered.
func (s *story) job(kind string) (j geminitest.Job) {
	upTo := func(most time.Duration) time.Duration { return time.Duration(s.rand.Int64N(int64(most))) }
	j.End = s.end(kind)
	switch kind {
	case geminitest.KindBatch:
		j.For = time.Minute + upTo([]time.Duration{5 * time.Minute, 4 * time.Hour, 60 * time.Hour}[s.rand.IntN(3)])
		j.Inline = s.rand.IntN(2) == 0
	case geminitest.KindInteraction:
		j.For = time.Second + upTo([]time.Duration{time.Hour, 30 * time.Hour}[min(1, s.rand.IntN(5)/4)])
	default:
		j.For = 11*time.Second + upTo(6*time.Minute)
	}
	switch s.rand.IntN(10) {
	case 0, 1:
		j.Delivery.Never = true
	case 2:
		j.Delivery.After = upTo(6 * time.Hour)
	case 3:
		j.Delivery.Twice = true
	}
	switch s.rand.IntN(30) {
	case 0:
		j.Get, j.GetFor = 404, j.For+upTo(30*time.Minute)
	case 1:
		j.Get, j.GetFor = 403, 30*time.Minute
	case 2:
		j.Get = 404
	case 3:
		j.Get = 403
	}
	return j
}

func (s *story) end(kind string) string {
	ends := map[string][]string{
		geminitest.KindBatch: {geminitest.BatchSucceeded, geminitest.BatchSucceeded, geminitest.BatchSucceeded, geminitest.BatchFailed,
			geminitest.BatchExpired, geminitest.BatchCancelled},
		geminitest.KindInteraction: {geminitest.InteractionCompleted, geminitest.InteractionCompleted, geminitest.InteractionCompleted, geminitest.InteractionFailed,
			geminitest.InteractionCancelled, geminitest.InteractionRequiresAction, geminitest.InteractionIncomplete, geminitest.InteractionBudgetExceeded},
		geminitest.KindVideo: {geminitest.VideoGenerated, geminitest.VideoGenerated, geminitest.VideoGenerated, geminitest.VideoFailed, geminitest.VideoFiltered},
	}[kind]
	return ends[s.rand.IntN(len(ends))]
}

// receive is the receiver behind both of our URLs.
func (s *story) receive(w http.ResponseWriter, r *http.Request) {
	if s.isDown() || r.URL.Host == "other.example" {
		status := http.StatusServiceUnavailable
		if r.URL.Host == "other.example" {
			status = http.StatusOK
		}
		w.WriteHeader(status)
		return
	}
	rec := &receiver.Receiver{Endpoint: webhook.StaticEndpoint, Ledger: s.w.ledger, Publisher: s.w.publisher, Log: slog.New(slog.DiscardHandler),
		Verifier: &webhook.Static{Keys: signingKeys{s.api}, Tolerance: 5 * time.Minute}}
	if r.URL.Path == "/dynamic" {
		rec.Endpoint, rec.Verifier = webhook.DynamicEndpoint, &webhook.Dynamic{Keys: publicKeys{s.api}, Tolerance: 5 * time.Minute}
	}
	rec.ServeHTTP(w, r)
}

// schedule makes passes until the end, as a scheduler does. Some overlap, some are
// killed, and some run in another instance.
func (s *story) schedule(end time.Time, apart *sync.WaitGroup) {
	r := rand.New(rand.NewPCG(s.seed, 8))
	lasting := s.process()
	for time.Now().Before(end) {
		if !s.isDown() {
			kill, overlap, fresh := r.IntN(20) == 0, r.IntN(10) == 0, r.IntN(6) == 0
			at := time.Duration(r.Int64N(int64(8 * time.Second)))
			if overlap {
				other := s.process()
				apart.Go(func() {
					s.pass(context.Background(), other)
					other.end()
				})
			}
			if kill || fresh {
				lasting.end()
				lasting = s.process()
			}
			ctx, cancel := context.WithCancel(context.Background())
			if kill {
				victim := lasting
				time.AfterFunc(at, func() { cancel(); victim.end() })
				s.count("passes killed", 1)
			}
			s.pass(ctx, lasting)
			cancel()
			if kill {
				lasting = s.process()
			}
		}
		time.Sleep(time.Until(time.Now().Truncate(period).Add(period)))
	}
	lasting.end()
}

// instance is a process with a Reconciler.
type instance struct {
	*process
	*Reconciler
	*gemini.Client
	story *story
}

// Interaction and Operation record each get of a job.
func (i *instance) Interaction(ctx context.Context, id string) (gemini.Interaction, error) {
	answer, err := i.Client.Interaction(ctx, id)
	i.record(id, err == nil && ofInteraction(id, &answer).phase == ended)
	return answer, err
}

func (i *instance) Operation(ctx context.Context, name string) (gemini.Operation, error) {
	answer, err := i.Client.Operation(ctx, name)
	i.record(name, err == nil && answer.Done)
	return answer, err
}

func (i *instance) record(name string, ended bool) {
	i.story.mu.Lock()
	defer i.story.mu.Unlock()
	i.story.asks[name] = append(i.story.asks[name], asked{time.Now(), i, ended})
}

func (s *story) process() *instance {
	p := s.w.newProcess(s.t)
	base, _ := url.Parse("https://generativelanguage.googleapis.com")
	i := &instance{process: p, Client: gemini.Open(base, oneKey{}, s.api.Client().Transport), story: s}
	i.Reconciler = &Reconciler{
		Options: Options{Mode: Auto, Grace: grace, LookBack: 48 * time.Hour, StaticURL: mustURL(staticURL), DynamicURL: mustURL(dynamicURL), Reenable: true},
		API:     i, Register: p.register, Ledger: p.ledger, Publisher: p.publisher,
		Log: slog.New(slog.NewJSONHandler(s.w.log, nil)),
	}
	return i
}

func (s *story) pass(ctx context.Context, i *instance) {
	from := time.Now()
	summary, err := i.Reconciler.Run(ctx)
	if err != nil {
		s.t.Error(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.passes = append(s.passes, passed{from, time.Now(), i, summary})
	s.counts["passes"]++
	if summary.Complete {
		s.counts["passes that were complete"]++
	}
	s.counts["calls of the API"] += int(summary.Calls)
	s.counts["held, pass by pass"] += summary.Held
	s.counts["lost jobs reported"] += summary.Lost
	if summary.Took > DefaultTimeout+10*time.Second {
		s.t.Errorf("a pass took %v", summary.Took)
	}
}

// trouble returns a fault for one in thirty API calls.
func (s *story) trouble(call string) geminitest.Fault {
	time.Sleep(time.Duration(rand.Int64N(int64(50 * time.Millisecond))))
	if strings.HasSuffix(call, ".create") || rand.IntN(30) > 0 {
		return geminitest.Fault{}
	}
	s.count("faults of the API", 1)
	return []geminitest.Fault{{Status: 429}, {Status: 500}, {Status: 503}, {Status: 404}, {Status: 403}, {Status: 500, Done: true}, {Cut: true, Done: true}, {Hang: true}}[rand.IntN(8)]
}

// fault makes a call of Firestore or Pub/Sub, and lets one in three hundred fail.
func (s *story) fault(ctx context.Context, call string, do func() error) error {
	time.Sleep(time.Duration(rand.Int64N(int64(10 * time.Millisecond))))
	if rand.IntN(300) > 0 {
		return do()
	}
	s.count("faults of Firestore and Pub/Sub", 1)
	switch rand.IntN(4) {
	case 0:
		return status.Error(codes.Unavailable, "refused")
	case 1:
		return status.Error(codes.PermissionDenied, "refused")
	case 2:
		if err := do(); err != nil {
			return err
		}
		return status.Error(codes.Unavailable, "the reply got lost")
	}
	<-ctx.Done()
	return ctx.Err()
}

func lastOf(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

type oneKey struct{}

func (oneKey) Find(_ context.Context, match func(string) bool) (bool, error) {
	return match(propertyKey), nil
}

// signingKeys are the secrets of the API's webhooks.
type signingKeys struct{ api *geminitest.API }

func (k signingKeys) Find(_ context.Context, match func(webhook.SigningKey) bool) (bool, error) {
	for _, id := range k.api.IDs() {
		for _, text := range k.api.Secrets(id) {
			if key, err := webhook.ParseSigningKey([]byte(text)); err == nil && match(key) {
				return true, nil
			}
		}
	}
	return false, nil
}

// publicKeys are the keys that sign the deliveries to a job's own URLs.
type publicKeys struct{ api *geminitest.API }

func (k publicKeys) Find(_ context.Context, match func(webhook.PublicKey) bool) (bool, error) {
	return match(webhook.PublicKey{Key: k.api.Keys.Ed25519(0).Public()}), nil
}
