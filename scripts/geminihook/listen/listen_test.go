package listen

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	pubsub "cloud.google.com/go/pubsub/v2/apiv1"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/iterator"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/geminihook/geminihook/scripts/internal/commandtest"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gcptest/emulator/emulatortest"
)

func TestMain(m *testing.M) { commandtest.Main(m) }

// A listener is a running geminihook listen.
type listener struct {
	t      *testing.T
	cmd    *exec.Cmd
	events *json.Decoder
	stderr *bufio.Reader
	stdout io.Reader
}

// An event is one line of listen --json.
type event struct {
	Event         string
	Subscriptions []string
	From          string
	MessageID     string    `json:"message_id"`
	PublishTime   time.Time `json:"publish_time"`
	Attributes    map[string]string
	Data          []byte
}

func start(t *testing.T, home *commandtest.Home, args ...string) *listener {
	t.Helper()
	l := &listener{t: t, cmd: home.Command(t, append([]string{"listen"}, args...)...)}
	stdout, err := l.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := l.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	l.stdout, l.events, l.stderr = stdout, json.NewDecoder(stdout), bufio.NewReader(stderr)
	l.events.DisallowUnknownFields()
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return l
}

// startJSON starts listen with --json and waits until it is ready.
func startJSON(t *testing.T, home *commandtest.Home, args ...string) (l *listener, subscriptions []string) {
	t.Helper()
	l = start(t, home, append(args, "--json")...)
	ready := l.next()
	if ready.Event != "ready" || len(ready.Subscriptions) == 0 {
		t.Fatalf("%v, want ready", ready)
	}
	return l, ready.Subscriptions
}

func (l *listener) next() (e event) {
	l.t.Helper()
	if err := l.events.Decode(&e); err != nil {
		rest, _ := io.ReadAll(l.stderr)
		l.t.Fatalf("next event: %v; standard error: %s", err, rest)
	}
	return e
}

// stop ends listen as Ctrl-C does, and fails the test unless it exits with 0 and writes
// nothing to standard error.
func (l *listener) stop() {
	l.t.Helper()
	if err := l.cmd.Process.Signal(syscall.SIGINT); err != nil {
		l.t.Fatal(err)
	}
	rest, _ := io.ReadAll(l.stderr)
	if status := l.wait(); status != 0 || len(rest) > 0 {
		l.t.Errorf("exit status %d, standard error %q; want 0 and none", status, rest)
	}
}

func (l *listener) wait() int {
	l.t.Helper()
	if err := l.cmd.Wait(); err != nil && !errors.As(err, new(*exec.ExitError)) {
		l.t.Fatal(err)
	}
	return l.cmd.ProcessState.ExitCode()
}

// Without flags, listen prints the messages of all topics of the running serve. When
// serve ends, listen ends.
func TestServe(t *testing.T) {
	home := commandtest.NewHome(t)
	home.Env = []string{"PUBSUB_EMULATOR_HOST="} // otherwise this emulator takes precedence over serve
	s := home.Serve(t)
	l, subscriptions := startJSON(t, home)
	if len(subscriptions) != 6 {
		t.Errorf("%d subscriptions, want 6: one for each of 4 event topics and 2 job topics", len(subscriptions))
	}
	if got := home.Run(t, "", "send"); got.Status != 0 {
		t.Fatalf("send: %v", got)
	}
	want, got := make(map[string]string), make(map[string]string)
	for range 18 {
		e := s.Next()
		want[e.Attributes["ce-id"]] = e.Topic + string(e.Data)
		m := l.next()
		got[m.Attributes["ce-id"]] = m.From + string(m.Data)
		if m.Event != "message" || m.MessageID == "" || time.Since(m.PublishTime) > time.Minute {
			t.Errorf("%v", m)
		}
	}
	for id := range want {
		if want[id] != got[id] {
			t.Errorf("%s: %s, want %s", id, got[id], want[id])
		}
	}
	s.Stop()
	rest, _ := io.ReadAll(l.stderr)
	if status := l.wait(); status != 1 || strings.Count(string(rest), "\n") != 1 {
		t.Errorf("when serve has ended: exit status %d, standard error %q; want 1 and one line", status, rest)
	}
}

