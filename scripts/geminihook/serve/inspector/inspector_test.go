package inspector

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"cloud.google.com/go/firestore"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/geminihook/geminihook/scripts/internal/reverify"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const urlToken = "a-url-token-of-the-test"

// A lab is an inspector in front of a fake function with a given answer and log line.
type lab struct {
	*Inspector
	t       *testing.T
	server  *httptest.Server
	secrets []string
	log     logLine // that the function writes; none without an outcome
	status  int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t, secrets: []string{webhooktest.NewSecret(), webhooktest.NewSecret()}, status: http.StatusNoContent}
	keys := webhooktest.NewKeySet()
	l.Inspector = &Inspector{
		Deliveries: NewDeliveries(), Host: "127.0.0.1",
		Checks:  &Checks{Audiences: []string{"https://example.com/ours"}, Dynamic: PublicKeys(publicKeys(keys))},
		Records: &Records{ledger(t)},
		Sender:  &Sender{Secret: l.secrets[0], Audience: "https://example.com/ours", Keys: keys},
	}
	var err error
	if l.Checks.Static, err = Versions("signing secret", l.secrets, webhook.ParseSigningKey); err != nil {
		t.Fatal(err)
	}
	if l.Checks.Tokens, err = Versions("URL token", []string{urlToken}, webhook.ParseURLToken); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/", l.Handler())
	mux.Handle("/static", l.Watch(webhook.StaticEndpoint, http.HandlerFunc(l.function)))
	mux.Handle("/dynamic", l.Watch(webhook.DynamicEndpoint, http.HandlerFunc(l.function)))
	l.server = httptest.NewServer(mux)
	t.Cleanup(l.server.Close)
	t.Cleanup(l.Deliveries.Close)
	l.Sender.StaticURL, l.Sender.DynamicURL = l.server.URL+"/static", l.server.URL+"/dynamic?token="+urlToken
	return l
}

// function is the handler of the fake function.
func (l *lab) function(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(l.status)
	if l.log.Outcome == "" {
		return
	}
	line := l.log
	line.Message, line.Labels.ExecutionID = "delivery", r.Header.Get(executionHeader)
	text, _ := json.Marshal(line)
	l.Deliveries.Logged(text)
}

func publicKeys(k *webhooktest.KeySet) reverify.Fixed[webhook.PublicKey] {
	return reverify.Fixed[webhook.PublicKey]{
		{Key: k.Ed25519(1).Public()}, {Key: k.Ed25519(0).Public()}, {ID: webhooktest.RSAKeyID, Key: k.RSA().Public()},
	}
}

