package receiver

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// parts are the parts of a receiver. A test may replace each of them.
type parts struct {
	gate    func(ctx context.Context, token string) error
	verify  func(ctx context.Context, header http.Header, body []byte) (*webhook.Delivery, error)
	once    func(ctx context.Context, d *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error)
	publish func(ctx context.Context, d *webhook.Delivery) (webhook.Receipt, error)
}

func (p *parts) Check(ctx context.Context, token string) error { return p.gate(ctx, token) }

func (p *parts) Verify(ctx context.Context, h http.Header, body []byte) (*webhook.Delivery, error) {
	return p.verify(ctx, h, body)
}

func (p *parts) Once(ctx context.Context, d *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
	return p.once(ctx, d, do)
}

func (p *parts) Publish(ctx context.Context, d *webhook.Delivery) (webhook.Receipt, error) {
	return p.publish(ctx, d)
}

var receipt = webhook.Receipt{Topic: "projects/p/topics/t", MessageID: "7"}

// newParts returns parts that accept every request.
func newParts() *parts {
	return &parts{
		gate: func(context.Context, string) error { return nil },
		verify: func(_ context.Context, h http.Header, body []byte) (*webhook.Delivery, error) {
			return &webhook.Delivery{
				Endpoint: "static", Scheme: webhook.V1, ID: h.Get("Webhook-Id"), Body: body, Event: webhook.ParseEvent(body),
			}, nil
		},
		once: func(ctx context.Context, _ *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
			return do(ctx)
		},
		publish: func(context.Context, *webhook.Delivery) (webhook.Receipt, error) { return receipt, nil },
	}
}

func (p *parts) receiver(logged io.Writer) *Receiver {
	return &Receiver{
		Endpoint: "static", Gate: p, Verifier: p, Ledger: p, Publisher: p,
		Log: slog.New(slog.NewJSONHandler(logged, nil)),
	}
}

func request(body string) *http.Request {
	r := httptest.NewRequest(http.MethodPost, "/?token=t", strings.NewReader(body))
	r.Header.Set("Webhook-Id", "msg_1")
	return r
}

// line returns the only line of a log.
func line(t *testing.T, logged string) map[string]any {
	t.Helper()
	var fields map[string]any
	if strings.Count(logged, "\n") != 1 {
		t.Fatalf("logged %d lines, want 1:\n%s", strings.Count(logged, "\n"), logged)
	}
	if err := json.Unmarshal([]byte(logged), &fields); err != nil {
		t.Fatal(err)
	}
	return fields
}

// The status table: each way in which a request can end.
func TestAnswers(t *testing.T) {
	busy := &webhook.BusyError{RetryAfter: 1100 * time.Millisecond}
	ours := errors.New("firestore: unavailable")
	tests := []struct {
		err        error
		status     int
		level      string
		outcome    string
		retryAfter string
	}{
		{nil, 204, "INFO", "published", ""},
		{webhook.ErrDuplicate, 204, "INFO", "duplicate", ""},
		{webhook.ErrMismatch, 204, "ERROR", "mismatch", ""},
		{fmt.Errorf("%w: %w", webhook.ErrUnmarked, ours), 204, "ERROR", "unmarked", ""},
		{webhook.ErrMethod, 405, "INFO", "method", ""},
		{webhook.ErrUnauthorized, 401, "WARN", "unauthorized", ""},
		{fmt.Errorf("%w: no id", webhook.ErrMalformed), 400, "WARN", "malformed", ""},
		{fmt.Errorf("%w: no key", webhook.ErrForged), 401, "WARN", "forged", ""},
		{webhook.ErrAudience, 401, "WARN", "audience", ""},
		{webhook.ErrStale, 401, "ERROR", "stale", ""},
		{webhook.ErrTooLarge, 413, "WARN", "too_large", ""},
		{webhook.ErrSlowBody, 503, "WARN", "slow_body", ""},
		{webhook.ErrOverloaded, 503, "WARN", "overloaded", "1"},
		{busy, 503, "INFO", "busy", "2"},
		{&webhook.BusyError{RetryAfter: 1}, 503, "INFO", "busy", "1"},
		{ours, 503, "ERROR", "unavailable", ""},
		{fmt.Errorf("%w: no such topic", webhook.ErrNotPublished), 503, "ERROR", "unavailable", ""},
		{context.DeadlineExceeded, 503, "ERROR", "unavailable", ""},
		{context.Canceled, 503, "ERROR", "unavailable", ""},
	}
	for _, test := range tests {
		p := newParts()
		p.publish = func(context.Context, *webhook.Delivery) (webhook.Receipt, error) { return receipt, test.err }
		var logged bytes.Buffer
		w := httptest.NewRecorder()
		p.receiver(&logged).ServeHTTP(w, request("{}"))

		if w.Code != test.status || w.Header().Get("Retry-After") != test.retryAfter {
			t.Errorf("%v: answered %d, Retry-After %q, want %d, %q", test.err, w.Code, w.Header().Get("Retry-After"), test.status, test.retryAfter)
		}
		if allow := w.Header().Get("Allow"); (allow == "POST") != (test.status == 405) {
			t.Errorf("%v: Allow is %q", test.err, allow)
		}
		want := http.StatusText(test.status)
		if test.status == http.StatusNoContent {
			want = ""
		}
		if got := strings.TrimSpace(w.Body.String()); got != want {
			t.Errorf("%v: the response body is %q, want %q", test.err, got, want)
		}
		l := line(t, logged.String())
		if l["level"] != test.level || l["outcome"] != test.outcome || l["status"] != float64(test.status) ||
			l["webhook_id"] != "msg_1" || l["scheme"] != "v1" || l["endpoint"] != "static" || l["msg"] != "delivery" {
			t.Errorf("%v: logged %v", test.err, l)
		}
		if test.err != nil && l["error"] != test.err.Error() {
			t.Errorf("%v: logged the error %v", test.err, l["error"])
		}
	}
}