// A lab is a Pub/Sub service with one topic, and a home whose commands use it.
type lab struct {
	t        *testing.T
	official bool
	home     *commandtest.Home
	project  string
	topics   *pubsub.TopicAdminClient
	subs     *pubsub.SubscriptionAdminClient
}

// everywhere runs a test on the embedded Pub/Sub and on the official emulator.
func everywhere(t *testing.T, test func(*lab)) {
	t.Run("embedded", func(t *testing.T) {
		server, err := gcptest.Start("127.0.0.1:0", gcptest.NewPubSub(nil))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(server.Close)
		test(newLab(t, server.Addr(), emulatedProject, false))
	})
	t.Run("official", func(t *testing.T) {
		addr, project := emulatortest.PubSub(t)
		test(newLab(t, addr, project, true))
	})
}

func newLab(t *testing.T, addr, project string, official bool) *lab {
	opts := gcptest.ClientOptions(addr)
	topics, err := pubsub.NewTopicAdminClient(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	subs, err := pubsub.NewSubscriptionAdminClient(t.Context(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { topics.Close(); subs.Close() })
	l := &lab{t, official, commandtest.NewHome(t), project, topics, subs}
	l.home.Env = []string{"PUBSUB_EMULATOR_HOST=" + addr}
	_, err = topics.CreateTopic(t.Context(), &pubsubpb.Topic{Name: l.topic()})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *lab) topic() string { return "projects/" + l.project + "/topics/geminihook-batch" }

func (l *lab) publish(id, eventType string) {
	l.t.Helper()
	_, err := l.topics.Publish(l.t.Context(), &pubsubpb.PublishRequest{Topic: l.topic(), Messages: []*pubsubpb.PubsubMessage{{
		Data: []byte("{\n\"type\": \"" + eventType + "\"}\x1b"),
		Attributes: map[string]string{"ce-id": id, "ce-type": eventType, "ce-subject": "batches/1",
			"ce-source": "//generativelanguage.googleapis.com/webhooks/static"},
	}}})
	if err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) subscriptions() (names []string) {
	l.t.Helper()
	all := l.subs.ListSubscriptions(l.t.Context(), &pubsubpb.ListSubscriptionsRequest{Project: "projects/" + l.project})
	for {
		s, err := all.Next()
		if err == iterator.Done {
			return names
		}
		if err != nil {
			l.t.Fatal(err)
		}
		names = append(names, s.Name)
	}
}

// pull returns the ce-ids of the messages that a subscription delivers now.
func (l *lab) pull(subscription string) (ids []string) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 2*time.Second)
	defer cancel()
	got, err := l.subs.Pull(ctx, &pubsubpb.PullRequest{Subscription: subscription, MaxMessages: 10})
	if err != nil && status.Code(err) != codes.DeadlineExceeded {
		l.t.Fatal(err)
	}
	for _, m := range got.GetReceivedMessages() {
		ids = append(ids, m.Message.Attributes["ce-id"])
	}
	return ids
}

func TestTopic(t *testing.T) {
	everywhere(t, func(l *lab) {
		one, subscriptions := startJSON(l.t, l.home, "--project", l.project, "--topic", "geminihook-batch")
		filtered, _ := startJSON(l.t, l.home, "--project", l.project, "--topic", l.topic(), "--filter", `attributes.ce-type = "batch.failed"`)
		s, err := l.subs.GetSubscription(l.t.Context(), &pubsubpb.GetSubscriptionRequest{Subscription: subscriptions[0]})
		if err != nil || s.ExpirationPolicy.GetTtl().AsDuration() != 24*time.Hour {
			l.t.Errorf("%v, %v; want a subscription that expires", s, err)
		}
		l.publish("1", "batch.succeeded")
		l.publish("2", "batch.failed")
		ids := []string{one.next().Attributes["ce-id"], one.next().Attributes["ce-id"]}
		if slices.Sort(ids); !slices.Equal(ids, []string{"1", "2"}) {
			l.t.Errorf("ids %q, want 1 and 2", ids)
		}
		if e := filtered.next(); !l.official && e.Attributes["ce-id"] != "2" || e.From != l.topic() { // the emulator ignores filters
			l.t.Errorf("with the filter: %v, want id 2", e)
		}
		one.stop()
		filtered.stop()
		if left := l.subscriptions(); len(left) > 0 {
			l.t.Errorf("subscriptions left: %q", left)
		}
	})
}

