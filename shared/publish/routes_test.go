package publish_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/geminihook/geminihook/shared/publish"
)

func TestRoutes(t *testing.T) {
	long := "a" + strings.Repeat("b", 254)
	for text, want := range map[string]publish.Routes{
		"*=all": {"*": "projects/p/topics/all"},
		"batch=geminihook-batch,*=geminihook-other":     {"batch": "projects/p/topics/geminihook-batch", "*": "projects/p/topics/geminihook-other"},
		"video.generated=clips, *=all":                  {"video.generated": "projects/p/topics/clips", "*": "projects/p/topics/all"},
		"\n a.b_2.c=abc ,\n *=all\n":                    {"a.b_2.c": "projects/p/topics/abc", "*": "projects/p/topics/all"},
		"*=projects/q/topics/all":                       {"*": "projects/q/topics/all"},
		"*=projects/example.com:q/topics/all":           {"*": "projects/example.com:q/topics/all"},
		"*=A.b_c~d%e+f-9":                               {"*": "projects/p/topics/A.b_c~d%e+f-9"},
		"*=abc":                                         {"*": "projects/p/topics/abc"},
		"*=" + long:                                     {"*": "projects/p/topics/" + long},
		"batch=same,video=same,interaction=same,*=same": {"batch": "projects/p/topics/same", "video": "projects/p/topics/same", "interaction": "projects/p/topics/same", "*": "projects/p/topics/same"},
	} {
		got, err := publish.RoutesIn("p")(text)
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
}

// Each of these is one fault, in otherwise good routes.
func TestRoutesThatAreWrong(t *testing.T) {
	for name, text := range map[string]string{
		"empty":                   "",
		"spaces":                  "  ",
		"no fallback":             "batch=all",
		"entry empty":             "*=all,",
		"no equals":               "*=all,batch",
		"no key":                  "*=all,=batch",
		"no topic":                "*=all,batch=",
		"fallback without topic":  "*=",
		"key in upper case":       "*=all,Batch=all",
		"space in a key":          "*=all,batch =all",
		"space in a topic":        "*=all,batch= all",
		"dot first":               "*=all,.batch=all",
		"dot last":                "*=all,batch.=all",
		"two dots":                "*=all,a..b=all",
		"star in a key":           "*=all,batch.*=all",
		"two stars":               "*=all,**=all",
		"key twice":               "*=all,batch=abc,batch=abc",
		"fallback twice":          "*=all,*=all",
		"topic too short":         "*=ab",
		"topic too long":          "*=a" + strings.Repeat("b", 255),
		"topic beginning wrong":   "*=1bc",
		"topic goog":              "*=google",
		"topic goog, full":        "*=projects/q/topics/google",
		"topic with a slash":      "*=a/b",
		"topic with a colon":      "*=abc:d",
		"topic not ASCII":         "*=äbc",
		"another collection":      "*=folders/q/topics/all",
		"another resource":        "*=projects/q/subscriptions/all",
		"full name without topic": "*=projects/q/topics/",
		"full name, no project":   "*=projects//topics/all",
		"full name, cut":          "*=projects/q/all",
		"full name, more":         "*=projects/q/topics/all/x",
		"full name, slash first":  "*=/projects/q/topics/all",
		"two equals":              "*=all=all",
		"newline in a topic":      "*=all\nx",
		"semicolons":              "batch=abc;*=all",
		"key not ASCII":           "*=all,bätch=all",
		"dash in a key":           "*=all,a-b=all",
		"newline in a key":        "*=all,a\nb=all",
		"newline behind a key":    "*=all,a\n=all",
	} {
		if routes, err := publish.RoutesIn("p")(text); err == nil {
			t.Errorf("%s: %q gave %v", name, text, routes)
		}
	}
}

func TestRoutesReportAllFaultsAtOnce(t *testing.T) {
	_, err := publish.RoutesIn("p")("nothing,Batch=all,video=1,batch=abc,batch=abd,x=google")
	if err == nil {
		t.Fatal("taken")
	}
	for _, about := range []string{`"nothing"`, `"Batch=all"`, `"1"`, `"batch"`, `"google"`, `"*"`} {
		if !strings.Contains(err.Error(), about) {
			t.Errorf("no word of %s in:\n%v", about, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 6 {
		t.Errorf("%d lines, want 6:\n%v", n, err)
	}
}

func TestTopic(t *testing.T) {
	routes := publish.Routes{"batch": "B", "batch.failed": "BF", "a.b.c": "ABC", "a": "A", "*": "other"}
	for eventType, want := range map[string]string{
		"batch":             "B",
		"batch.succeeded":   "B",
		"batch.failed":      "BF",
		"batch.failed.hard": "BF",
		"batch.failed.":     "BF",
		"batch.failedx":     "B",
		"batch.":            "B",
		"batches.failed":    "other",
		"Batch":             "other",
		"a.b":               "A",
		"a.b.c":             "ABC",
		"a.b.c.d.e":         "ABC",
		"a.b.cd":            "A",
		"a..b.c":            "A",
		".batch":            "other",
		".":                 "other",
		"...":               "other",
		"*":                 "other",
		"*.batch":           "other",
		"":                  "other",
		" batch":            "other",
		"batch failed":      "other",
		"video.generated":   "other",
		"\xff":              "other",
	} {
		if got := routes.Topic(eventType); got != want {
			t.Errorf("Topic(%q) = %s, want %s", eventType, got, want)
		}
	}
	if got := routes.Topic(strings.Repeat(".", 1024)); got != "other" {
		t.Errorf("a thousand dots: %s", got)
	}
}

// longest finds a route as the documentation says it, the slow way.
func longest(routes publish.Routes, eventType string) string {
	best := "*"
	for _, key := range slices.Sorted(maps.Keys(routes)) {
		if key != "*" && (eventType == key || strings.HasPrefix(eventType, key+".")) && (best == "*" || len(key) > len(best)) {
			best = key
		}
	}
	return routes[best]
}

func FuzzRoutes(f *testing.F) {
	f.Add("batch=geminihook-batch,video.generated=clips,*=geminihook-other", "video.generated.twice")
	f.Add("*=projects/q/topics/all", "*")
	f.Add("a=abc,a.b=abd,*=abe", "a.b.")
	f.Add("nothing", "")
	name := regexp.MustCompile(`^projects/[^/]+/topics/[A-Za-z][^/\s]{2,254}$`)
	f.Fuzz(func(t *testing.T, text, eventType string) {
		routes, err := publish.RoutesIn("p")(text)
		if err != nil {
			return
		}
		if routes["*"] == "" || len(routes) != strings.Count(text, ",")+1 {
			t.Errorf("%q gave %v", text, routes)
		}
		for key, topic := range routes {
			if !name.MatchString(topic) || strings.Contains(topic, "/goog") {
				t.Errorf("topic %q", topic)
			}
			for _, deeper := range []string{key, key + ".", key + ".x", key + "x", eventType} {
				if got, want := routes.Topic(deeper), longest(routes, deeper); got != want {
					t.Errorf("%v: Topic(%q) = %s, want %s", routes, deeper, got, want)
				}
			}
		}
	})
}
