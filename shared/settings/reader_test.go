package settings

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

const name = "SETTINGS_TEST_SETTING"

// wantFault checks that there is exactly one fault, of this variable, or none.
func wantFault(t *testing.T, r *Reader, want bool) {
	t.Helper()
	err := r.Err()
	if (err != nil) != want {
		t.Errorf("fault: %v, want one: %v", err, want)
	}
	if err != nil && !strings.HasPrefix(err.Error(), name+": ") {
		t.Errorf("%v does not name the variable", err)
	}
}

func TestString(t *testing.T) {
	var r Reader
	if got := r.String("SETTINGS_TEST_UNSET", "fallback"); got != "fallback" {
		t.Errorf("unset: %q", got)
	}
	for value, want := range map[string]string{
		"x": "x", " x y\n": "x y", "": "fallback", " \t\n": "fallback",
	} {
		t.Setenv(name, value)
		if got := r.String(name, "fallback"); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
	}
	wantFault(t, &r, false)
}

// With a Lookup, no setting comes from the process's environment.
func TestLookup(t *testing.T) {
	t.Setenv(name, "of the environment")
	r := Reader{Lookup: func(asked string) string { return map[string]string{name + "_2": " x "}[asked] }}
	if got := r.String(name, "fallback") + r.String(name+"_2", ""); got != "fallbackx" {
		t.Errorf("read %q", got)
	}
	wantFault(t, &r, false)
}

