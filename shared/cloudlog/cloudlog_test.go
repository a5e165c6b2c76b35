package cloudlog_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/cloudlog"
)

// lines decodes the log, which has one line of JSON for each record.
func lines(t *testing.T, out *bytes.Buffer) []map[string]any {
	t.Helper()
	if out.Len() > 0 && !strings.HasSuffix(out.String(), "\n") {
		t.Errorf("no newline at the end of %q", out)
	}
	var all []map[string]any
	for line := range strings.Lines(out.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(fields["time"])); err != nil {
			t.Errorf("time: %v", err)
		}
		delete(fields, "time")
		all = append(all, fields)
	}
	return all
}

func TestSeverities(t *testing.T) {
	var out bytes.Buffer
	log := cloudlog.New(&out)
	log.Debug("not logged")
	log.Info("a")
	log.Warn("b")
	log.Error("c")
	want := []map[string]any{
		{"severity": "INFO", "message": "a"},
		{"severity": "WARNING", "message": "b"},
		{"severity": "ERROR", "message": "c"},
	}
	if got := lines(t, &out); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// A record is one line, with any content.
func TestOneLine(t *testing.T) {
	for name, text := range map[string]string{
		"newline":          "a\nb",
		"return":           "a\r\nb",
		"quote":            `a"b`,
		"another record":   "a\n{\"severity\":\"ERROR\"}\n",
		"line separator":   "a\u2028b",
		"NUL":              "a\x00b",
		"escape sequence":  "\x1b[31mred",
		"a great deal":     strings.Repeat("x", 1<<16),
		"markup":           "<script>&",
		"closing brackets": `}}]"`,
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			cloudlog.New(&out).Error(text, "attr", text, "error", errors.New(text))
			want := []map[string]any{{"severity": "ERROR", "message": text, "attr": text, "error": text}}
			if got := lines(t, &out); !reflect.DeepEqual(got, want) {
				t.Errorf("got  %.300v\nwant %.300v", got, want)
			}
			if strings.Count(out.String(), "\n") != 1 {
				t.Error("more than one line")
			}
		})
	}
	var out bytes.Buffer
	cloudlog.New(&out).Info("a\xffb", "attr", "\xff")
	if got := lines(t, &out); len(got) != 1 || got[0]["message"] != "a\ufffdb" {
		t.Errorf("not UTF-8: %v", got)
	}
}

// Only slog's top-level fields are renamed, not attributes with the same names in
// groups.
func TestGroups(t *testing.T) {
	var out bytes.Buffer
	log := cloudlog.New(&out)
	log.Info("m", slog.Group("g", "level", "x", "msg", "y"))
	log.With("a", 1).WithGroup("g").Info("m", "msg", "y")
	want := []map[string]any{
		{"severity": "INFO", "message": "m", "g": map[string]any{"level": "x", "msg": "y"}},
		{"severity": "INFO", "message": "m", "a": 1.0, "g": map[string]any{"msg": "y"}},
	}
	if got := lines(t, &out); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

const (
	traceID = "0af7651916cd43dd8448eb211c80319c"
	trace   = "projects/p/traces/" + traceID
)

// traced returns the attributes of a line logged within a request with these headers.
func traced(t *testing.T, h http.Header) map[string]any {
	t.Helper()
	var out bytes.Buffer
	log := cloudlog.New(&out)
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header = h
	cloudlog.Trace("p", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		log.InfoContext(r.Context(), "m", "a", 1)
	})).ServeHTTP(httptest.NewRecorder(), r)
	all := lines(t, &out)
	if len(all) != 1 {
		t.Fatalf("%d lines", len(all))
	}
	for name, want := range map[string]any{"severity": "INFO", "message": "m", "a": 1.0} {
		if all[0][name] != want {
			t.Errorf("%s = %v", name, all[0][name])
		}
		delete(all[0], name)
	}
	return all[0]
}