// For each reason, the log line has the outcome of a refusal, the reason and its
// step.
func TestReasons(t *testing.T) {
	for _, refusal := range webhook.Refusals() {
		p := newParts()
		p.verify = func(context.Context, http.Header, []byte) (*webhook.Delivery, error) {
			return nil, fmt.Errorf("wrapped: %w", refusal)
		}
		var logged bytes.Buffer
		p.receiver(&logged).ServeHTTP(httptest.NewRecorder(), request("{}"))
		l := line(t, logged.String())
		if l["step"] != string(refusal.Step) || l["reason"] != string(refusal.Reason) || l["outcome"] == "unavailable" || l["outcome"] == "published" {
			t.Errorf("%s: logged %v", refusal.Reason, l)
		}
	}
}

// The log line has the step that failed, also after a failure of ours. It has a
// reason only for a refusal.
func TestSteps(t *testing.T) {
	down := errors.New("down")
	for step, change := range map[webhook.Step]func(*parts){
		webhook.StepGate: func(p *parts) { p.gate = func(context.Context, string) error { return down } },
		webhook.StepSignature: func(p *parts) {
			p.verify = func(context.Context, http.Header, []byte) (*webhook.Delivery, error) { return nil, down }
		},
		webhook.StepClaim: func(p *parts) {
			p.once = func(context.Context, *webhook.Delivery, func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
				return webhook.Receipt{}, down
			}
		},
		webhook.StepPublish: func(p *parts) {
			p.publish = func(context.Context, *webhook.Delivery) (webhook.Receipt, error) { return receipt, down }
		},
		webhook.StepMark: func(p *parts) {
			p.once = func(ctx context.Context, _ *webhook.Delivery, do func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
				receipt, _ := do(ctx)
				return receipt, fmt.Errorf("%w: %w", webhook.ErrUnmarked, down)
			}
		},
	} {
		p := newParts()
		change(p)
		var logged bytes.Buffer
		p.receiver(&logged).ServeHTTP(httptest.NewRecorder(), request("{}"))
		if l := line(t, logged.String()); l["step"] != string(step) || l["reason"] != nil {
			t.Errorf("%s: logged %v", step, l)
		}
	}
}