func TestSubscription(t *testing.T) {
	everywhere(t, func(l *lab) {
		name := "projects/" + l.project + "/subscriptions/worker"
		if _, err := l.subs.CreateSubscription(l.t.Context(), &pubsubpb.Subscription{Name: name, Topic: l.topic()}); err != nil {
			l.t.Fatal(err)
		}
		l.publish("1", "batch.succeeded")
		peek, _ := startJSON(l.t, l.home, "--project", l.project, "--subscription", "worker", "--peek")
		if e := peek.next(); e.Attributes["ce-id"] != "1" || e.From != name {
			l.t.Errorf("%v", e)
		}
		peek.stop()
		read, _ := startJSON(l.t, l.home, "--project", l.project, "--subscription", name)
		if e := read.next(); e.Attributes["ce-id"] != "1" {
			l.t.Errorf("after a peek: %v, want the same message again", e)
		}
		read.stop()
		if ids := l.pull(name); len(ids) > 0 {
			l.t.Errorf("%q were not acknowledged", ids)
		}
		if left := l.subscriptions(); !slices.Equal(left, []string{name}) {
			l.t.Errorf("subscriptions afterwards: %q, want %q", left, name)
		}
	})
}

// Without --json, listen prints two lines per message: its attributes and its body,
// without control characters.
func TestText(t *testing.T) {
	everywhere(t, func(l *lab) {
		one := start(l.t, l.home, "--project", l.project, "--topic", "geminihook-batch")
		ready, err := one.stderr.ReadString('\n')
		if err != nil || !strings.HasPrefix(ready, "listening to geminihook-batch, the emulator at ") {
			l.t.Fatalf("%q, %v", ready, err)
		}
		l.publish("msg_1", "batch.succeeded")
		out := bufio.NewReader(one.stdout)
		head, _ := out.ReadString('\n')
		body, _ := out.ReadString('\n')
		want := `^\d\d:\d\d:\d\d\.\d{3}  geminihook-batch        batch.succeeded              msg_1 {35}  static           29 B  batches/1\n {14}\{·"type": "batch.succeeded"\}·\n$`
		if !regexp.MustCompile(want).MatchString(head + body) {
			l.t.Errorf("%q, want %s", head+body, want)
		}
		one.stop()
	})
}

func TestFaultsAreOneLine(t *testing.T) {
	server, err := gcptest.Start("127.0.0.1:0", gcptest.NewPubSub(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	const fault, usage = 1, 2
	for _, tt := range []struct {
		host, args string
		status     int
		want       string
	}{
		{"", "", fault, "no serve is running"},
		{"", "--project p", fault, "--project needs --topic or --subscription"},
		{"", "--topic a --subscription b", usage, "--subscription excludes --topic and --filter"},
		{"", "--topic a --peek", usage, "--peek needs --subscription"},
		{"", "a", usage, "unexpected argument"},
		{server.Addr(), "", fault, "has no topics in project geminihook-local"},
		{server.Addr(), "--topic missing", fault, "NotFound"},
		{server.Addr(), "--subscription missing", fault, "NotFound"},
		{"127.0.0.1:1", "--topic a", fault, "connection refused"},
	} {
		home := commandtest.NewHome(t)
		home.Env = []string{"PUBSUB_EMULATOR_HOST=" + tt.host}
		got := home.Run(t, "", append([]string{"listen", "--json"}, strings.Fields(tt.args)...)...)
		lines := strings.Count(got.Stderr, "\n")
		if got.Status != tt.status || lines != 1 || !strings.HasPrefix(got.Stderr, "geminihook: ") || !strings.Contains(got.Stderr, tt.want) {
			t.Errorf("%q: status %d, standard error %q; want %d, a line with %q", tt.args, got.Status, got.Stderr, tt.status, tt.want)
		}
	}
}

func TestHelp(t *testing.T) {
	got := commandtest.NewHome(t).Run(t, "", "listen", "--help")
	for _, want := range []string{"--topic", "--subscription", "--peek", "--project", "--filter", "--json", "NO OTHER SUBSCRIBER"} {
		if got.Status != 0 || got.Stderr != "" || !strings.Contains(got.Stdout, want) {
			t.Errorf("exit status %d, standard error %q; %s in the help: %v", got.Status, got.Stderr, want, strings.Contains(got.Stdout, want))
		}
	}
}
