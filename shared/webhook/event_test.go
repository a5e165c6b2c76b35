package webhook_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

func TestEvent(t *testing.T) {
	at := time.Date(2026, 1, 22, 12, 0, 0, 0, time.UTC)
	full := strings.Repeat("x", 1024)
	for name, test := range map[string]struct {
		body string
		want webhook.Event
	}{
		"as documented":      {string(someBody), webhook.Event{Type: "batch.succeeded", JobID: "batches/123456", Time: at}},
		"spaced, reordered":  {` { "data" : { "id" : "1" } , "type" : "t" } `, webhook.Event{Type: "t", JobID: "1"}},
		"unknown type":       {`{"type":"new.kind.of-event!"}`, webhook.Event{Type: "new.kind.of-event!"}},
		"unknown fields":     {`{"type":"t","x":{"y":[1]},"data":{"id":"1","z":null}}`, webhook.Event{Type: "t", JobID: "1"}},
		"escapes":            {`{"type":"\u0074\n","data":{"id":"\u00e4"}}`, webhook.Event{Type: "t\n", JobID: "ä"}},
		"no UTF-8":           {"{\"type\":\"t\xff\"}", webhook.Event{Type: "t\ufffd"}},
		"half a surrogate":   {`{"type":"t\ud800"}`, webhook.Event{Type: "t\ufffd"}},
		"type at the limit":  {`{"type":"` + full + `"}`, webhook.Event{Type: full}},
		"type over it":       {`{"type":"` + full + `x","data":{"id":"1"}}`, webhook.Event{JobID: "1"}},
		"type over in bytes": {`{"type":"` + full[1:] + `ä","data":{"id":"1"}}`, webhook.Event{JobID: "1"}},
		"id at the limit":    {`{"data":{"id":"` + full + `"}}`, webhook.Event{JobID: full}},
		"id over it":         {`{"type":"t","data":{"id":"` + full + `x"}}`, webhook.Event{Type: "t"}},
		// Names are case-sensitive. encoding/json would accept each of these for its
		// lower-case name.
		"Type after type":       {`{"type":"batch.failed","Type":"video.generated"}`, webhook.Event{Type: "batch.failed"}},
		"Type before type":      {`{"Type":"video.generated","type":"batch.failed"}`, webhook.Event{Type: "batch.failed"}},
		"TYPE alone":            {`{"TYPE":"t","data":{"ID":"1"},"TimeStamp":"2026-01-22T12:00:00Z"}`, webhook.Event{}},
		"Data beside data":      {`{"data":{"id":"1","Id":"2"},"Data":{"id":"3"},"DATA":{"id":"4"}}`, webhook.Event{JobID: "1"}},
		"Timestamp beside":      {`{"timestamp":"2026-01-22T12:00:00Z","Timestamp":"2027-01-22T12:00:00Z"}`, webhook.Event{Time: at}},
		"long s, Kelvin":        {`{"time\u017ftamp":"2026-01-22T12:00:00Z","timeſtamp":"2026-01-22T12:00:00Z"}`, webhook.Event{}},
		"names escaped":         {`{"\u0074ype":"t","d\u0061ta":{"i\u0064":"1"}}`, webhook.Event{Type: "t", JobID: "1"}},
		"type twice":            {`{"type":"a","type":"b"}`, webhook.Event{Type: "b"}},
		"type twice, then null": {`{"type":"a","type":null}`, webhook.Event{Type: "a"}},
		"type twice, then 5":    {`{"type":"a","type":5}`, webhook.Event{Type: "a"}},
		"type twice, too long":  {`{"type":"a","type":"` + full + `x"}`, webhook.Event{}},
		"data twice":            {`{"data":{"id":"1"},"data":{"id":"2"}}`, webhook.Event{JobID: "2"}},
		"data twice, then none": {`{"data":{"id":"1"},"data":{}}`, webhook.Event{JobID: "1"}},
		"elsewhere":             {`{"x":{"type":"t"},"data":{"data":{"id":"1"}},"y":[{"type":"t"}]}`, webhook.Event{}},
		"name in a text":        {`{"x":"\"type\":\"t\"","data":{"y":",\"id\":\"1\"}"}}`, webhook.Event{}},
		"empty objects":         {`{"x":{},"data":{},"type":"t"}`, webhook.Event{Type: "t"}},
		"empty object":          {`{}`, webhook.Event{}},
		"byte order mark":       {"\ufeff" + string(someBody), webhook.Event{Type: "batch.succeeded", JobID: "batches/123456", Time: at}},
		"mark and space":        {"\ufeff \n" + `{"type":"t"}`, webhook.Event{Type: "t"}},
		"space and mark":        {" \ufeff" + `{"type":"t"}`, webhook.Event{}},
		"two marks":             {"\ufeff\ufeff" + `{"type":"t"}`, webhook.Event{}},
		"mark alone":            {"\ufeff", webhook.Event{}},
		"UTF-16":                {"\xff\xfe{\x00}\x00", webhook.Event{}},

		"type no text":       {`{"type":5,"data":{"id":"1"}}`, webhook.Event{JobID: "1"}},
		"id no text":         {`{"type":"t","data":{"id":5}}`, webhook.Event{Type: "t"}},
		"data no object":     {`{"data":"x","type":"t"}`, webhook.Event{Type: "t"}},
		"data a list":        {`{"data":[{"id":"1"}],"type":"t"}`, webhook.Event{Type: "t"}},
		"timestamp no text":  {`{"timestamp":1769083200,"type":"t"}`, webhook.Event{Type: "t"}},
		"timestamp no time":  {`{"timestamp":"yesterday","type":"t"}`, webhook.Event{Type: "t"}},
		"timestamp, seconds": {`{"timestamp":"1769083200"}`, webhook.Event{}},
		"timestamp, zone":    {`{"timestamp":"2026-01-22T14:30:00.25+02:30"}`, webhook.Event{Time: at.Add(250 * time.Millisecond)}},
		"timestamp, first":   {`{"timestamp":"0000-01-01T00:00:00Z"}`, webhook.Event{Time: time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)}},
		"timestamp, last":    {`{"timestamp":"9999-12-31T23:59:59Z"}`, webhook.Event{Time: time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)}},
		"timestamp, beyond":  {`{"timestamp":"9999-12-31T23:59:59-01:00"}`, webhook.Event{}},
		"no body":            {"", webhook.Event{}},
		"no JSON":            {"hello", webhook.Event{}},
		"null":               {"null", webhook.Event{}},
		"a list":             {`[{"type":"t"}]`, webhook.Event{}},
		"cut":                {`{"type":"t","data":{"id":"1"}`, webhook.Event{}},
		"more behind":        {`{"type":"t"}x`, webhook.Event{}},
		"deep":               {`{"type":"t","x":` + nested(9_000) + `}`, webhook.Event{Type: "t"}},
		"too deep":           {`{"type":"t","x":` + nested(11_000) + `}`, webhook.Event{}},
		"a MiB of brackets":  {strings.Repeat("[", 1<<20), webhook.Event{}},
		"a MiB of objects":   {strings.Repeat(`{"data":`, 1<<17), webhook.Event{}},
		"a MiB of text":      {`{"type":"` + strings.Repeat("x", 1<<20) + `"}`, webhook.Event{}},
	} {
		t.Run(name, func(t *testing.T) {
			body := []byte(test.body)
			if got := webhook.ParseEvent(body); got != test.want {
				t.Errorf("got %.200v, want %.200v", got, test.want)
			}
			if string(body) != test.body {
				t.Error("ParseEvent changed the body")
			}
		})
	}
}

