package geminitest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

type client struct {
	t      *testing.T
	url    string
	client *http.Client
}

func serve(t *testing.T) (*API, client) {
	a := New("key")
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	t.Cleanup(a.Close)
	return a, client{t, server.URL + "/v1beta/webhooks", http.DefaultClient}
}

// call makes a call over the network, and returns the answer.
func (c client) call(method, path, body string) (int, map[string]any) {
	c.t.Helper()
	resp, err := c.do(method, path, body)
	if err != nil {
		c.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	answer := map[string]any{}
	if err := json.Unmarshal(text, &answer); err != nil {
		c.t.Fatalf("%s %s: %d, %q", method, path, resp.StatusCode, text)
	}
	return resp.StatusCode, answer
}

// ok makes a call that must succeed.
func (c client) ok(method, path, body string) map[string]any {
	c.t.Helper()
	code, answer := c.call(method, path, body)
	if code != 200 {
		c.t.Fatalf("%s %s: %d, %v", method, path, code, answer)
	}
	return answer
}

// refused makes a call that must fail with this status and with these words in its
// message.
func (c client) refused(method, path, body string, code int, words ...string) {
	c.t.Helper()
	got, answer := c.call(method, path, body)
	for _, word := range words {
		if got != code || !strings.Contains(fmt.Sprint(answer["error"]), word) {
			c.t.Errorf("%s %s %s: %d %v, want %d and %q", method, path, body, got, answer, code, word)
		}
	}
}

const good = `{"uri":"https://example.com/hook","subscribed_events":["batch.succeeded"]}`

// TestAsObserved checks the observed behaviour of the real API that one would not
// expect.
func TestAsObserved(t *testing.T) {
	_, c := serve(t)
	made := c.ok("POST", "", good)
	id := "/" + made["id"].(string)
	secret := made["new_signing_secret"].(string)
	if len(id) != 37 || !strings.HasPrefix(secret, "whsec_") || made["state"] != "enabled" || made["create_time"] != nil {
		t.Errorf("created %v", made)
	}
	got := c.ok("GET", id, "")
	shown := got["signing_secrets"].([]any)[0].(map[string]any)
	if got["new_signing_secret"] != nil || shown["truncated_secret"] != "whsec_..."+secret[len(secret)-4:] || shown["expire_time"] != nil {
		t.Errorf("got %v", got)
	}
	c.refused("POST", "", `{"uri":"https://example.com","subscribedEvents":["batch.succeeded"]}`, 400, "Unknown parameter 'subscribedEvents'", "Did you mean 'subscribed_events'?")
	c.refused("POST", "", `{"uri":"https://example.com","subscribed_events":["batch.cancelled"]}`, 400, Events...)
	c.refused("POST", "", `{"uri":"http://example.com","subscribed_events":["batch.failed"]}`, 400, "https")
	c.refused("POST", "", `{"uri":"https://example.com"}`, 400, "required")
	c.refused("POST", id+":rotateSigningSecret", `{"revocation_behavior":"REVOKE_PREVIOUS_SECRETS_AFTER_H24"}`, 400,
		"'revoke_previous_secrets_after_h24', 'revoke_previous_secrets_immediately'")
	c.refused("POST", id+":rotateSigningSecret", `{"revocationBehavior":"x"}`, 400, "Did you mean 'revocation_behavior'?")
	c.refused("GET", "/nobody", "", 404, "not found")

	changed := c.ok("PATCH", id+"?update_mask=uri", `{"state":"disabled"}`)
	if changed["state"] != "disabled" || changed["uri"] != "https://example.com/hook" {
		t.Errorf("update_mask was applied: %v", changed)
	}
	if answer := c.ok("POST", id+":ping", ""); len(answer) != 0 {
		t.Errorf("ping answers %v", answer)
	}
	if answer := c.ok("DELETE", id, ""); len(answer) != 0 {
		t.Errorf("delete answers %v", answer)
	}
	if answer := c.ok("GET", "", ""); len(answer) != 0 {
		t.Errorf("an empty list is %v", answer)
	}
}

func TestKey(t *testing.T) {
	a, c := serve(t)
	a.Key = "another"
	c.refused("POST", "", good, 400, "API key not valid")
	if len(a.IDs()) != 0 {
		t.Error("a rejected call created a webhook")
	}
}

func TestPages(t *testing.T) {
	a, c := serve(t)
	for range 53 {
		a.Add("https://example.com/hook")
	}
	var ids []string
	for token, pages := "", 0; ; pages++ {
		answer := c.ok("GET", "?page_token="+token+"&nonsense=1", "")
		for _, w := range answer["webhooks"].([]any) {
			ids = append(ids, w.(map[string]any)["id"].(string))
		}
		if answer["next_page_token"] == nil {
			if pages != 1 {
				t.Errorf("%d pages", pages+1)
			}
			break
		}
		token = answer["next_page_token"].(string)
	}
	if !slices.Equal(ids, a.IDs()) {
		t.Errorf("listed %d of %d", len(ids), len(a.IDs()))
	}
}

// Secrets are rotated and revoked as in the real API. The official library of
// Standard Webhooks verifies the signatures.
func TestRotation(t *testing.T) {
	a, c := serve(t)
	now := time.Now()
	a.Now = func() time.Time { return now }
	var header http.Header
	var body []byte
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		header = r.Header
		body, _ = io.ReadAll(r.Body)
	}))
	defer receiver.Close()
	id := a.Add(receiver.URL)
	first := a.Secrets(id)[0]
	second := c.ok("POST", "/"+id+":rotateSigningSecret", "{}")["secret"].(string)
	if !slices.Equal(a.Secrets(id), []string{second, first}) {
		t.Error("not both secrets are valid after a rotation")
	}
	for by, signers := range map[Signing][]string{All: {first, second}, Newest: {second}, Oldest: {first}} {
		if status, err := a.Deliver(t.Context(), id, []byte("hello"), by); err != nil || status != 200 {
			t.Fatalf("answered %d, %v", status, err)
		}
		for _, secret := range []string{first, second} {
			library, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				t.Fatal(err)
			}
			if err := library.Verify(body, header); (err == nil) != slices.Contains(signers, secret) {
				t.Errorf("signed by %d: %v", by, err)
			}
		}
	}
	now = now.Add(24 * time.Hour)
	if !slices.Equal(a.Secrets(id), []string{second}) {
		t.Error("the old secret is still valid after 24 hours")
	}
	third := c.ok("POST", "/"+id+":rotateSigningSecret", `{"revocation_behavior":"revoke_previous_secrets_immediately"}`)["secret"].(string)
	if !slices.Equal(a.Secrets(id), []string{third}) {
		t.Error("the old secrets are not revoked")
	}
}