// ledger returns the collection of an empty Firestore.
func ledger(t *testing.T) *firestore.CollectionRef {
	t.Helper()
	server, err := gcptest.Start("127.0.0.1:0", gcptest.NewFirestore())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	client, err := firestore.NewClient(t.Context(), "p", gcptest.ClientOptions(server.Addr())...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client.Collection("deliveries")
}

// record writes a delivery's record.
func (l *lab) record(d *webhook.Delivery, record *dedup.Record) {
	l.t.Helper()
	if _, err := l.Records.Collection.Doc(dedup.DocumentID(d)).Create(l.t.Context(), record); err != nil {
		l.t.Fatal(err)
	}
}

// outgoing returns a genuine delivery.
func (l *lab) outgoing(scheme webhook.Scheme) *outgoing {
	return l.Sender.outgoing(scheme, "batch.succeeded")
}

// ask sends a GET to a path of the page, or a POST if there is a body.
func (l *lab) ask(path, body string, header ...string) (status int, text string) {
	l.t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(l.t.Context(), method, l.server.URL+path, strings.NewReader(body))
	if err != nil {
		l.t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	req.Host = cmp.Or(req.Header.Get("Host"), req.Host)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		l.t.Fatal(err)
	}
	defer resp.Body.Close()
	all, _ := io.ReadAll(resp.Body)
	if csp := resp.Header.Get("Content-Security-Policy"); csp != policy {
		l.t.Errorf("%s: Content-Security-Policy %q", path, csp)
	}
	return resp.StatusCode, string(all)
}

// latest waits until the latest delivery is shown, and returns it.
func (l *lab) latest(id int64) *delivery {
	l.t.Helper()
	for range 500 {
		if d := l.Deliveries.find(id); d != nil {
			return d
		}
		time.Sleep(10 * time.Millisecond)
	}
	l.t.Fatalf("delivery %d is not shown", id)
	return nil
}

// The checks show the step that decided, and the key.
func TestChecks(t *testing.T) {
	l := newLab(t)
	l.log.Outcome = "whatever"
	for i, tt := range []struct {
		name   string
		scheme webhook.Scheme
		spoil  func(*outgoing)
		header [2]string // to be set after it was signed
		want   string    // marks, and a part of the text of the check that failed or of the signature's
	}{
		{name: "genuine", scheme: "v1", want: "+++++ matches version 2 of the signing secret"},
		{name: "by the older secret", scheme: "v1", spoil: func(a *outgoing) { a.Secret = l.secrets[1] }, want: "+++++ matches version 1 of the signing secret"},
		{name: "stale", scheme: "v1", spoil: func(a *outgoing) { a.at = a.at.Add(-time.Hour) }, want: "++++- webhook-timestamp is 1h0m"},
		{name: "forged", scheme: "v1", spoil: forge, want: "+++-. compared with version 2 of the signing secret, version 1 of the signing secret"},
		{name: "no id", scheme: "v1", header: [2]string{"Webhook-Id", ""}, want: "++-.. no webhook-id header"},
		{name: "too large", scheme: "v1", spoil: func(a *outgoing) { a.body = make([]byte, receiver.MaxBody+1) }, want: "+-... 1048577 bytes"},
		{name: "v1a", scheme: "v1a", want: "++++++ matches Ed25519 key"},
		{name: "v1 at the dynamic endpoint", scheme: "v1a", header: [2]string{"Webhook-Signature", "v1,AAAA"}, want: "++++-. no v1a signature and no token"},
		{name: "no URL token", scheme: "v1a", spoil: func(a *outgoing) { a.url = webhook.WithoutQuery(a.url) }, want: "+-.... the URL has no token"},
		{name: "wrong URL token", scheme: "v1a", spoil: func(a *outgoing) { a.url += "x" }, want: "+-.... compared with version 1 of the URL token"},
		{name: "jwt", scheme: "jwt", want: "++++++++ matches RSA key rsa-1"},
		{name: "forged token", scheme: "jwt", spoil: forge, want: "++++-... the token is signed by none"},
		{name: "another audience", scheme: "jwt", spoil: func(a *outgoing) { a.Audience = "https://example.com/theirs" }, want: "+++++-.. aud contains no configured audience"},
		{name: "expired token", scheme: "jwt", spoil: func(a *outgoing) { a.at = a.at.Add(-time.Hour) }, want: "++++++-. the token expired"},
		{name: "token, stale header", scheme: "jwt", header: [2]string{"Webhook-Timestamp", "1000000000"}, want: "+++++++- webhook-timestamp is"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := l.outgoing(tt.scheme)
			if tt.spoil != nil {
				tt.spoil(a)
			}
			header, err := a.sign()
			if err != nil {
				t.Fatal(err)
			}
			if tt.header[0] != "" {
				header.Set(tt.header[0], tt.header[1])
			}
			if err := post(t.Context(), http.MethodPost, a.url, header, a.body); err != nil {
				t.Fatal(err)
			}
			checkMarks(t, l.latest(int64(i+1)).checks, tt.want)
		})
	}
}

// checkMarks compares the marks of checks, and the text of the failed check. If no
// check failed, it compares the text of the signature's check.
func checkMarks(t *testing.T, checks []check, want string) {
	t.Helper()
	marks, text := "", ""
	for _, c := range checks {
		marks += map[string]string{"pass": "+", "fail": "-", "open": "."}[c.Mark]
		if c.Mark == "fail" || c.Mark == "pass" && c.Name == "Signature" {
			text = c.Text
		}
	}
	wantMarks, wantText, _ := strings.Cut(want, " ")
	if marks != wantMarks || !strings.Contains(text, wantText) {
		t.Errorf("%s %s; want %s\n%v", marks, text, want, checks)
	}
}

// A delivery is shown if its log line arrives before the answer, after it, or never.
func TestJoin(t *testing.T) {
	d := NewDeliveries()
	line := func(execution string) []byte {
		return fmt.Appendf(nil, `{"message":"delivery","outcome":"published","logging.googleapis.com/labels":{"execution_id":%q}}`, execution)
	}
	for i, order := range []string{"LA", "AL", "A"} {
		one := &delivery{status: 204}
		execution := fmt.Sprint("x", i)
		d.begin(one, execution)
		for _, step := range order {
			if d.find(one.id) != nil {
				t.Errorf("%s: shown before its log line", order)
			}
			if step == 'L' {
				d.Logged(line(execution))
			} else {
				d.answer(one, execution)
			}
		}
		if order == "A" {
			d.giveUp(one, execution)
			d.Logged(line(execution))
		}
		if got := d.find(one.id); got == nil || got.outcome() != map[bool]string{true: noLogLine, false: "published"}[order == "A"] {
			t.Errorf("%s: %+v", order, got)
		}
	}
	if d.counts.Received != 3 || len(d.waiting) != 0 {
		t.Errorf("%d received, %d waiting; want 3, 0", d.counts.Received, len(d.waiting))
	}
	d.Logged([]byte("no JSON, but \"delivery\" is in it"))
}

