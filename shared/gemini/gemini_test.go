package gemini

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const testKey = "AIza-key-of-the-test"

// keys are the enabled API keys, the newest first.
type keys []string

func (k keys) Find(_ context.Context, match func(string) bool) (bool, error) {
	for _, key := range k {
		if match(key) {
			return true, nil
		}
	}
	return false, errors.New("secret manager does not answer")
}

// client returns a client of a server that runs h.
func client(t *testing.T, h http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	base, err := ParseURL(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return Open(base, keys{testKey, "an older key"}, nil)
}

func TestParseURL(t *testing.T) {
	for text, want := range map[string]string{
		"": DefaultURL, DefaultURL: DefaultURL, DefaultURL + "/": DefaultURL,
		"http://127.0.0.1:8080": "http://127.0.0.1:8080", "http://localhost:1/": "http://localhost:1", "http://[::1]:1": "http://[::1]:1",
		"http://generativelanguage.googleapis.com": "", "https://example.com": "", DefaultURL + ".evil.example": "",
		"https://user@generativelanguage.googleapis.com": "", DefaultURL + "/v1": "", DefaultURL + "?x=1": "", "127.0.0.1:80": "",
		"ftp://127.0.0.1": "", "http://127.0.0.1.evil.example": "",
	} {
		got, err := ParseURL(text)
		if (err != nil) != (want == "") || err == nil && got.String() != want {
			t.Errorf("ParseURL(%q) returned %v, %v, want %q", text, got, err, want)
		}
	}
}

func TestParseKey(t *testing.T) {
	if key, err := ParseKey([]byte(" \n" + testKey + "\r\n")); key != testKey || err != nil {
		t.Errorf("ParseKey returned %q, %v", key, err)
	}
	for _, bad := range []string{"", " \n", "two words", "kéy", "a\x00b", strings.Repeat("x", 513)} {
		if _, err := ParseKey([]byte(bad)); err == nil || bad != "" && strings.TrimSpace(bad) != "" && strings.Contains(err.Error(), bad) {
			t.Errorf("ParseKey(%q) returned error %v", bad, err)
		}
	}
}

const page = `{"operations":[
 {"name":"batches/a1","metadata":{"@type":"type.googleapis.com/google.ai.generativelanguage.v1main.GenerateContentBatch",
   "output":{"responsesFile":"files/batch-a1"},"createTime":"2026-08-20T20:08:31.015405218Z","endTime":"2026-08-20T20:10:25.852081585Z",
   "batchStats":{"requestCount":"9"},"state":"BATCH_STATE_SUCCEEDED","webhookConfig":{"uris":["https://x.example/"],"userMetadata":{"a":1}}},"done":true},
 {"name":"batches/a2","metadata":{"createTime":"2026-08-20T20:08:31Z","updateTime":"soon","state":"BATCH_STATE_FAILED"},"done":true,"error":{"code":8,"message":"quota"}},
 {"name":7}, [], {"metadata":{}}],"nextPageToken":"next"}`

func TestBatches(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		if r.URL.Path != "/v1beta/batches" || q.Get("pageSize") != "100" || q.Get("pageToken") != "tok/en" || q.Get("fields") != fields ||
			r.Header.Get("X-Goog-Api-Key") != testKey || strings.Contains(r.URL.String(), testKey) {
			t.Errorf("unexpected request %s with headers %v", r.URL, r.Header)
		}
		io.WriteString(w, page)
	})
	got, err := c.Batches(t.Context(), "tok/en")
	if err != nil || got.Malformed != 3 || got.Next != "next" || len(got.Batches) != 2 || c.Calls() != 1 {
		t.Fatalf("Batches returned %+v, %v", got, err)
	}
	a1, a2 := got.Batches[0], got.Batches[1]
	if a1.Name != "batches/a1" || a1.State != "BATCH_STATE_SUCCEEDED" || a1.Output != "files/batch-a1" || a1.Ended.Nanosecond() != 852081585 ||
		len(a1.URIs) != 1 || string(a1.Metadata) != `{"a":1}` || a1.Error != (APIError{}) {
		t.Errorf("unexpected batch %+v", a1)
	}
	if a2.Error != (APIError{"8", "quota"}) || !a2.Updated.IsZero() || !a2.Ended.IsZero() || a2.Created.IsZero() || a2.URIs != nil {
		t.Errorf("unexpected batch %+v", a2)
	}
}

