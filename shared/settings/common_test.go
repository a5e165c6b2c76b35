package settings

import (
	"errors"
	"strings"
	"testing"
	"time"
)

// valid sets all required settings to valid values, and unsets the others.
func valid(t *testing.T) {
	t.Helper()
	for name, value := range map[string]string{
		"GOOGLE_CLOUD_PROJECT": "a-project", "ROUTES": "*=geminihook-other", "FIRESTORE_DATABASE": "", "FIRESTORE_COLLECTION": "",
		"TIMESTAMP_TOLERANCE": "", "RECORD_RETENTION": "", "K_SERVICE": "",
		"FIRESTORE_EMULATOR_HOST": "127.0.0.1:1", "PUBSUB_EMULATOR_HOST": "127.0.0.1:1",
	} {
		t.Setenv(name, value)
	}
}

func TestCommon(t *testing.T) {
	valid(t)
	var r Reader
	got := r.Common()
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	if got.Project != "a-project" || got.Database != "(default)" || got.Collection != "deliveries" ||
		got.Routes["*"] != "projects/a-project/topics/geminihook-other" ||
		got.Tolerance != 5*time.Minute || got.Retention != 72*time.Hour {
		t.Errorf("%+v", got)
	}
}

// A value at its bound is valid. A value beyond it is a fault of that variable alone.
func TestCommonBounds(t *testing.T) {
	for _, test := range []struct {
		name, good, bad string
		with            string // TIMESTAMP_TOLERANCE
	}{
		{name: "GOOGLE_CLOUD_PROJECT", good: "another-project", bad: "a_project"},
		{name: "FIRESTORE_DATABASE", good: "hooks", bad: "no"},
		{name: "FIRESTORE_COLLECTION", good: "seen", bad: "a/b"},
		{name: "ROUTES", good: "*=projects/p/topics/t-1", bad: "batch=geminihook-batch"},
		{name: "TIMESTAMP_TOLERANCE", good: "1m", bad: "59s"},
		{name: "TIMESTAMP_TOLERANCE", good: "1h", bad: "61m"},
		{name: "RECORD_RETENTION", good: "24h5m", bad: "24h4m59s"},
		{name: "RECORD_RETENTION", good: "25h", bad: "24h59m59s", with: "1h"},
		{name: "RECORD_RETENTION", good: "8760h", bad: "8760h1s"},
	} {
		t.Run(test.name, func(t *testing.T) {
			valid(t)
			if test.with != "" {
				t.Setenv("TIMESTAMP_TOLERANCE", test.with)
			}
			t.Setenv(test.name, test.good)
			var r Reader
			r.Common()
			if err := r.Err(); err != nil {
				t.Errorf("%s=%s: %v", test.name, test.good, err)
			}
			t.Setenv(test.name, test.bad)
			r = Reader{}
			r.Common()
			if err := r.Err(); err == nil || strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), test.name+": ") {
				t.Errorf("%s=%s: %v", test.name, test.bad, err)
			}
		})
	}
}

// A deployed function rejects the variables that direct clients to emulators.
func TestCommonRefusesEmulators(t *testing.T) {
	valid(t)
	t.Setenv("K_SERVICE", "geminihook-static")
	var r Reader
	r.Common()
	for _, name := range []string{"FIRESTORE_EMULATOR_HOST: ", "PUBSUB_EMULATOR_HOST: "} {
		if err := r.Err(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

func TestOpen(t *testing.T) {
	valid(t)
	var r Reader
	c := r.Common()
	c.Retention = 30 * time.Hour
	o, err := c.Open(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if o.Ledger.Retention != c.Retention || o.Publisher == nil || len(o.Warm()) != 2 {
		t.Errorf("%+v", o)
	}
	down := errors.New("a later step failed")
	o.CloseIf(&down)
	if err := o.Ledger.Close(); err == nil {
		t.Error("the ledger is open after CloseIf")
	}
}