func TestBounds(t *testing.T) {
	d := NewDeliveries()
	page := d.open()
	for i := range 2 * maxKept {
		one := &delivery{body: make([]byte, 10)}
		d.begin(one, fmt.Sprint(i))
		d.Logged(fmt.Appendf(nil, `{"message":"delivery","outcome":"published","logging.googleapis.com/labels":{"execution_id":"%d"}}`, i))
		d.answer(one, fmt.Sprint(i))
	}
	if n := len(d.kept.things); n != maxKept || d.kept.bytes != 10*maxKept || d.find(1) != nil || d.find(2*maxKept) == nil {
		t.Errorf("%d kept, %d bytes", n, d.kept.bytes)
	}
	for range page { // which ends: the page did not read
	}
	for range 100 {
		d.answer(&delivery{body: make([]byte, 1<<20)}, "large")
	}
	if d.kept.bytes > maxKeptBytes {
		t.Errorf("%d bytes kept, of at most %d", d.kept.bytes, maxKeptBytes)
	}
}

// Only this machine can see the page, and another web page cannot press its buttons.
func TestGuard(t *testing.T) {
	l := newLab(t)
	port := l.server.Listener.Addr().String()[len("127.0.0.1"):]
	for _, tt := range []struct {
		path, body string
		header     []string
		want       int
	}{
		{"/", "", nil, 200},
		{"/", "", []string{"Host", "localhost" + port}, 200},
		{"/", "", []string{"Host", "[::1]" + port}, 200},
		{"/", "", []string{"Host", "rebound.example.com" + port}, 403},
		{"/", "", []string{"Host", "127.0.0.1.example.com"}, 403},
		{"/", "", []string{"Host", "192.0.2.1"}, 403},
		{"/", "", []string{"X-Forwarded-For", "192.0.2.1"}, 403},
		{"/inspector/events", "", []string{"Host", "rebound.example.com"}, 403},
		{"/inspector/script.js", "", nil, 200},
		{"/inspector/page.html", "", nil, 404},
		{"/inspector/deliveries/1", "", nil, 404},
		{"/inspector/deliveries/x", "", nil, 404},
		{"/inspector/samples", "{", nil, 400},
		{"/inspector/samples", strings.Repeat(" ", maxForm+1), nil, 400},
		{"/inspector/samples", `{"name": "none"}`, nil, 422},
		{"/inspector/samples", `{"name": "genuine", "scheme": "v9"}`, nil, 422},
		{"/inspector/samples", `{"name": "none"}`, []string{"Sec-Fetch-Site", "cross-site"}, 403},
		{"/inspector/samples", `{"name": "none"}`, []string{"Origin", "https://example.com"}, 403},
		{"/inspector/deliveries/1/again", `{}`, []string{"Origin", "null"}, 403},
		{"/inspector/samples", `{"name": "none"}`, []string{"Origin", l.server.URL}, 422},
	} {
		if got, text := l.ask(tt.path, tt.body, tt.header...); got != tt.want {
			t.Errorf("%s %q %v: %d %s, want %d", tt.path, shorten(tt.body, 40), tt.header, got, text, tt.want)
		}
	}
	for _, tt := range []struct {
		listen, host string
		want         bool
	}{
		{"", "192.0.2.1:8080", true}, {"", "rebound.example.com", false}, {"0.0.0.0", "127.0.0.1", true},
		{"box.lan", "box.lan:8080", true}, {"box.lan", "rebound.example.com", false}, {"::1", "192.0.2.1", false},
	} {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.Host = tt.host
		if got := (&Inspector{Host: tt.listen}).allowed(r); got != tt.want {
			t.Errorf("on %q, asked as %s: %v, want %v", tt.listen, tt.host, got, tt.want)
		}
	}
}

