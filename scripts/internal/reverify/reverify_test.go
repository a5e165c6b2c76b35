package reverify

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// An outage is a keyring whose keys are not available.
type outage struct{}

func (outage) Find(context.Context, func(webhook.SigningKey) bool) (bool, error) {
	return false, errors.New("down")
}

func key(t *testing.T) webhook.SigningKey {
	t.Helper()
	k, err := webhook.ParseSigningKey([]byte(webhooktest.NewSecret()))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// The result lists the steps that were passed and the names of the keys.
func TestVerify(t *testing.T) {
	first, second, foreign := key(t), key(t), key(t)
	names := map[webhook.SigningKey]string{first: "first", second: "second"}
	keys := &Keys[webhook.SigningKey]{Fixed[webhook.SigningKey]{first, second, second}, func(k webhook.SigningKey) string { return names[k] }}
	down := &Keys[webhook.SigningKey]{outage{}, keys.Name}
	body := []byte("{}")
	signed := func(k webhook.SigningKey, at time.Time) http.Header {
		return webhooktest.Header("msg_1", at, webhook.SignV1(k, "msg_1", webhooktest.Timestamp(at), body))
	}
	now := time.Now()
	for name, test := range map[string]struct {
		keys    *Keys[webhook.SigningKey]
		header  http.Header
		passed  int // of the five steps
		reason  webhook.Reason
		tried   []string
		matched string
	}{
		"accepted":    {keys, signed(second, now), 5, "", []string{"first", "second"}, "second"},
		"stale":       {keys, signed(first, now.Add(-time.Hour)), 4, webhook.TimestampOld, []string{"first"}, "first"},
		"another key": {keys, signed(foreign, now), 2, webhook.NoKeyMatches, []string{"first", "second"}, ""},
		"scheme":      {keys, webhooktest.Header("msg_1", now, "v1a,a"), 1, webhook.NoSignature, nil, ""},
		"no headers":  {keys, nil, 0, webhook.IDMissing, nil, ""},
		"no keys":     {down, signed(first, now), 2, "", nil, ""},
	} {
		r := (&Endpoint{Static: test.keys}).Verify(t.Context(), test.header, body)
		passed := 0
		for _, step := range Steps {
			if r.Passed(step) {
				passed++
			}
		}
		if passed != test.passed || r.Reason() != test.reason || !slices.Equal(r.Tried, test.tried) || r.Matched != test.matched {
			t.Errorf("%s: %+v, passed %d of %d steps, want %d", name, r, passed, len(Steps), test.passed)
		}
	}
}

// The URL token is checked after the method and before everything else.
func TestURLToken(t *testing.T) {
	token, err := webhook.ParseURLToken([]byte("a-url-token-of-the-test"))
	if err != nil {
		t.Fatal(err)
	}
	tokens := &Keys[webhook.URLToken]{Fixed[webhook.URLToken]{token}, func(webhook.URLToken) string { return "the one" }}
	check := func(text string) Answer {
		e := &Endpoint{Dynamic: &Keys[webhook.PublicKey]{}}
		return e.Receive(t.Context(), &Request{URL: &url.URL{RawQuery: "token=" + text}, Length: -1, Broken: true}, tokens)
	}
	if r := check("a-url-token-of-the-test"); r.Step != webhook.StepBody || r.Token.Matched != "the one" {
		t.Errorf("right token: %+v", r)
	}
	if r := check("another"); r.Reason() != webhook.URLTokenWrong || !slices.Equal(r.Token.Tried, []string{"the one"}) {
		t.Errorf("wrong token: %+v", r)
	}
	if r := check(""); r.Reason() != webhook.URLTokenMissing || r.Token.Tried != nil {
		t.Errorf("no token: %+v", r)
	}
}