// The receiver's own refusals.
func TestReceiverRefusals(t *testing.T) {
	request := func(method string, size int, length int64) *http.Request {
		r := httptest.NewRequest(method, "/", strings.NewReader(strings.Repeat("x", size)))
		r.ContentLength = length
		return r
	}
	slow := request(http.MethodPost, 0, 7)
	slow.Body = io.NopCloser(iotest.ErrReader(os.ErrDeadlineExceeded))
	full := newParts().receiver(io.Discard)
	full.serving.Add(DefaultLimit)
	for _, test := range []struct {
		receiver *Receiver
		request  *http.Request
		reason   webhook.Reason
	}{
		{full, request(http.MethodPost, 0, 0), webhook.TooManyRequests},
		{newParts().receiver(nil), request(http.MethodGet, 0, 0), webhook.NotPOST},
		{newParts().receiver(nil), request(http.MethodPost, 0, MaxBody+1), webhook.BodyTooLarge},
		{newParts().receiver(nil), request(http.MethodPost, MaxBody+1, -1), webhook.BodyTooLarge},
		{newParts().receiver(nil), request(http.MethodPost, 6, 7), webhook.BodyIncomplete},
		{newParts().receiver(nil), slow, webhook.BodySlow},
	} {
		var logged bytes.Buffer
		test.receiver.Log = slog.New(slog.NewJSONHandler(&logged, nil))
		test.receiver.ServeHTTP(httptest.NewRecorder(), test.request)
		if l := line(t, logged.String()); l["reason"] != string(test.reason) {
			t.Errorf("logged %v, want the reason %s", l, test.reason)
		}
	}
}

// The log line has the number of publish attempts if there were several, even if the
// request failed: each attempt may have published a copy.
func TestPublishAttempts(t *testing.T) {
	for _, err := range []error{nil, errors.New("publish: unavailable")} {
		p := newParts()
		p.publish = func(context.Context, *webhook.Delivery) (webhook.Receipt, error) {
			return webhook.Receipt{Topic: "t", Attempts: 2}, err
		}
		var logged bytes.Buffer
		p.receiver(&logged).ServeHTTP(httptest.NewRecorder(), request("{}"))
		if l := line(t, logged.String()); l["publish_attempts"] != 2.0 {
			t.Errorf("%v: logged %v", err, l)
		}
	}
}

// The log line has all known fields, and no others.
func TestLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newParts()
		p.publish = func(context.Context, *webhook.Delivery) (webhook.Receipt, error) {
			time.Sleep(1500 * time.Microsecond)
			return receipt, nil
		}
		for _, test := range []struct {
			body string
			want map[string]any
		}{
			{`{"type":"batch.failed","data":{"id":"batches/1"}}`, map[string]any{
				"msg": "delivery", "endpoint": "static", "outcome": "published", "status": 204.0, "latency_ms": 1.5, "webhook_id": "msg_1",
				"scheme": "v1", "type": "batch.failed", "job_id": "batches/1", "topic": receipt.Topic, "message_id": receipt.MessageID,
			}},
			{"no event", map[string]any{
				"msg": "delivery", "endpoint": "static", "outcome": "published", "status": 204.0, "latency_ms": 1.5, "webhook_id": "msg_1",
				"scheme": "v1", "topic": receipt.Topic, "message_id": receipt.MessageID,
			}},
		} {
			var logged bytes.Buffer
			p.receiver(&logged).ServeHTTP(httptest.NewRecorder(), request(test.body))
			got := line(t, logged.String())
			delete(got, "time")
			delete(got, "level")
			if !maps.Equal(got, test.want) {
				t.Errorf("logged %v, want %v", got, test.want)
			}
		}
	})
}

// A panic in any part is answered 503 and logged in one line.
func TestPanic(t *testing.T) {
	for _, place := range []string{"gate", "verify", "once", "publish"} {
		p := newParts()
		switch place {
		case "gate":
			p.gate = func(context.Context, string) error { panic("oh") }
		case "verify":
			p.verify = func(context.Context, http.Header, []byte) (*webhook.Delivery, error) { panic("oh") }
		case "once":
			p.once = func(context.Context, *webhook.Delivery, func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
				panic("oh")
			}
		case "publish":
			p.publish = func(context.Context, *webhook.Delivery) (webhook.Receipt, error) { panic("oh") }
		}
		var logged bytes.Buffer
		w := httptest.NewRecorder()
		p.receiver(&logged).ServeHTTP(w, request("{}"))
		l := line(t, logged.String())
		if w.Code != http.StatusServiceUnavailable || l["outcome"] != "unavailable" || !strings.HasPrefix(fmt.Sprint(l["error"]), "panic: oh\n") {
			t.Errorf("%s: answered %d, logged %v", place, w.Code, l)
		}
	}
}

