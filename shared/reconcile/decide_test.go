package reconcile

import (
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/webhook"
)

var noon = time.Date(2026, 8, 20, 12, 0, 0, 123456789, time.UTC)

const (
	batchName       = "batches/3a96ht58d9rd3fci7tg3qlrhlfawe5ykp6ge"
	interactionName = "interactions/v1_ChdOdXRoYXJH.."
	videoName       = "models/veo-3.1-generate-preview/operations/s2a8kyx4kgcs"
)

func mustURL(text string) *url.URL {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return u
}

func TestFindings(t *testing.T) {
	batch := func(state string) finding {
		f := ofBatch(&gemini.Batch{Name: batchName, State: state, Updated: noon})
		return f
	}
	interaction := func(status string) finding {
		return ofInteraction(interactionName, &gemini.Interaction{Status: status, Updated: noon})
	}
	video := func(o gemini.Operation) finding { return ofOperation(videoName, &o) }
	failed := gemini.APIError{Code: "3", Message: "no"}
	for _, test := range []struct {
		finding
		phase     phase
		eventType string
		origin    origin
	}{
		{batch("BATCH_STATE_PENDING"), running, "", documented},
		{batch("BATCH_STATE_RUNNING"), running, "", documented},
		{batch("BATCH_STATE_SUCCEEDED"), ended, "batch.succeeded", documented},
		{batch("BATCH_STATE_FAILED"), ended, "batch.failed", documented},
		{batch("BATCH_STATE_EXPIRED"), ended, "batch.expired", documented},
		{batch("BATCH_STATE_CANCELLED"), ended, "", documented},
		{batch("BATCH_STATE_UNSPECIFIED"), odd, "", documented},
		{batch("JOB_STATE_SUCCEEDED"), odd, "", documented},
		{batch(""), odd, "", documented},
		{ofBatch(&gemini.Batch{Name: batchName, State: "BATCH_STATE_SUCCEEDED"}), odd, "batch.succeeded", documented},
		{interaction("in_progress"), running, "", documented},
		{interaction("queued"), running, "", documented},
		{interaction("requires_action"), recurring, "interaction.requires_action", documented},
		{interaction("completed"), ended, "interaction.completed", documented},
		{interaction("failed"), ended, "interaction.failed", documented},
		{interaction("cancelled"), ended, "", documented},
		{interaction("incomplete"), ended, "interaction.incomplete", undocumented},
		{interaction("budget_exceeded"), ended, "interaction.budget_exceeded", undocumented},
		{interaction("requires_continuation"), ended, "interaction.requires_continuation", undocumented},
		{interaction("paused"), odd, "", documented},
		{video(gemini.Operation{}), running, "", documented},
		{video(gemini.Operation{Done: true, Video: "u"}), ended, "video.generated", documented},
		{video(gemini.Operation{Done: true, Error: failed}), ended, "video.failed", ours},
		{video(gemini.Operation{Done: true, Filtered: 2}), ended, "video.failed", ours},
		{video(gemini.Operation{Done: true}), ended, "video.failed", ours},
	} {
		f := test.finding
		if f.phase != test.phase || f.eventType != test.eventType || f.origin != test.origin {
			t.Errorf("%s %q: phase %d, type %q, origin %d", f.kind, f.status, f.phase, f.eventType, f.origin)
		}
		if test.phase == ended && f.eventType != "" && !slices.Contains(terminal, f.eventType) {
			t.Errorf("%s ends a job, but is missing in terminal", f.eventType)
		}
		if strings.HasSuffix(f.eventType, ".cancelled") {
			t.Errorf("finding has event type %s, which Gemini never sends", f.eventType)
		}
	}
	if f := ofBatch(&gemini.Batch{State: "BATCH_STATE_FAILED", Ended: noon, Updated: noon.Add(-time.Hour)}); !f.at.Equal(noon) {
		t.Errorf("ended at %v", f.at)
	}
}

