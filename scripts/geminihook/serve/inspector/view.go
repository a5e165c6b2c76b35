package inspector

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/geminihook/geminihook/scripts/geminihook/explain"
	"github.com/geminihook/geminihook/scripts/internal/messages"
	"github.com/geminihook/geminihook/shared/dedup"
)

// maxShown is how much of a body or a header is shown, in bytes.
const maxShown = 32 << 10

// A view is a delivery opened.
type view struct {
	row
	Meaning    string
	Logged     string // what the function said of the cause
	RetryAfter string
	Checks     []check
	Disagrees  bool            // the checks and the function do
	Why        *explain.Report // nil if there is nothing to explain

	Records     []recordView
	RecordError string
	Refused     bool // so the records are another delivery's

	Message *messageView
	Request requestView
	Whole   bool // the body is kept in full, and goes to a function
}

type recordView struct {
	dedup.Record
	ID, Claimed, Done, Took, Expires, Topic string
}

type messageView struct {
	Topic, ID, Time string
	Attributes      []pair
	Data            string
	Copy            string // all of it, in JSON
	Earlier         bool   // another delivery of this id published it
}

type requestView struct {
	Line    string
	Headers []pair
	Body    string
	Note    string // what there is to be said of the body
}

type pair struct{ Name, Value string }

func (in *Inspector) view(r *http.Request, d *delivery) *view {
	outcome := d.outcome()
	v := &view{
		row: d.row(), Meaning: meaningOf(outcome).Text, Logged: d.logged(), RetryAfter: d.retryAfter,
		Checks: d.checks, Refused: !taken[outcome], Request: viewRequest(d), Whole: d.whole() && d.endpoint != NoFunction,
		Disagrees: d.disagrees(), Why: in.Checks.explain(r.Context(), d),
	}
	records, err := in.Records.of(r.Context(), d)
	if err != nil {
		v.RecordError = err.Error()
	}
	topic, id := d.log.Topic, d.log.MessageID
	for _, name := range slices.Sorted(maps.Keys(records)) {
		record := records[name]
		v.Records = append(v.Records, viewRecord(name, record))
		if id == "" && !v.Refused && len(records) == 1 {
			topic, id = record.Topic, record.MessageID
		}
	}
	if m := in.Deliveries.message(topic, id); m != nil {
		v.Message = viewMessage(m)
		v.Message.Earlier = d.log.MessageID == ""
	}
	return v
}

// disagrees reports whether the function decided by something else than the checks.
func (d *delivery) disagrees() bool {
	switch d.outcome() {
	case noLogLine, "unavailable", "overloaded", "slow_body": // no check is of that
		return false
	}
	failed := slices.ContainsFunc(d.checks, func(c check) bool { return c.Mark == "fail" })
	return failed == taken[d.outcome()] || d.refusal != nil && d.log.Reason != string(d.refusal.Reason)
}

// logged is what the function said of the cause: where, why in one word, and in full.
func (d *delivery) logged() string {
	parts := slices.DeleteFunc([]string{d.log.Step, d.log.Reason, d.log.Error}, func(part string) bool { return part == "" })
	return strings.Join(parts, " · ")
}

func viewRecord(name string, r dedup.Record) recordView {
	v := recordView{Record: r, ID: name[:16] + "…", Claimed: clock(r.ClaimedAt), Expires: r.ExpireAt.Local().Format("2006-01-02 15:04"), Topic: path.Base(r.Topic)}
	if !r.DoneAt.IsZero() {
		v.Done = clock(r.DoneAt)
		v.Took = fmt.Sprintf("%.1f ms later", float64(r.DoneAt.Sub(r.ClaimedAt).Microseconds())/1000)
	}
	return v
}

func viewMessage(m *message) *messageView {
	v := &messageView{Topic: path.Base(m.topic), ID: m.MessageId, Time: clock(m.PublishTime.AsTime()), Data: text(m.Data)}
	for _, name := range slices.Sorted(maps.Keys(m.Attributes)) {
		v.Attributes = append(v.Attributes, pair{name, m.Attributes[name]})
	}
	attributes, data := messages.Parts(m.PubsubMessage)
	whole := map[string]any{"topic": m.topic, "messageId": m.MessageId, "attributes": attributes, "data": data} // data in base64
	if json.Valid(m.Data) {
		whole["data"] = json.RawMessage(m.Data)
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	_ = enc.Encode(whole) // texts, bytes and valid JSON
	v.Copy = b.String()
	return v
}

func viewRequest(d *delivery) requestView {
	v := requestView{Line: shorten(d.method, 20) + " " + shorten(d.path, 200) + hideToken(d.query), Body: text(d.body)}
	for _, name := range slices.Sorted(maps.Keys(d.header)) {
		for _, value := range d.header[name] {
			v.Headers = append(v.Headers, pair{name, text([]byte(hide(name, value)))})
		}
	}
	switch {
	case len(d.body) == 0 && d.length <= 0:
		v.Note = "There is no body."
	case !d.whole():
		v.Note = fmt.Sprintf("The first %d bytes of it got here: the answer did not wait for the rest.", len(d.body))
	case len(d.body) > maxShown:
		v.Note = fmt.Sprintf("%d bytes, of which the first %d are shown.", len(d.body), maxShown)
	default:
		v.Note = fmt.Sprintf("%d bytes, exactly as received.", len(d.body))
	}
	return v
}

// hide leaves of a header what may be seen on a screen that others see, too.
func hide(name, value string) string {
	switch name {
	case "Webhook-Signature":
		return shortenSignature(value)
	case "Authorization", "Proxy-Authorization", "Cookie":
		return hidden
	}
	return value
}

const hidden = "(hidden)"

// shortenSignature keeps the scheme and enough to tell two signatures apart.
func shortenSignature(value string) string {
	var entries []string
	for entry := range strings.FieldsSeq(shorten(value, maxShown)) {
		if len(entries) == 8 {
			entries = append(entries, "…")
			break
		}
		version, signature, ok := strings.Cut(entry, ",")
		if !ok {
			version, signature = "", entry
		} else {
			version += ","
		}
		entries = append(entries, shorten(version, 12)+shorten(signature, min(10, len(signature)/2)))
	}
	return fmt.Sprintf("%s  (%d characters)", strings.Join(entries, " "), len(value))
}

// hideToken is a query with the token left out.
func hideToken(query string) string {
	if query == "" {
		return ""
	}
	var parts []string
	for part := range strings.SplitSeq(query, "&") {
		name, _, _ := strings.Cut(part, "=")
		if plain, err := url.QueryUnescape(name); err != nil || plain == "token" {
			part = "token=" + hidden
		}
		parts = append(parts, shorten(part, 200))
	}
	return "?" + strings.Join(parts, "&")
}

// text is bytes that can be looked at: what is not printable is a dot.
func text(b []byte) string {
	if len(b) > maxShown {
		b = b[:maxShown]
		for len(b) > 0 && !utf8.RuneStart(b[len(b)-1]) {
			b = b[:len(b)-1]
		}
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' || r == '\t' {
			return r
		}
		return '·'
	}, string(b))
}