// A delivery's detail contains no token, no complete signature, and no unescaped HTML.
func TestView(t *testing.T) {
	l := newLab(t)
	l.log = logLine{Outcome: "published", Scheme: "v1a", Type: "<script>", Topic: "projects/p/topics/geminihook-batch", MessageID: "7"}
	a := l.outgoing(webhook.V1a)
	a.body = []byte(`{"type": "<script>alert(1)</script>", "data": {}}`)
	header, _ := a.sign()
	header.Set("Authorization", "Bearer of-a-secret")
	now := time.Now()
	l.record(&webhook.Delivery{Endpoint: webhook.DynamicEndpoint, Scheme: webhook.V1a, ID: a.id}, &dedup.Record{
		State: dedup.StateDone, Attempts: 2, Topic: l.log.Topic, MessageID: "7",
		ClaimedAt: now, DoneAt: now.Add(5 * time.Millisecond), ExpireAt: now.Add(72 * time.Hour),
	})
	l.Deliveries.Published(l.log.Topic, &pubsubpb.PubsubMessage{
		MessageId: "7", Data: a.body, PublishTime: timestamppb.Now(), Attributes: map[string]string{"ce-id": a.id},
	})
	if err := post(t.Context(), http.MethodPost, a.url+"&t%6fken="+urlToken, header, a.body); err != nil {
		t.Fatal(err)
	}
	l.latest(1)
	status, text := l.ask("/inspector/deliveries/1", "")
	for _, want := range []string{"attempt 2", "5.0 ms later", "geminihook-batch", "ce-id", "Copy as JSON", "token=(hidden)&amp;token=(hidden)", "v1a,", "<dt>Host</dt>"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not shown", want)
		}
	}
	for _, bad := range []string{urlToken, header.Get("Webhook-Signature"), "of-a-secret"} {
		if strings.Contains(html.UnescapeString(text), bad) {
			t.Errorf("%q is shown", bad)
		}
	}
	if strings.Contains(text, "<script>") || !strings.Contains(text, "&lt;script&gt;") {
		t.Error("the delivery's HTML is not escaped")
	}
	if status != http.StatusOK || t.Failed() {
		t.Errorf("%d %s", status, text)
	}
}

// A delivery's records have its endpoint and its id, under any scheme. A JWT's record
// also has its body.
func TestRecordsOf(t *testing.T) {
	l := newLab(t)
	body, other := []byte("{}"), []byte("{ }")
	var ids []string
	for i, d := range []*webhook.Delivery{
		{Endpoint: webhook.StaticEndpoint, Scheme: webhook.V1, ID: "msg_1", Body: body},
		{Endpoint: webhook.DynamicEndpoint, Scheme: webhook.V1a, ID: "msg_1", Body: other},
		{Endpoint: webhook.DynamicEndpoint, Scheme: webhook.JWT, ID: "msg_1", Body: body},
		{Endpoint: webhook.DynamicEndpoint, Scheme: webhook.JWT, ID: "msg_1", Body: other},
		{Endpoint: webhook.DynamicEndpoint, Scheme: webhook.V1a, ID: "msg_2", Body: body},
	} {
		l.record(d, &dedup.Record{Attempts: i})
		ids = append(ids, dedup.DocumentID(d))
	}
	tests := []struct {
		name, endpoint, id string
		body               []byte
		want               []int // of ids
	}{
		{"static", webhook.StaticEndpoint, "msg_1", other, []int{0}},
		{"dynamic", webhook.DynamicEndpoint, "msg_1", body, []int{1, 2}},
		{"dynamic, another body", webhook.DynamicEndpoint, "msg_1", other, []int{1, 3}},
		{"dynamic, a third body", webhook.DynamicEndpoint, "msg_1", nil, []int{1}},
		{"another id", webhook.DynamicEndpoint, "msg_2", other, []int{4}},
		{"an unknown id", webhook.DynamicEndpoint, "msg_3", body, nil},
		{"a malformed id", webhook.DynamicEndpoint, "msg.1", body, nil},
		{"no function", NoFunction, "msg_1", body, nil},
	}
	for _, test := range tests {
		found, err := l.Records.of(t.Context(), &delivery{
			endpoint: test.endpoint, header: http.Header{"Webhook-Id": {test.id}}, body: test.body,
		})
		if err != nil || len(found) != len(test.want) {
			t.Errorf("%s: %d records, %v; want %v", test.name, len(found), err, test.want)
		}
		for _, i := range test.want {
			if record, ok := found[ids[i]]; !ok || record.Attempts != i {
				t.Errorf("%s: record %d is %v", test.name, i, record)
			}
		}
	}
}

func TestSignaturesAreShortened(t *testing.T) {
	for _, signature := range []string{"", "x", "v1,", "v1,abcdef", "v1," + strings.Repeat("a", 44), strings.Repeat("v1,bbbb ", 9000), "a.b.c", strings.Repeat("c", 800)} {
		if got := shortenSignature(signature); len(signature) > 4 && strings.Contains(got, signature) || len(got) > 500 {
			t.Errorf("%q is shown as %q", signature, got)
		}
	}
}