// TestRebuild compares each form of an event byte for byte.
func TestRebuild(t *testing.T) {
	metadata := json.RawMessage(`{"a": 1}`)
	failed := gemini.APIError{Code: "8", Message: `Enqueued "token" quota`}
	for _, test := range []struct {
		finding
		as   form
		want string
	}{
		{ofBatch(&gemini.Batch{Name: batchName, State: "BATCH_STATE_SUCCEEDED", Ended: noon, Output: "files/batch-3a96", Metadata: metadata}), whole,
			`{"type":"batch.succeeded","version":"v1","timestamp":"2026-08-20T12:00:00.123456789Z","data":{"id":"` + batchName + `","output_file_uri":"files/batch-3a96"},"user_metadata":{"a":1}}`},
		{ofBatch(&gemini.Batch{Name: batchName, State: "BATCH_STATE_FAILED", Ended: noon, Error: failed}), last,
			`{"type":"batch.failed","version":"v1","timestamp":"2026-08-20T12:00:00.123456789Z","data":{"id":"3a96ht58d9rd3fci7tg3qlrhlfawe5ykp6ge","error_code":"8","error_message":"Enqueued \"token\" quota"}}`},
		{ofInteraction(interactionName, &gemini.Interaction{Status: "completed", Updated: noon.Truncate(time.Second), Metadata: json.RawMessage("null")}), last,
			`{"type":"interaction.completed","version":"v1","timestamp":"2026-08-20T12:00:00Z","data":{"id":"v1_ChdOdXRoYXJH.."}}`},
		{func() finding {
			f := ofOperation(videoName, &gemini.Operation{Done: true, Video: "https://generativelanguage.googleapis.com/v1beta/files/abc:download?alt=media"})
			f.at = noon
			return f
		}(), operations,
			`{"type":"video.generated","version":"v1","timestamp":"2026-08-20T12:00:00.123456789Z","data":{"id":"operations/s2a8kyx4kgcs","output_file_uri":"https://generativelanguage.googleapis.com/v1beta/files/abc:download?alt=media","file_name":"files/abc"}}`},
	} {
		d := rebuild(&test.finding, test.as, noon)
		if string(d.Body) != test.want {
			t.Errorf("body is %s\nwant %s", d.Body, test.want)
		}
		if d.Endpoint != "reconciled" || d.Scheme != "api" || d.ContentType != "application/json" || !d.Event.Time.Equal(test.at) ||
			d.Event.Type != test.eventType || d.Event.JobID != test.as.write(test.name) {
			t.Errorf("unexpected delivery %+v", d)
		}
		if len(d.ID) > 256 || strings.Contains(d.ID, ".") {
			t.Errorf("id %q", d.ID)
		}
	}
	huge := ofBatch(&gemini.Batch{Name: batchName, State: "BATCH_STATE_FAILED", Ended: noon,
		Error: gemini.APIError{Message: strings.Repeat("é", 1<<20)}, Metadata: json.RawMessage(`"` + strings.Repeat("x", 1<<20) + `"`)})
	if d := rebuild(&huge, whole, noon); len(d.Body) > 2*maxText || d.Event.Type != "batch.failed" {
		t.Errorf("body has %d bytes", len(d.Body))
	}
}

// The id depends on the job and the event type, and for a required action also on the
// time.
func TestEventID(t *testing.T) {
	f := ofInteraction(interactionName, &gemini.Interaction{Status: "completed", Updated: noon})
	same := f
	same.at, same.status, same.reason.Code = noon.Add(time.Hour), "x", "y"
	if eventID(&f) != eventID(&same) {
		t.Error("the id depends on data that differs between passes")
	}
	f = ofInteraction(interactionName, &gemini.Interaction{Status: "requires_action", Updated: noon})
	again := f
	again.at = noon.Add(time.Hour)
	if eventID(&f) == eventID(&again) {
		t.Error("two required actions of a job have the same id")
	}
}

func TestForms(t *testing.T) {
	for kind, want := range map[jobs.Kind]string{jobs.Batch: "[b/X X]", jobs.Interaction: "[X b/X]", jobs.Video: "[b/X operations/X X]"} {
		var all []string
		for _, f := range formsOf(kind) {
			all = append(all, f.write("b/X"))
		}
		if fmt.Sprint(all) != want {
			t.Errorf("types of kind %s are %v", kind, all)
		}
		if len(typesOf(kind))*2 > dedup.MaxIDs {
			t.Errorf("%s: too many types for a query", kind)
		}
	}
	if f := formFor(jobs.Batch, map[jobs.Kind]string{jobs.Batch: "last"}); f != last {
		t.Error(f)
	}
}

func TestFileOf(t *testing.T) {
	for uri, want := range map[string]string{
		"https://generativelanguage.googleapis.com/v1beta/files/abc:download?alt=media": "files/abc",
		"https://x/files/abc?x=/files/def":                                              "files/abc", "gs://bucket/x": "", "": "", "https://x/files/": "", "https://x/files/a/b": "",
	} {
		if got := fileOf(uri); got != want {
			t.Errorf("fileOf(%s) = %q", uri, got)
		}
	}
}

