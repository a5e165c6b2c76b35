package inspector

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/webhook"
)

// A delivery is a request to a function, with its answer and the function's log line.
type delivery struct {
	id       int64 // from 1, in the order of arrival
	received time.Time
	endpoint string // NoFunction if no function is at the path
	method   string
	path     string
	query    string // as received, including the URL token
	header   http.Header
	length   int64  // Content-Length; -1 if it is missing
	body     []byte // as far as it was read, at most maxBytes
	ended    bool   // the body was read to its end
	broke    bool   // reading the body failed

	status     int
	retryAfter string
	latency    time.Duration // of the whole request, measured by Watch
	checks     []check
	refusal    *webhook.Refusal // the checks' refusal; nil if they passed

	answered, announced bool
	log                 logLine // zero until the line arrives
}

// A logLine is a function's log line about a delivery.
type logLine struct {
	Message   string  `json:"message"`
	Outcome   string  `json:"outcome"`
	LatencyMS float64 `json:"latency_ms"`
	Scheme    string  `json:"scheme"`
	Type      string  `json:"type"`
	Topic     string  `json:"topic"`
	MessageID string  `json:"message_id"`
	Step      string  `json:"step"`
	Reason    string  `json:"reason"`
	Error     string  `json:"error"`
	Labels    struct {
		ExecutionID string `json:"execution_id"`
	} `json:"logging.googleapis.com/labels"`
}

// whole reports whether the body is complete.
func (d *delivery) whole() bool {
	return d.length == int64(len(d.body)) || d.length < 0 && d.ended && len(d.body) <= receiver.MaxBody
}

func (d *delivery) size() int {
	n := len(d.body) + len(d.query)
	for name, values := range d.header {
		n += len(name) + len(strings.Join(values, ""))
	}
	return n
}

// webhookID returns the webhook-id, or "" if it is missing or malformed.
func (d *delivery) webhookID() string {
	id, _ := webhook.ID(d.header)
	return id
}

// genuine reports whether the function verified the delivery: only then it logs a
// scheme.
func (d *delivery) genuine() bool { return d.log.Scheme != "" }

// eventType returns the type that the function logged. If the delivery was not
// verified, it returns the type in the body.
func (d *delivery) eventType() string {
	if d.genuine() {
		return d.log.Type
	}
	var claimed struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(d.body, &claimed) // if the body is not JSON, the type is empty
	return shorten(claimed.Type, 80)
}

// scheme returns the scheme that the function logged. If the delivery was not verified,
// it returns the scheme that the signature names.
func (d *delivery) scheme() string {
	if d.genuine() {
		return d.log.Scheme
	}
	return string(d.claimedScheme())
}

func (d *delivery) claimedScheme() webhook.Scheme {
	signature := d.header.Get("Webhook-Signature")
	if webhook.IsJWT(signature) {
		return webhook.JWT
	}
	version, _, ok := strings.Cut(signature, ",")
	if !ok {
		return ""
	}
	return webhook.Scheme(shorten(version, 8))
}

// outcome returns the outcome that the function logged, or noLogLine.
func (d *delivery) outcome() string {
	if d.log.Outcome == "" {
		return noLogLine
	}
	return d.log.Outcome
}

// A row is a delivery in the list.
type row struct {
	ID       int64  `json:"id"`
	Time     string `json:"time"`
	Endpoint string `json:"endpoint"`
	Type     string `json:"type"`
	Scheme   string `json:"scheme"`
	Genuine  bool   `json:"genuine"` // if false, type and scheme are not verified
	Outcome  string `json:"outcome"`
	Status   int    `json:"status"`
	Tone     string `json:"tone"`
	Latency  string `json:"latency"`
}

func (d *delivery) row() row {
	return row{
		ID: d.id, Time: clock(d.received), Endpoint: d.endpoint,
		Type: d.eventType(), Scheme: d.scheme(), Genuine: d.genuine(),
		Outcome: d.outcome(), Status: d.status, Tone: meaningOf(d.outcome()).Tone,
		Latency: d.took(),
	}
}

// took returns the latency that the function logged. Without a log line, it returns the
// latency measured by Watch.
func (d *delivery) took() string {
	if d.log.Outcome != "" {
		return fmt.Sprintf("%.1f ms", d.log.LatencyMS)
	}
	return fmt.Sprintf("%.1f ms", float64(d.latency.Microseconds())/1000)
}

func clock(t time.Time) string { return t.Local().Format("15:04:05.000") }

// shorten cuts a text after n characters.
func shorten(text string, n int) string {
	if chars := []rune(text); len(chars) > n {
		return string(chars[:n]) + "…"
	}
	return text
}