// The event's time is published in RFC 3339, which has only four digits for the year.
func TestEventTimeCanBeWritten(t *testing.T) {
	for _, text := range []string{"9999-12-31T23:59:59-01:00", "0000-01-01T00:00:00+01:00"} {
		if got := webhook.ParseEvent([]byte(`{"timestamp":"` + text + `"}`)).Time; !got.IsZero() {
			t.Errorf("%s: %v", text, got.UTC())
		}
	}
}

// genuine returns the headers of a genuine delivery of someBody.
func genuine(s side) http.Header {
	now := time.Now()
	return webhooktest.Header(someID, now, s.sign(someID, webhooktest.Timestamp(now), someBody))
}

// Every verifier sets the event, and copies only the event's three strings.
func TestVerifyFillsInTheEvent(t *testing.T) {
	want := webhook.ParseEvent(someBody)
	if want.Type == "" || want.JobID == "" || want.Time.IsZero() {
		t.Fatalf("the event of the tests' body is %+v", want)
	}
	for _, s := range sides(t) {
		d, err := s.verifier.Verify(t.Context(), genuine(s), someBody)
		if err != nil || d.Event != want {
			t.Errorf("%s: %+v, %v, want the event %+v", s.scheme, d, err, want)
		}
	}
}

func TestEventsOfTheSender(t *testing.T) {
	for _, eventType := range append([]string{"unheard.of"}, webhooktest.Types...) {
		before := time.Now().Truncate(time.Second)
		if e := webhook.ParseEvent(webhooktest.NewEvent(eventType)); e.Type != eventType || e.JobID == "" || e.Time.Before(before) || e.Time.After(time.Now()) {
			t.Errorf("%s: %+v", eventType, e)
		}
	}
}

func TestMismatchIsADuplicate(t *testing.T) {
	if !errors.Is(webhook.ErrMismatch, webhook.ErrDuplicate) || errors.Is(webhook.ErrDuplicate, webhook.ErrMismatch) {
		t.Error("ErrMismatch must be a kind of ErrDuplicate")
	}
}