func TestStaticAt(t *testing.T) {
	at := mustURL("https://hooks.example/static")
	hook := func(id, uri, state string) gemini.Webhook {
		return gemini.Webhook{ID: id, URI: uri, State: state, Events: []string{"of " + id}}
	}
	for _, test := range []struct {
		all    []gemini.Webhook
		state  string
		events string
		failed string
	}{
		{nil, "missing", "[]", ""},
		{[]gemini.Webhook{hook("a", "https://other.example/static", gemini.Enabled)}, "missing", "[]", ""},
		{[]gemini.Webhook{hook("a", "https://hooks.example/static?x=1", gemini.Enabled)}, gemini.Enabled, "[of a]", ""},
		{[]gemini.Webhook{hook("a", "https://hooks.example/static", gemini.Disabled)}, gemini.Disabled, "[of a]", ""},
		{[]gemini.Webhook{hook("a", "https://hooks.example/static", "paused")}, "paused", "[of a]", ""},
		{[]gemini.Webhook{hook("a", "https://hooks.example/static", gemini.DisabledByFailures)}, gemini.DisabledByFailures, "[of a]", "a"},
		{[]gemini.Webhook{hook("a", "https://hooks.example/static", gemini.DisabledByFailures), hook("b", "https://hooks.example/static", gemini.Enabled)},
			gemini.Enabled, "[of a of b]", ""},
		{[]gemini.Webhook{hook("a", "https://hooks.example/static", gemini.DisabledByFailures), hook("b", "https://hooks.example/static", gemini.Disabled)},
			gemini.Disabled, "[of a of b]", "a"},
	} {
		got := staticAt(test.all, at)
		if got.state != test.state || fmt.Sprint(got.events) != test.events || got.failed != test.failed {
			t.Errorf("staticAt(%+v) = %+v", test.all, got)
		}
	}
}

// A webhook that a user disabled is never enabled. One that Gemini disabled is
// enabled at most once in enablePause.
func TestMayEnable(t *testing.T) {
	failed := staticWebhook{state: gemini.DisabledByFailures, failed: "a"}
	for _, test := range []struct {
		w    staticWebhook
		at   time.Time
		want bool
	}{
		{failed, time.Time{}, true},
		{failed, noon.Add(-6 * time.Hour), true},
		{failed, noon.Add(-6*time.Hour + 1), false},
		{failed, noon.Add(time.Hour), false},
		{staticWebhook{state: gemini.Disabled}, time.Time{}, false},
		{staticWebhook{state: gemini.Disabled, failed: "a"}, time.Time{}, false},
		{staticWebhook{state: missing}, time.Time{}, false},
		{staticWebhook{state: gemini.Enabled}, time.Time{}, false},
	} {
		if got := mayEnable(test.w, test.at, noon); got != test.want {
			t.Errorf("mayEnable(%+v, %v) = %t", test.w, test.at, got)
		}
	}
}

func TestOwnerOf(t *testing.T) {
	own := []*url.URL{mustURL("https://hooks.example/"), nil}
	static := staticWebhook{state: gemini.Enabled, events: []string{"batch.succeeded"}}
	for _, test := range []struct {
		uris      []string
		eventType string
		want      owner
	}{
		{nil, "batch.succeeded", us},
		{nil, "batch.failed", unsubscribed},
		{[]string{"https://other.example/"}, "batch.succeeded", foreign},
		{[]string{"https://other.example/", "https://hooks.example?token=x"}, "batch.failed", us},
		{[]string{":"}, "batch.succeeded", foreign},
		{[]string{"http://hooks.example/"}, "batch.succeeded", foreign},
	} {
		if got := ownerOf(test.uris, test.eventType, own, static); got != test.want {
			t.Errorf("ownerOf(%v, %s) = %d, want %d", test.uris, test.eventType, got, test.want)
		}
	}
}