// If the API rejects the parameter fields, the client repeats the call without it, and
// never sends it again. An invalid key is answered 400 as well, and must not disable
// fields.
func TestBatchesWithoutFields(t *testing.T) {
	var asked []bool
	knowsFields, knowsKey := false, true
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		with := r.URL.Query().Has("fields")
		asked = append(asked, with)
		if with && !knowsFields || !knowsKey {
			http.Error(w, `{"error":{"code":400,"message":"no","status":"INVALID_ARGUMENT"}}`, http.StatusBadRequest)
			return
		}
		io.WriteString(w, "{}")
	})
	knowsKey = false
	if _, err := c.Batches(t.Context(), ""); Status(err) != 400 {
		t.Errorf("a bad key: %v", err)
	}
	knowsKey = true
	for range 2 {
		if page, err := c.Batches(t.Context(), ""); err != nil || page.Next != "" || page.Batches != nil {
			t.Errorf("Batches returned %+v, %v", page, err)
		}
	}
	if got := fmt.Sprint(asked); got != "[true false true false false]" {
		t.Errorf("calls with fields: %v, want [true false true false false]", got)
	}
}

func TestInteraction(t *testing.T) {
	answers := map[string]string{
		"v1_abc..": `{"id":"v1_abc..","status":"failed","updated":"2026-07-23T10:21:43Z","errors":[{"code":"internal","message":"boom"}],"webhook_config":{"user_metadata":{"t":1}}}`,
		"v1_2":     `{"status":"in_progress","updated":"yesterday","errors":[{"code":13}]}`,
	}
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		id, ok := strings.CutPrefix(r.URL.Path, "/v1beta/interactions/")
		if !ok || answers[id] == "" {
			t.Errorf("unexpected call of %s", r.URL)
		}
		io.WriteString(w, answers[id])
	})
	got, err := c.Interaction(t.Context(), "v1_abc..")
	if err != nil || got.Status != "failed" || got.Updated.IsZero() || got.Error != (APIError{"internal", "boom"}) || string(got.Metadata) != `{"t":1}` {
		t.Errorf("Interaction returned %+v, %v", got, err)
	}
	got, err = c.Interaction(t.Context(), "v1_2")
	if err != nil || got.Status != "in_progress" || !got.Updated.IsZero() || got.Error.Code != "13" || got.Metadata != nil {
		t.Errorf("Interaction returned %+v, %v", got, err)
	}
}

func TestOperation(t *testing.T) {
	const name = "models/veo-3.1-generate-preview/operations/s2a8kyx4kgcs"
	answer := ""
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1beta/"+name {
			t.Errorf("unexpected call of %s", r.URL)
		}
		io.WriteString(w, answer)
	})
	for text, want := range map[string]Operation{
		`{"name":"x"}`: {},
		`{"done":true,"error":{"code":3,"message":"no"}}`:                                                 {Done: true, Error: APIError{"3", "no"}},
		`{"done":true,"response":{"generateVideoResponse":{"raiMediaFilteredCount":2}}}`:                  {Done: true, Filtered: 2},
		`{"done":true,"response":{"generateVideoResponse":{"generatedSamples":[{"video":{"uri":"u"}}]}}}`: {Done: true, Video: "u"},
	} {
		answer = text
		if got, err := c.Operation(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
}

func TestWebhooks(t *testing.T) {
	var patched string
	c := client(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodPatch:
			body, _ := io.ReadAll(r.Body)
			patched = r.URL.Path + " " + string(body)
			io.WriteString(w, "{}")
		case r.URL.Query().Get("page_token") == "":
			io.WriteString(w, `{"webhooks":[{"id":"w1","uri":"https://a.example/","state":"enabled","subscribed_events":["batch.succeeded"]}],"next_page_token":"2"}`)
		default:
			io.WriteString(w, `{"webhooks":[{"id":"w2","state":"disabled_due_to_failed_deliveries"}]}`)
		}
	})
	all, err := c.Webhooks(t.Context())
	if err != nil || len(all) != 2 || all[0].Events[0] != "batch.succeeded" || all[1].State != DisabledByFailures {
		t.Errorf("Webhooks returned %+v, %v", all, err)
	}
	if err := c.Enable(t.Context(), "w2/../x"); err != nil || patched != `/v1beta/webhooks/w2/../x {"state":"enabled"}` {
		t.Errorf("Enable sent %s, and returned %v", patched, err)
	}
}

