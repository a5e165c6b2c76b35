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

// A delivery is a request to one of the functions, and what became of it.
type delivery struct {
	id       int64
	received time.Time
	endpoint string // NoFunction if the path is of none
	method   string
	path     string
	query    string // as received, the URL token included
	header   http.Header
	length   int64 // that the sender announced; -1 for none
	body     []byte
	ended    bool // the body was read to its end
	broke    bool // it broke off on its way in

	status     int
	retryAfter string
	latency    time.Duration // of the whole, as the front sees it
	checks     []check
	refusal    *webhook.Refusal // by the checks; nil if they found none

	answered, announced bool
	log                 logLine // zero until it comes
}

// A logLine is what a function logs of a delivery.
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

// whole reports whether the body is kept as it was sent, all of it.
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

// webhookID is empty where a receiver would take none of it for one.
func (d *delivery) webhookID() string {
	id, _ := webhook.ID(d.header)
	return id
}

// genuine reports whether the function found it so: only then does it log a scheme.
func (d *delivery) genuine() bool { return d.log.Scheme != "" }

// eventType is the type that the function logged or, of what it refused, the one
// that the body claims.
func (d *delivery) eventType() string {
	if d.genuine() {
		return d.log.Type
	}
	var claimed struct {
		Type string `json:"type"`
	}
	_ = json.Unmarshal(d.body, &claimed) // what is no JSON claims none
	return shorten(claimed.Type, 80)
}

// scheme is the one that the function logged or, of what it refused, the one that
// the signature claims.
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

// outcome is the function's word, or that there was none: the request did not get
// through to it.
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
	Genuine  bool   `json:"genuine"` // else type and scheme are claims
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

// took is the function's own measure where there is one.
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