func TestIntervals(t *testing.T) {
	const grace = time.Hour
	for age, want := range map[time.Duration]time.Duration{ // time until the next call; 0 means in each pass
		time.Hour: 0, 3*time.Hour - 1: 0, 4 * time.Hour: 30 * time.Minute, 16 * time.Hour: 2 * time.Hour, 400 * time.Hour: 2 * time.Hour,
	} {
		j := &jobs.Job{RegisteredAt: noon.Add(-age)}
		next := nextAsk(j, noon, grace)
		if want == 0 && !next.IsZero() || want > 0 && !next.Equal(noon.Add(want)) {
			t.Errorf("at the age of %v the next call is at %v", age, next)
		}
	}
	j := &jobs.Job{RegisteredAt: noon.Add(-grace)}
	if !due(j, noon, grace) || due(j, noon.Add(-1), grace) {
		t.Error("not due exactly from the end of the grace on")
	}
	j.NextAt = noon.Add(time.Minute)
	if due(j, noon, grace) || !due(j, j.NextAt, grace) {
		t.Error("not due exactly from NextAt on")
	}
}

func TestIsLost(t *testing.T) {
	for _, test := range []struct {
		misses int
		over   time.Duration
		want   bool
	}{{4, 9 * time.Hour, false}, {5, time.Hour - 1, false}, {5, time.Hour, true}, {100, 0, false}} {
		j := &jobs.Job{Misses: test.misses, MissedSince: noon.Add(-test.over)}
		if got := isLost(j, noon); got != test.want {
			t.Errorf("isLost(%+v) = %t", test, got)
		}
	}
}

func TestIsDelivered(t *testing.T) {
	for _, test := range []struct {
		kind  jobs.Kind
		types []string
		want  bool
	}{
		{jobs.Batch, nil, false},
		{jobs.Batch, []string{"batch.failed"}, true},
		{jobs.Batch, []string{"batch.cancelled"}, true},
		{jobs.Batch, []string{"batch.started"}, false},
		{jobs.Batch, []string{"video.generated"}, false},
		{jobs.Interaction, []string{"interaction.requires_action"}, false},
		{jobs.Interaction, []string{"interaction.requires_action", "interaction.incomplete"}, true},
	} {
		var records []dedup.Record
		for _, one := range test.types {
			records = append(records, dedup.Record{Type: one})
		}
		if got := isDelivered(test.kind, records); got != test.want {
			t.Errorf("isDelivered(%s, %v) = %t", test.kind, test.types, got)
		}
	}
	records := []dedup.Record{{Type: requiresAction, DoneAt: noon}, {Type: "interaction.completed", DoneAt: noon.Add(time.Hour)}}
	if !recurrenceDelivered(noon, records) || recurrenceDelivered(noon.Add(1), records) {
		t.Error("the record of an earlier action counts for a later one")
	}
}

func TestDecide(t *testing.T) {
	of := func(o origin) *finding { return &finding{kind: jobs.Interaction, origin: o} }
	for _, test := range []struct {
		mode    Mode
		origin  origin
		hold    bool
		unknown bool // PublishUnknown
		want    action
	}{
		{Report, documented, false, true, reportOnly},
		{Report, ours, false, true, reportOnly},
		{Auto, documented, false, false, handOver},
		{Auto, documented, true, false, holdBack},
		{Auto, ours, true, false, handOver},
		{Auto, undocumented, false, false, reportOnly},
		{Auto, undocumented, false, true, handOver},
		{Auto, undocumented, true, true, holdBack},
		{"", documented, false, false, handOver},
		{"", documented, true, false, holdBack},
		{"PUBLISH", documented, true, false, holdBack},
		{Publish, documented, true, false, handOver},
		{Publish, undocumented, false, false, reportOnly},
		{Publish, undocumented, true, true, handOver},
	} {
		if got := decide(of(test.origin), &Options{Mode: test.mode, PublishUnknown: test.unknown}, test.hold); got != test.want {
			t.Errorf("decide(%+v) = %s", test, got)
		}
	}
}

func TestParseMode(t *testing.T) {
	for text, want := range map[string]Mode{"": Auto, "auto": Auto, "report": Report, "publish": Publish, "off": "", "Auto": ""} {
		if got, err := ParseMode(text); got != want || (err != nil) != (want == "") {
			t.Errorf("ParseMode(%q) = %q, %v", text, got, err)
		}
	}
}

// A record of an event that a pass published is not by Gemini.
func TestBySender(t *testing.T) {
	if bySender(&dedup.Record{Endpoint: webhook.ReconciledEndpoint}) || !bySender(&dedup.Record{Endpoint: webhook.DynamicEndpoint}) {
		t.Error("bySender is wrong")
	}
}