// The order of the checks: a rejected request does not reach the later parts.
func TestOrder(t *testing.T) {
	never := func(what string) func() { return func() { t.Errorf("%s was reached", what) } }
	tests := []struct {
		name    string
		request *http.Request
		change  func(*parts)
		status  int
	}{
		{"method before token", httptest.NewRequest(http.MethodPut, "/", unreadable{never("the body")}), func(p *parts) {
			p.gate = func(context.Context, string) error { never("the gate")(); return nil }
		}, 405},
		{"token before body", httptest.NewRequest(http.MethodPost, "/?token=x", unreadable{never("the body")}), func(p *parts) {
			p.gate = func(_ context.Context, token string) error {
				if token != "x" {
					t.Errorf("the gate checked %q", token)
				}
				return webhook.ErrUnauthorized
			}
		}, 401},
		{"body before verification", httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", MaxBody+1))), func(p *parts) {
			p.verify = func(context.Context, http.Header, []byte) (*webhook.Delivery, error) {
				never("verification")()
				return nil, nil
			}
		}, 413},
		{"verification before the ledger", request("{}"), func(p *parts) {
			p.verify = func(context.Context, http.Header, []byte) (*webhook.Delivery, error) { return nil, webhook.ErrForged }
			p.once = func(context.Context, *webhook.Delivery, func(context.Context) (webhook.Receipt, error)) (webhook.Receipt, error) {
				never("the ledger")()
				return webhook.Receipt{}, nil
			}
		}, 401},
	}
	for _, test := range tests {
		p := newParts()
		test.change(p)
		w := httptest.NewRecorder()
		p.receiver(io.Discard).ServeHTTP(w, test.request)
		if w.Code != test.status {
			t.Errorf("%s: answered %d, want %d", test.name, w.Code, test.status)
		}
	}
}

// A request above the limit is rejected before it reaches any part, and accepted
// after others have ended.
func TestLimit(t *testing.T) {
	entered, leave, left := make(chan struct{}), make(chan struct{}), make(chan struct{}, 3)
	p := newParts()
	p.publish = func(context.Context, *webhook.Delivery) (webhook.Receipt, error) {
		entered <- struct{}{}
		<-leave
		return receipt, nil
	}
	var logged lockedBuffer
	r := p.receiver(&logged)
	r.Limit = 2
	serve := func() {
		go func() {
			r.ServeHTTP(httptest.NewRecorder(), request("{}"))
			left <- struct{}{}
		}()
		<-entered
	}
	serve()
	serve()
	for range 3 {
		w := httptest.NewRecorder()
		r.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "/", unreadable{func() { t.Error("the body was reached") }}))
		if w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") != "1" {
			t.Errorf("above the limit: answered %d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
		}
	}
	leave <- struct{}{}
	<-left
	serve()
	close(leave)
	<-left
	<-left
	if text := logged.String(); strings.Count(text, `"overloaded"`) != 3 || strings.Count(text, "too many requests at once") != 3 {
		t.Errorf("logged\n%s", text)
	}
}

// The values that README and Terraform repeat: the maximum body size and the 80
// concurrent requests. The sum of all timeouts is less than the platform's ten
// seconds.
func TestBounds(t *testing.T) {
	if MaxBody != 1048576 || DefaultLimit != 80 || DefaultVerifyTimeout+DefaultProcessTimeout != 7500*time.Millisecond {
		t.Errorf("%d bytes, %d concurrent requests, %v and %v", MaxBody, DefaultLimit, DefaultVerifyTimeout, DefaultProcessTimeout)
	}
	entered, leave := make(chan struct{}), make(chan struct{})
	p := newParts()
	p.publish = func(context.Context, *webhook.Delivery) (webhook.Receipt, error) {
		entered <- struct{}{}
		<-leave
		return receipt, nil
	}
	r := p.receiver(io.Discard)
	var all sync.WaitGroup
	for range 80 {
		all.Go(func() { r.ServeHTTP(httptest.NewRecorder(), request("{}")) })
		<-entered
	}
	w := httptest.NewRecorder()
	r.ServeHTTP(w, request("{}"))
	if w.Code != http.StatusServiceUnavailable {
		t.Errorf("the 81st: answered %d", w.Code)
	}
	close(leave)
	all.Wait()
}

type unreadable struct{ read func() }

