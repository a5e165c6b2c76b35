package hostile

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"github.com/geminihook/geminihook/scripts/geminihook/delivery"
	"github.com/geminihook/geminihook/scripts/internal/commandtest"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

func TestMain(m *testing.M) { commandtest.Main(m) }

// geminihook's own receiver answers every case as expected, and publishes each accepted
// delivery once.
func TestHostile(t *testing.T) {
	home := commandtest.NewHome(t)
	s := home.Serve(t)
	got := home.Run(t, "", "hostile", "--json")
	got.Check(t, 0)
	accepted := 0
	for _, v := range verdicts(t, got.Stdout) {
		if slices.Contains(v.Got, http.StatusNoContent) {
			accepted++
		}
	}
	published := make(map[string]bool)
	rest, _ := s.Stop()
	for _, e := range rest {
		key := e.Attributes["ce-source"] + " " + e.Attributes["ce-id"]
		if published[key] {
			t.Errorf("%s was published twice", key)
		}
		published[key] = true
	}
	if len(published) != accepted {
		t.Errorf("%d deliveries published, want %d: the number of accepted cases", len(published), accepted)
	}
}

type verdictLine struct {
	Case      string
	Want, Got []int
	OK        bool
}

func verdicts(t *testing.T, output string) (all []verdictLine) {
	t.Helper()
	for line := range strings.Lines(output) {
		var v verdictLine
		if err := json.Unmarshal([]byte(line), &v); err != nil || v.Case == "" || len(v.Got) == 0 {
			t.Fatalf("%v: %s", err, line)
		}
		all = append(all, v)
	}
	return all
}

// A receiver that accepts everything fails with --exact.
func TestHostileToAReceiverThatChecksNothing(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusNoContent)
	}))
	defer receiver.Close()
	home := commandtest.NewHome(t)
	got := home.Run(t, webhooktest.NewSecret(), "hostile", "--exact", "--url", receiver.URL, "--secret-file", "-")
	got.Check(t, 1, "were not answered as expected:\n", "  v1: GET\n", "  v1: 6 minutes old\n", "  v1: one bit of the body flipped\n",
		"the answer should have been 401", "ok     static   v1   genuine")

	got = home.Run(t, webhooktest.NewSecret(), "hostile", "--exact", "--json", "--url", receiver.URL, "--secret-file", "-")
	got.Check(t, 1)
	for _, v := range verdicts(t, got.Stdout) {
		if want := v.Want[0] == http.StatusNoContent; v.OK != want {
			t.Errorf("%s: ok %v, want %v", v.Case, v.OK, want)
		}
	}
}

// A receiver made with the reference library passes without --exact, which leaves out
// geminihook's own rules. With --exact it fails.
func TestHostileToAnyReceiver(t *testing.T) {
	secret := webhooktest.NewSecret()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	receiver := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil {
			err = verifier.Verify(body, r.Header)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusForbidden)
		}
	}))
	defer receiver.Close()
	home := commandtest.NewHome(t)
	home.Run(t, secret, "hostile", "--url", receiver.URL, "--secret-file", "-").Check(t, 0, "cases were answered as expected", "another body")
	home.Run(t, secret, "hostile", "--exact", "--url", receiver.URL, "--secret-file", "-").Check(t, 1, "v1: GET", "should have been 204")
}

// A receiver that accepts everything fails without --exact, too.
func TestHostileToAnyReceiverThatChecksNothing(t *testing.T) {
	receiver := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer receiver.Close()
	got := commandtest.NewHome(t).Run(t, webhooktest.NewSecret(), "hostile", "--url", receiver.URL, "--secret-file", "-")
	got.Check(t, 1, "  v1: one bit of the body flipped\n", "the answer should have been 4xx", "ok     static   v1   genuine")
}

// Case names are unique within a scheme, because the summary identifies a case by them.
func TestCasesAreNamed(t *testing.T) {
	for _, scheme := range delivery.Schemes {
		names := make(map[string]bool)
		for _, c := range casesOf(scheme) {
			if names[c.name] || c.name == "" || c.why == "" || len(c.want) == 0 {
				t.Errorf("%s: %q: duplicate name, or a field is missing", scheme, c.name)
			}
			names[c.name] = true
		}
	}
}
