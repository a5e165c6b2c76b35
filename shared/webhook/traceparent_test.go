package webhook

import (
	"net/http"
	"regexp"
	"strings"
	"testing"
)

const someTraceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01" // the example in Trace Context

// grammar is that of Trace Context, section 3.2.2, for version 00, in its own words. An
// id of zeros is invalid besides.
var grammar = regexp.MustCompile(`\A00-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}\z`)

func wellFormed(text string) bool {
	ids := grammar.FindStringSubmatch(text)
	return ids != nil && ids[1] != strings.Repeat("0", 32) && ids[2] != strings.Repeat("0", 16)
}

// wantByGrammar checks that a traceparent is returned unchanged if the grammar has it,
// and dropped otherwise.
func wantByGrammar(t *testing.T, text string) {
	t.Helper()
	want := ""
	if wellFormed(text) {
		want = text
	}
	if got := traceparent(http.Header{"Traceparent": {text}}); got != want {
		t.Errorf("traceparent %q: %q, want %q", text, got, want)
	}
}

func TestTraceparent(t *testing.T) {
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	for name, tc := range map[string]struct {
		lines []string
		taken bool
	}{
		"sampled":              {[]string{someTraceparent}, true},
		"not sampled":          {[]string{"00-" + trace + "-" + parent + "-00"}, true},
		"random":               {[]string{"00-" + trace + "-" + parent + "-03"}, true},
		"flags to come":        {[]string{"00-" + trace + "-" + parent + "-ff"}, true},
		"one digit not zero":   {[]string{"00-00000000000000000000000000000001-0000000000000001-00"}, true},
		"absent":               {nil, false},
		"empty":                {[]string{""}, false},
		"twice":                {[]string{someTraceparent, someTraceparent}, false},
		"joined by a proxy":    {[]string{someTraceparent + ", " + someTraceparent}, false},
		"no trace":             {[]string{"00-00000000000000000000000000000000-" + parent + "-01"}, false},
		"no parent":            {[]string{"00-" + trace + "-0000000000000000-01"}, false},
		"upper case":           {[]string{strings.ToUpper(someTraceparent)}, false},
		"version 01":           {[]string{"01" + someTraceparent[2:]}, false},
		"version ff":           {[]string{"ff" + someTraceparent[2:]}, false},
		"more than version 00": {[]string{someTraceparent + "-00"}, false},
		"a digit too many":     {[]string{someTraceparent + "0"}, false},
		"no flags":             {[]string{"00-" + trace + "-" + parent}, false},
		"digits moved over":    {[]string{"00-" + trace + parent[:1] + "-" + parent[1:] + "-01"}, false},
		"blank behind":         {[]string{someTraceparent[:54] + " "}, false},
		"newline behind":       {[]string{someTraceparent + "\n"}, false},
	} {
		want := ""
		if tc.taken {
			want = tc.lines[0]
		}
		if got := traceparent(http.Header{"Traceparent": tc.lines}); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
		if len(tc.lines) == 1 {
			wantByGrammar(t, tc.lines[0])
		}
	}
}

// Every change of one byte is judged as the grammar judges it.
func TestTraceparentIsJudgedByTheGrammar(t *testing.T) {
	for i := range len(someTraceparent) + 1 {
		before := someTraceparent[:i]
		for c := range 256 {
			wantByGrammar(t, before+string([]byte{byte(c)})+someTraceparent[i:])
			if i < len(someTraceparent) {
				wantByGrammar(t, before+string([]byte{byte(c)})+someTraceparent[i+1:])
			}
		}
		if i < len(someTraceparent) {
			wantByGrammar(t, before+someTraceparent[i+1:])
		}
	}
}

// A request without the header, or with an ill-formed one, costs no memory.
func TestTraceparentAllocatesNothing(t *testing.T) {
	for _, h := range []http.Header{{}, {"Traceparent": {someTraceparent}}, {"Traceparent": {"00-x"}}} {
		if n := testing.AllocsPerRun(100, func() { traceparent(h) }); n != 0 {
			t.Errorf("%v: %v allocations", h, n)
		}
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(someTraceparent)
	f.Add("00-00000000000000000000000000000000-0000000000000000-00")
	f.Fuzz(wantByGrammar)
}