func (u unreadable) Read([]byte) (int, error) { u.read(); return 0, io.EOF }

// The body is passed on unchanged, whether or not its length is known.
func TestBody(t *testing.T) {
	for _, size := range []int{0, 1, 512, MaxBody} {
		for _, chunked := range []bool{false, true} {
			want := strings.Repeat("x", size)
			p := newParts()
			p.verify = func(_ context.Context, _ http.Header, body []byte) (*webhook.Delivery, error) {
				if string(body) != want {
					t.Errorf("%d bytes, chunked %v: %d bytes arrived", size, chunked, len(body))
				}
				if !chunked && cap(body) != size { // read without a copy
					t.Errorf("%d bytes have a capacity of %d", size, cap(body))
				}
				return &webhook.Delivery{}, nil
			}
			r := request(want)
			if chunked {
				r.ContentLength = -1
			}
			w := httptest.NewRecorder()
			p.receiver(io.Discard).ServeHTTP(w, r)
			if w.Code != http.StatusNoContent {
				t.Errorf("%d bytes, chunked %v: answered %d", size, chunked, w.Code)
			}
		}
	}
}

// A body with a too large Content-Length is not read. A body without one is read up
// to the limit.
func TestLargeBody(t *testing.T) {
	says := httptest.NewRequest(http.MethodPost, "/", unreadable{func() { t.Error("the body was reached") }})
	says.ContentLength = MaxBody + 1
	chunked := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(strings.Repeat("x", 2*MaxBody)))
	chunked.ContentLength = -1
	for want, r := range map[string]*http.Request{"1048577 bytes": says, "more than 1048576 bytes": chunked} {
		var logged bytes.Buffer
		w := httptest.NewRecorder()
		newParts().receiver(&logged).ServeHTTP(w, r)
		if l := line(t, logged.String()); w.Code != http.StatusRequestEntityTooLarge || !strings.Contains(fmt.Sprint(l["error"]), want) {
			t.Errorf("answered %d, logged %v, want 413 and %q", w.Code, l, want)
		}
	}
}

// Without a gate the token is ignored.
func TestNoGate(t *testing.T) {
	r := newParts().receiver(io.Discard)
	r.Gate = nil
	w := httptest.NewRecorder()
	r.ServeHTTP(w, request("{}"))
	if w.Code != http.StatusNoContent {
		t.Errorf("answered %d", w.Code)
	}
}

// A sender closes a real connection in the middle of its body.
func TestIncompleteBody(t *testing.T) {
	var logged lockedBuffer
	handled := make(chan struct{})
	r := newParts().receiver(&logged)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		defer close(handled)
		r.ServeHTTP(w, req)
	}))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: h\r\nWebhook-Id: msg_1\r\nContent-Length: 100\r\n\r\n{\"type\":")
	conn.Close()
	<-handled
	if l := line(t, logged.String()); l["outcome"] != "malformed" || l["status"] != 400.0 {
		t.Errorf("logged %v", l)
	}
}