func TestRequired(t *testing.T) {
	for value, want := range map[string]string{"x": "x", " x ": "x", "": "", "  ": ""} {
		t.Setenv(name, value)
		var r Reader
		if got := r.Required(name); got != want {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
		wantFault(t, &r, want == "")
	}
}

func TestProject(t *testing.T) {
	for value, good := range map[string]bool{
		"a-project": true, "abcdef": true, "a12345": true, "a" + strings.Repeat("1", 29): true, "example.com:a-project": true, "123456789012": true, " a-project ": true,
		"": false, "abcde": false, "a" + strings.Repeat("1", 30): false, "1-project": false, "-a-project": false, "a-project-": false, "A-Project": false,
		"a_project": false, "a/project": false, "a project": false, "a-pröject": false, "example.com:": false, "exa/mple:a-project": false,
	} {
		t.Setenv(name, value)
		var r Reader
		if got := r.project(name); got != strings.TrimSpace(value) {
			t.Errorf("%q: %q", value, got)
		}
		wantFault(t, &r, !good)
	}
}

// A deployed function rejects the variables that direct clients to emulators.
func TestRefuseEmulators(t *testing.T) {
	for _, setting := range os.Environ() { // the environment of the tests may contain emulators
		if name, _, _ := strings.Cut(setting, "="); strings.HasSuffix(name, "_EMULATOR_HOST") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("A_EMULATOR_HOST", "127.0.0.1:1")
	t.Setenv("B_EMULATOR_HOST", "")
	for service, want := range map[string]string{"": "", "geminihook-static": "A_EMULATOR_HOST: set in a deployed function: remove it"} {
		t.Setenv("K_SERVICE", service)
		var r Reader
		r.refuseEmulators()
		got := ""
		if err := r.Err(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("K_SERVICE=%q: %q, want %q", service, got, want)
		}
	}
}

func TestList(t *testing.T) {
	for value, want := range map[string][]string{
		"": nil, ",": nil, " , ,": nil, "a": {"a"}, "a,b": {"a", "b"}, " a , ,b c,": {"a", "b c"},
	} {
		t.Setenv(name, value)
		var r Reader
		if got := r.List(name); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", value, got, want)
		}
		wantFault(t, &r, false)
	}
}

func TestBool(t *testing.T) {
	for value, want := range map[string]bool{"true": true, "1": true, " TRUE ": true, "false": false, "0": false} {
		for _, fallback := range []bool{true, false} {
			t.Setenv(name, value)
			var r Reader
			if got := r.Bool(name, fallback); got != want {
				t.Errorf("%q: %v", value, got)
			}
			wantFault(t, &r, false)
		}
	}
	for _, fallback := range []bool{true, false} {
		t.Setenv(name, "")
		var r Reader
		if got := r.Bool(name, fallback); got != fallback {
			t.Errorf("unset: %v, want %v", got, fallback)
		}
		wantFault(t, &r, false)
		for _, value := range []string{"yes", "2", "tru", "true true"} {
			t.Setenv(name, value)
			var r Reader
			if got := r.Bool(name, fallback); got != fallback {
				t.Errorf("%q: %v, want %v", value, got, fallback)
			}
			wantFault(t, &r, true)
		}
	}
}

func TestDuration(t *testing.T) {
	const fallback, least, most = 5 * time.Minute, time.Minute, time.Hour
	for value, want := range map[string]time.Duration{
		"": fallback, "1m": least, "60s": least, "1h": most, " 90s ": 90 * time.Second,
	} {
		t.Setenv(name, value)
		var r Reader
		if got := r.Duration(name, fallback, least, most); got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
		wantFault(t, &r, false)
	}
	for _, value := range []string{"59.999s", "1h1ns", "-5m", "0", "300", "5 m", "5 minutes", "5d", "x", "9999999h"} {
		t.Setenv(name, value)
		var r Reader
		r.Duration(name, fallback, least, most)
		wantFault(t, &r, true)
	}
}

func TestParse(t *testing.T) {
	bad := errors.New("bad")
	parse := func(text string) (int, error) {
		if text == "bad" {
			return 0, bad
		}
		return len(text), nil
	}
	for value, want := range map[string]int{"": 0, " abc ": 3, "bad": 0} {
		t.Setenv(name, value)
		var r Reader
		if got := Parse(&r, name, parse); got != want {
			t.Errorf("%q: %d, want %d", value, got, want)
		}
		wantFault(t, &r, value == "bad")
		if value == "bad" && !errors.Is(r.Err(), bad) {
			t.Errorf("%v is not the parser's error", r.Err())
		}
	}
}

// All faults are reported at once.
func TestAllFaultsAtOnce(t *testing.T) {
	t.Setenv("SETTINGS_TEST_A", "")
	t.Setenv("SETTINGS_TEST_B", "maybe")
	t.Setenv("SETTINGS_TEST_C", "long")
	t.Setenv("SETTINGS_TEST_GOOD", "true")
	var r Reader
	r.Required("SETTINGS_TEST_A")
	r.Bool("SETTINGS_TEST_B", true)
	r.Bool("SETTINGS_TEST_GOOD", true)
	r.Duration("SETTINGS_TEST_C", 1, 1, 1)
	r.Fault("SETTINGS_TEST_D", errors.Join(errors.New("too long"), errors.New("not to be had with SETTINGS_TEST_A")))
	lines := strings.Split(r.Err().Error(), "\n")
	if len(lines) != 5 {
		t.Fatalf("%d lines, want 5: %q", len(lines), lines)
	}
	for i, name := range []string{"SETTINGS_TEST_A: ", "SETTINGS_TEST_B: ", "SETTINGS_TEST_C: ", "SETTINGS_TEST_D: too long", "SETTINGS_TEST_D: not"} {
		if !strings.HasPrefix(lines[i], name) {
			t.Errorf("line %d: %s", i, lines[i])
		}
	}
}

// FuzzReader checks the properties on which the functions rely, for any text: a value
// is within its bounds or a fault, and an empty text means the default.
func FuzzReader(f *testing.F) {
	f.Add("5m")
	f.Add("true")
	f.Add(" a,, b ")
	f.Add("-9223372036854775808ns")
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "\x00") {
			t.Skip("an environment variable cannot contain NUL")
		}
		t.Setenv(name, text)
		unset := strings.TrimSpace(text) == ""

		var r Reader
		d := r.Duration(name, 5*time.Minute, time.Minute, time.Hour)
		if r.Err() == nil && (d < time.Minute || d > time.Hour || unset && d != 5*time.Minute) {
			t.Errorf("%q is %v", text, d)
		}
		wantFault(t, &r, r.Err() != nil)

		for _, fallback := range []bool{true, false} {
			var r Reader
			_, parseErr := strconv.ParseBool(strings.TrimSpace(text))
			if got := r.Bool(name, fallback); got != fallback && parseErr != nil {
				t.Errorf("%q is %v, want the default", text, got)
			}
			wantFault(t, &r, parseErr != nil && !unset)
		}

		r = Reader{}
		if got := r.Required(name); got != strings.TrimSpace(text) {
			t.Errorf("%q is %q", text, got)
		}
		wantFault(t, &r, unset)
		for _, part := range r.List(name) {
			if part == "" || strings.Contains(part, ",") || part != strings.TrimSpace(part) || !strings.Contains(text, part) {
				t.Errorf("%q contains %q", text, part)
			}
		}
	})
}