func TestTrace(t *testing.T) {
	both := map[string]any{"logging.googleapis.com/trace": trace, "logging.googleapis.com/spanId": "b7ad6b7169203331"}
	traceAlone := map[string]any{"logging.googleapis.com/trace": trace}
	none := map[string]any{}
	const parent, legacy = "Traceparent", "X-Cloud-Trace-Context"
	for name, test := range map[string]struct {
		header http.Header
		want   map[string]any
	}{
		"none":                    {http.Header{}, none},
		"traceparent":             {http.Header{parent: {"00-" + traceID + "-b7ad6b7169203331-01"}}, both},
		"not sampled":             {http.Header{parent: {"00-" + traceID + "-b7ad6b7169203331-00"}}, both},
		"of a later version":      {http.Header{parent: {"01-" + traceID + "-b7ad6b7169203331-01-more"}}, both},
		"legacy":                  {http.Header{legacy: {traceID + "/13235353014750950193;o=1"}}, both},
		"legacy without span":     {http.Header{legacy: {traceID}}, traceAlone},
		"legacy, small span":      {http.Header{legacy: {traceID + "/1"}}, map[string]any{"logging.googleapis.com/trace": trace, "logging.googleapis.com/spanId": "0000000000000001"}},
		"legacy, span overflows":  {http.Header{legacy: {traceID + "/18446744073709551616"}}, traceAlone},
		"legacy, span no number":  {http.Header{legacy: {traceID + "/x;o=1"}}, traceAlone},
		"both, traceparent first": {http.Header{parent: {"00-" + traceID + "-b7ad6b7169203331-01"}, legacy: {strings.Repeat("1", 32) + "/1"}}, both},
		"traceparent broken":      {http.Header{parent: {"00-x"}, legacy: {traceID}}, traceAlone},
		"upper case":              {http.Header{parent: {strings.ToUpper("00-" + traceID + "-b7ad6b7169203331-01")}}, none},
		"too short":               {http.Header{parent: {"00-" + traceID[1:] + "-b7ad6b7169203331-01"}}, none},
		"too long":                {http.Header{parent: {"00-" + traceID + "0-b7ad6b7169203331-01"}}, none},
		"something before":        {http.Header{parent: {" 00-" + traceID + "-b7ad6b7169203331-01"}}, none},
		"JSON in the trace":       {http.Header{legacy: {`"},"severity":"EMERGENCY"`}}, none},
		"newline in the trace":    {http.Header{legacy: {"\n" + traceID}}, none},
		"path in the trace":       {http.Header{legacy: {"../../other/traces/" + traceID}}, none},
		"a megabyte":              {http.Header{parent: {strings.Repeat("0", 1<<20)}, legacy: {strings.Repeat("g", 1<<20)}}, none},
	} {
		t.Run(name, func(t *testing.T) {
			if got := traced(t, test.header); !reflect.DeepEqual(got, test.want) {
				t.Errorf("got  %v\nwant %v", got, test.want)
			}
		})
	}
}

func TestExecutionID(t *testing.T) {
	for id, taken := range map[string]bool{
		"xk3v2x9q1abc":           true,
		"A-b_9":                  true,
		strings.Repeat("x", 64):  true,
		strings.Repeat("x", 65):  false,
		"":                       false,
		"a b":                    false,
		"a\nb":                   false,
		"a\n":                    false,
		`"},"severity":"ERROR"`:  false,
		"ä":                      false,
		"../x":                   false,
		strings.Repeat("x", 1e6): false,
	} {
		want := map[string]any{}
		if taken {
			want["logging.googleapis.com/labels"] = map[string]any{"execution_id": id}
		}
		if got := traced(t, http.Header{"Function-Execution-Id": {id}}); !reflect.DeepEqual(got, want) {
			t.Errorf("%.40q: %.200v, want %v", id, got, want)
		}
	}
}

// A logger made by With also logs the trace. A context without a request has no
// trace.
func TestTraceOfDerivedLoggers(t *testing.T) {
	var out bytes.Buffer
	log := cloudlog.New(&out)
	r := httptest.NewRequest(http.MethodPost, "/", nil)
	r.Header.Set("X-Cloud-Trace-Context", traceID)
	cloudlog.Trace("p", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		log.With("b", 2).InfoContext(r.Context(), "m")
		log.InfoContext(context.Background(), "n")
	})).ServeHTTP(httptest.NewRecorder(), r)
	want := []map[string]any{
		{"severity": "INFO", "message": "m", "b": 2.0, "logging.googleapis.com/trace": trace},
		{"severity": "INFO", "message": "n"},
	}
	if got := lines(t, &out); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// Concurrent requests log their own traces, and whole lines.
func TestRequestsSideBySide(t *testing.T) {
	var out bytes.Buffer
	log := cloudlog.New(&out)
	handler := cloudlog.Trace("p", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		for range 20 {
			log.InfoContext(r.Context(), "m", "path", r.URL.Path)
		}
	}))
	var all sync.WaitGroup
	for i := range 10 {
		all.Go(func() {
			id := fmt.Sprintf("%032x", i)
			r := httptest.NewRequest(http.MethodPost, "/"+id, nil)
			r.Header.Set("X-Cloud-Trace-Context", id)
			handler.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
	all.Wait()
	got := lines(t, &out)
	if len(got) != 200 {
		t.Errorf("%d lines", len(got))
	}
	for _, line := range got {
		if id := strings.TrimPrefix(fmt.Sprint(line["path"]), "/"); line["logging.googleapis.com/trace"] != "projects/p/traces/"+id {
			t.Errorf("line %v", line)
		}
	}
}