// Without private keys, the page offers no dynamic samples and gives the reason.
func TestNoKeys(t *testing.T) {
	l := newLab(t)
	l.Sender.Keys = nil
	if status, text := l.ask("/inspector/samples", `{"name": "genuine", "type": "batch.failed", "scheme": "v1a"}`); status != http.StatusUnprocessableEntity || !strings.Contains(text, "--jwks-url") {
		t.Errorf("%d %s", status, text)
	}
	if _, page := l.ask("/", ""); strings.Contains(page, `value="v1a"`) || !strings.Contains(page, "No dynamic samples") {
		t.Error("the page offers samples that it cannot sign")
	}
}

// Missing attributes and data are empty in a message's JSON, not null.
func TestCopyOfAnEmptyMessage(t *testing.T) {
	v := viewMessage(&message{"projects/p/topics/t", &pubsubpb.PubsubMessage{MessageId: "1"}})
	if !strings.Contains(v.Copy, `"attributes": {}`) || !strings.Contains(v.Copy, `"data": ""`) {
		t.Error(v.Copy)
	}
}

// A request to a path without a function is shown with the reason, and cannot be
// replayed.
func TestNoFunction(t *testing.T) {
	l := newLab(t)
	l.status, l.log = http.StatusNotFound, logLine{Outcome: "no_function"}
	a := l.outgoing(webhook.V1)
	server := httptest.NewServer(l.Watch(NoFunction, http.HandlerFunc(l.function)))
	defer server.Close()
	a.url = server.URL + "/staticwebhook?token=" + urlToken
	if err := a.send(t.Context(), 1); err != nil {
		t.Fatal(err)
	}
	d := l.latest(1)
	if want := (check{"Path", "fail", "no function is at /staticwebhook"}); d.checks[0] != want || d.checks[1].Mark != "open" {
		t.Errorf("checks %v, want %v, and the others not reached", d.checks, want)
	}
	_, page := l.ask("/inspector/deliveries/1", "")
	if !strings.Contains(page, "no_function") || !strings.Contains(page, "No function is at this path, so the delivery cannot be replayed.") ||
		strings.Contains(page, "data-again") || strings.Contains(page, urlToken) {
		t.Errorf("shown as\n%s", page)
	}
	if status, text := l.ask("/inspector/deliveries/1/again", `{"anew": true}`); status != http.StatusUnprocessableEntity || !strings.Contains(text, "no function") {
		t.Errorf("again: %d %s", status, text)
	}
}

// A page gets the list, then events. The stream ends when serve ends.
func TestEvents(t *testing.T) {
	l := newLab(t)
	l.log.Outcome = "duplicate"
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, l.server.URL+"/inspector/events", nil)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for _, want := range []string{"event: list", `data: {"counts":{"received":0,`, "", "event: row", `"outcome":"duplicate"`} {
		if want == "event: row" {
			if status, text := l.ask("/inspector/samples", `{"name": "genuine", "type": "batch.failed", "scheme": "v1"}`); status != http.StatusNoContent {
				t.Fatal(status, text)
			}
		}
		if !lines.Scan() || !strings.Contains(lines.Text(), want) {
			t.Fatalf("%q, want %q", lines.Text(), want)
		}
	}
	l.Deliveries.Close()
	for lines.Scan() {
	}
	if lines.Err() != nil || ctx.Err() != nil {
		t.Errorf("the stream ended with %v", lines.Err())
	}
}

// The page and its libraries are not deployed. Libraries of the functions use
// html/template themselves; geminihook's deployed packages must not.
func TestDeploysWithoutPage(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{.ImportPath}} {{join .Imports " "}}`,
		module+"functions/static", module+"functions/dynamic").Output()
	if err != nil {
		t.Fatal(err)
	}
	ours := 0
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		if pkg == "net/http/pprof" || pkg == "expvar" || strings.HasPrefix(pkg, module+"scripts/") {
			t.Errorf("%s is deployed", pkg)
		}
		if !strings.HasPrefix(pkg, module) {
			continue
		}
		ours++
		for path := range strings.FieldsSeq(imports) {
			if slices.Contains([]string{"html/template", "text/template", "embed", "net/http/httputil", "net/http/httptest", "testing"}, path) {
				t.Errorf("%s, which is deployed, imports %s", pkg, path)
			}
		}
	}
	if ours < 10 {
		t.Errorf("%d of geminihook's packages are deployed: too few, so the list must be wrong", ours)
	}
}

const module = "github.com/geminihook/geminihook/"