// No delivery leaves this machine, and a disabled webhook gets no delivery.
func TestDeliverOnlyToThisMachine(t *testing.T) {
	a, _ := serve(t)
	id := a.Add("https://192.0.2.1/hook")
	if _, err := a.Deliver(t.Context(), id, nil, All); err == nil || !strings.Contains(err.Error(), "not on this machine") {
		t.Errorf("delivered to another machine: %v", err)
	}
	id = a.Add("http://127.0.0.1:1")
	a.Disable(id)
	if _, err := a.Deliver(t.Context(), id, nil, All); err == nil || !strings.Contains(err.Error(), "disabled_due") {
		t.Errorf("delivered although disabled: %v", err)
	}
}

func TestFaults(t *testing.T) {
	a, c := serve(t)
	a.Fail(Create, Fault{Status: 429}, Fault{Status: 500, Done: true})
	c.refused("POST", "", good, 429, "fault")
	if len(a.IDs()) != 0 {
		t.Error("a call that was answered with a fault took effect")
	}
	c.refused("POST", "", good, 500, "fault")
	if len(a.IDs()) != 1 {
		t.Error("a call with a lost reply took no effect")
	}
	c.ok("POST", "", good)
	if calls := a.Calls(); !slices.Equal(calls, []string{Create, Create, Create}) {
		t.Errorf("calls %v", calls)
	}
}