// A body that does not arrive in time is answered 503, because the delivery may be
// genuine and the network slow. The log line differs from that of a failure of ours.
func TestSlowBody(t *testing.T) {
	var logged lockedBuffer
	server := httptest.NewServer(newParts().receiver(&logged))
	defer server.Close()
	conn, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{")
	answer := make([]byte, len("HTTP/1.1 503"))
	if _, err := io.ReadFull(conn, answer); err != nil || string(answer) != "HTTP/1.1 503" {
		t.Errorf("answered %q, %v", answer, err)
	}
	if l := line(t, logged.String()); l["outcome"] != "slow_body" || l["level"] != "WARN" || l["error"] != "request body too slow" {
		t.Errorf("logged %v", l)
	}
}

// A body that arrives just before the deadline leaves no time for fetching the keys.
// This must not look like an outage of the keys, because anyone can send such a body.
// If the body took little of the time, it is an outage.
func TestBodyThatLeavesNoTimeForTheKeys(t *testing.T) {
	for took, want := range map[time.Duration]string{2400 * time.Millisecond: "slow_body", time.Second: "unavailable"} {
		synctest.Test(t, func(t *testing.T) {
			p := newParts()
			p.verify = func(ctx context.Context, _ http.Header, _ []byte) (*webhook.Delivery, error) {
				<-ctx.Done()
				return nil, fmt.Errorf("signing keys: %w", ctx.Err())
			}
			r := request("{}")
			r.Body = slowBody{r.Body, took}
			var logged bytes.Buffer
			w := httptest.NewRecorder()
			p.receiver(&logged).ServeHTTP(w, r)
			if l := line(t, logged.String()); w.Code != http.StatusServiceUnavailable || l["outcome"] != want {
				t.Errorf("after %v: answered %d, logged %v, want %s", took, w.Code, l, want)
			}
		})
	}
}

// slowBody ends after a delay.
type slowBody struct {
	io.ReadCloser
	takes time.Duration
}

func (b slowBody) Read(p []byte) (int, error) {
	time.Sleep(b.takes)
	return b.ReadCloser.Read(p)
}

// A refusal before the body is read does not wait for the body longer than the
// timeout. The latency in the log includes sending the response.
func TestHalfSentBody(t *testing.T) {
	for name, test := range map[string]struct {
		method string
		change func(*parts)
		status int
	}{
		"method": {http.MethodPut, func(*parts) {}, http.StatusMethodNotAllowed},
		"gate": {http.MethodPost, func(p *parts) {
			p.gate = func(context.Context, string) error { return webhook.ErrUnauthorized }
		}, http.StatusUnauthorized},
		"gate unavailable": {http.MethodPost, func(p *parts) {
			p.gate = func(context.Context, string) error { return errors.New("no secret") }
		}, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var logged lockedBuffer
			p := newParts()
			test.change(p)
			r := p.receiver(&logged)
			r.VerifyTimeout = 200 * time.Millisecond
			server := httptest.NewServer(r)
			defer server.Close()
			conn, err := net.Dial("tcp", server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "%s / HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{", test.method)
			answer, err := io.ReadAll(conn) // until the server closes the connection
			if want := fmt.Sprintf("HTTP/1.1 %d", test.status); err != nil || !strings.HasPrefix(string(answer), want) {
				t.Errorf("answered %q, %v, want %s", answer, err, want)
			}
			server.Close() // waits for the log line
			if l := line(t, logged.String()); l["latency_ms"].(float64) < 200 {
				t.Errorf("logged %v, want the time until the response", l)
			}
		})
	}
}

// If the sender disconnects, the ledger and the publisher see neither its
// cancellation nor its deadline.
func TestSenderDisconnects(t *testing.T) {
	p := newParts()
	ctx, hangUp := context.WithCancel(t.Context())
	p.verify = func(ctx context.Context, h http.Header, body []byte) (*webhook.Delivery, error) {
		hangUp()
		return &webhook.Delivery{}, ctx.Err()
	}
	p.publish = func(ctx context.Context, _ *webhook.Delivery) (webhook.Receipt, error) {
		return receipt, ctx.Err()
	}
	var logged bytes.Buffer
	p.receiver(&logged).ServeHTTP(httptest.NewRecorder(), request("{}").WithContext(ctx))
	if l := line(t, logged.String()); l["outcome"] != "published" {
		t.Errorf("logged %v", l)
	}
}

// Verification times out after 2.5 s, processing after 5 s.
func TestDeadlines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		tests := []struct {
			name   string
			change func(*parts)
			want   time.Duration
		}{
			{"gate", func(p *parts) { p.gate = func(ctx context.Context, _ string) error { return hang(ctx) } }, 2500 * time.Millisecond},
			{"verify", func(p *parts) {
				p.verify = func(ctx context.Context, _ http.Header, _ []byte) (*webhook.Delivery, error) { return nil, hang(ctx) }
			}, 2500 * time.Millisecond},
			{"publish", func(p *parts) {
				p.publish = func(ctx context.Context, _ *webhook.Delivery) (webhook.Receipt, error) { return receipt, hang(ctx) }
			}, 5 * time.Second},
		}
		for _, test := range tests {
			p := newParts()
			test.change(p)
			w, start := httptest.NewRecorder(), time.Now()
			p.receiver(io.Discard).ServeHTTP(w, request("{}"))
			if took := time.Since(start); took != test.want || w.Code != http.StatusServiceUnavailable {
				t.Errorf("%s: answered %d after %v, want 503 after %v", test.name, w.Code, took, test.want)
			}
		}
	})
}

// lockedBuffer is a log that a server's goroutine writes to.
type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}