// An API that always returns a next page is called maxWebhookPages times.
func TestWebhooksWithoutEnd(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, `{"next_page_token":"again"}`) })
	if _, err := c.Webhooks(t.Context()); err == nil || c.Calls() != maxWebhookPages {
		t.Errorf("Webhooks returned error %v after %d calls", err, c.Calls())
	}
}

// TestStatusError covers both forms of the API's errors, and answers of neither form.
// No error contains the key, even if the API repeats it in its message.
func TestStatusError(t *testing.T) {
	long := strings.Repeat("é", 300)
	for body, want := range map[string]StatusError{
		`{"error":{"code":404,"message":"Requested entity\nwas not found.","status":"NOT_FOUND"}}`: {404, "NOT_FOUND", "Requested entity was not found."},
		`{"error":{"code":"not_found","message":"gone"}}`:                                          {404, "not_found", "gone"},
		`{"error":{"message":"key ` + testKey + ` is not valid"}}`:                                 {404, "", "key [key] is not valid"},
		`{"error":{"message":"` + long + `"}}`:                                                     {404, "", strings.Repeat("é", 100)},
		`<html>`:                                                                                   {Status: 404},
		`[]`:                                                                                       {Status: 404},
		``:                                                                                         {Status: 404},
	} {
		c := client(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, body)
		})
		_, err := c.Interaction(t.Context(), "v1_x")
		var got *StatusError
		if !errors.As(err, &got) || *got != want || Status(err) != 404 || strings.Contains(err.Error(), testKey) {
			t.Errorf("body %.60s: got %+v", body, got)
		}
	}
	if Status(errors.New("x")) != 0 || Status(nil) != 0 {
		t.Error("Status is not 0 for an error that is no StatusError")
	}
}

// A redirect is an error: Go would send the header with the key to the new host.
func TestNoRedirect(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	c := client(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, http.StatusFound) })
	if _, err := c.Interaction(t.Context(), "v1_x"); Status(err) != http.StatusFound {
		t.Error(err)
	}
}

// A proxy from the environment would see the key of a call to a plain HTTP loopback
// API.
func TestNoProxy(t *testing.T) {
	transport := Open(&url.URL{Scheme: "https", Host: "example"}, nil, nil).http.Transport.(*http.Transport)
	if transport.Proxy != nil {
		t.Error("a proxy may be used")
	}
}

func TestBounds(t *testing.T) {
	c := client(t, func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, `{"operations":[],"x":"`)
		chunk := strings.Repeat("x", 1<<20)
		for range 17 {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
		io.WriteString(w, `"}`)
	})
	if _, err := c.Batches(t.Context(), ""); !errors.Is(err, ErrTooLarge) {
		t.Error(err)
	}
	if c.Calls() != 1 {
		t.Errorf("%d calls, want 1", c.Calls())
	}
}

func TestNotJSON(t *testing.T) {
	for _, body := range []string{"", "null is", "<html>", `{"operations":{}}`} {
		c := client(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, body) })
		if _, err := c.Batches(t.Context(), ""); err == nil || Status(err) != 0 {
			t.Errorf("answer %q: Batches returned error %v", body, err)
		}
	}
}

func TestNoKey(t *testing.T) {
	c := Open(&url.URL{Scheme: "http", Host: "127.0.0.1:1"}, keys{}, nil)
	if _, err := c.Webhooks(t.Context()); err == nil || !strings.Contains(err.Error(), "secret manager does not answer") || c.Calls() != 0 {
		t.Error(err)
	}
}

// silent is a transport to a server that never answers.
type silent struct{ attempts int }

func (s *silent) RoundTrip(r *http.Request) (*http.Response, error) {
	s.attempts++
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// A call without an answer fails after callTimeout, and is not repeated.
func TestTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s silent
		c := Open(&url.URL{Scheme: "http", Host: "127.0.0.1:1"}, keys{testKey}, &s)
		start := time.Now()
		if _, err := c.Interaction(t.Context(), "v1_x"); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		if took := time.Since(start); took != callTimeout || s.attempts != 1 {
			t.Errorf("the call took %v and %d attempts", took, s.attempts)
		}
	})
}
