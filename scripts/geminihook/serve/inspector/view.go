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

// maxShown bounds the part of a body or a header that is shown, in bytes.
const maxShown = 32 << 10

// A view is the data of delivery.html: one delivery in detail.
type view struct {
	row
	Meaning    string
	Logged     string // step, reason and error in the function's log line
	RetryAfter string // seconds; empty: no header
	Checks     []check
	Disagrees  bool            // the checks and the function have different results
	Why        *explain.Report // nil if there is no cause to explain

	Records     []recordView
	RecordError string
	Refused     bool // not verified, so the records belong to another delivery

	Message *messageView // nil if it is not published or not in memory
	Request requestView
	Whole   bool // the body is complete and its path is a function's, so it can be replayed
}

type recordView struct {
	dedup.Record
	ID, Claimed, Done, Took, Expires, Topic string
}

type messageView struct {
	Topic, ID, Time string
	Attributes      []pair
	Data            string
	Copy            string // the whole message in JSON
	Earlier         bool   // an earlier delivery with the same id published it
}

type requestView struct {
	Line    string
	Headers []pair
	Body    string
	Note    string // the body's length, and how much of it is shown
}

type pair struct{ Name, Value string }

// view returns the detail of a delivery. It reads the delivery's records and explains a
// rejection. A record that cannot be read is reported in RecordError.
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

// disagrees reports whether the function's result or reason differs from the checks'.
func (d *delivery) disagrees() bool {
	switch d.outcome() {
	case noLogLine, "unavailable", "overloaded", "slow_body": // outcomes without a check
		return false
	}
	failed := slices.ContainsFunc(d.checks, func(c check) bool { return c.Mark == "fail" })
	return failed == taken[d.outcome()] || d.refusal != nil && d.log.Reason != string(d.refusal.Reason)
}

// logged returns the step, the reason and the error in the function's log line.
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
	_ = enc.Encode(whole) // cannot fail: strings, bytes and valid JSON
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
		v.Note = "The body is empty."
	case !d.whole():
		v.Note = fmt.Sprintf("The body is incomplete: the first %d bytes were read before the answer.", len(d.body))
	case len(d.body) > maxShown:
		v.Note = fmt.Sprintf("%d bytes; the first %d are shown.", len(d.body), maxShown)
	default:
		v.Note = fmt.Sprintf("%d bytes, exactly as received.", len(d.body))
	}
	return v
}

// hide returns a header's value without secrets, because others may see the screen too.
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

// shortenSignature shortens each signature in a list to its scheme and its first
// characters, which are enough to tell two signatures apart. It keeps 8 signatures.
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

// hideToken returns "?" and the query, with the values of token parameters hidden. It
// returns "" if the query is empty.
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

// text returns at most maxShown bytes as text, with a dot for each character that is
// not printable.
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
