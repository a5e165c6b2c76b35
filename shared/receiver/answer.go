package receiver

import (
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
)

// answer is the response to a request, and the outcome and level of its log line.
type answer struct {
	outcome    string
	status     int
	level      slog.Level
	retryAfter time.Duration // zero means no Retry-After header
}

// answers maps errors to answers. The first entry that matches is used.
var answers = []struct {
	err error
	answer
}{
	{webhook.ErrUnmarked, answer{outcome: "unmarked", status: http.StatusNoContent, level: slog.LevelError}},
	{webhook.ErrMismatch, answer{outcome: "mismatch", status: http.StatusNoContent, level: slog.LevelError}},
	{webhook.ErrDuplicate, answer{outcome: "duplicate", status: http.StatusNoContent, level: slog.LevelInfo}},
	{webhook.ErrMethod, answer{outcome: "method", status: http.StatusMethodNotAllowed, level: slog.LevelInfo}},
	{webhook.ErrUnauthorized, answer{outcome: "unauthorized", status: http.StatusUnauthorized, level: slog.LevelWarn}},
	{webhook.ErrTooLarge, answer{outcome: "too_large", status: http.StatusRequestEntityTooLarge, level: slog.LevelWarn}},
	{webhook.ErrMalformed, answer{outcome: "malformed", status: http.StatusBadRequest, level: slog.LevelWarn}},
	{webhook.ErrForged, answer{outcome: "forged", status: http.StatusUnauthorized, level: slog.LevelWarn}},
	{webhook.ErrAudience, answer{outcome: "audience", status: http.StatusUnauthorized, level: slog.LevelWarn}},
	{webhook.ErrStale, answer{outcome: "stale", status: http.StatusUnauthorized, level: slog.LevelError}},
	{webhook.ErrSlowBody, answer{outcome: "slow_body", status: http.StatusServiceUnavailable, level: slog.LevelWarn}},
	{webhook.ErrOverloaded, answer{outcome: "overloaded", status: http.StatusServiceUnavailable, level: slog.LevelWarn, retryAfter: time.Second}},
}

// answerTo returns the answer to a request that ended with err. An error that is not
// in answers is a failure of ours: 503, so that the sender retries.
func answerTo(err error) answer {
	if err == nil {
		return answer{outcome: "published", status: http.StatusNoContent, level: slog.LevelInfo}
	}
	var busy *webhook.BusyError
	if errors.As(err, &busy) {
		return answer{outcome: "busy", status: http.StatusServiceUnavailable, level: slog.LevelInfo, retryAfter: busy.RetryAfter}
	}
	for _, known := range answers {
		if errors.Is(err, known.err) {
			return known.answer
		}
	}
	return answer{outcome: "unavailable", status: http.StatusServiceUnavailable, level: slog.LevelError}
}

// write sends the answer. The body is only the status text, so it does not reveal the
// cause.
func (a answer) write(w http.ResponseWriter) {
	if a.status == http.StatusMethodNotAllowed {
		w.Header().Set("Allow", http.MethodPost)
	}
	if a.retryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(a.retryAfter.Seconds()))))
	}
	if a.status == http.StatusNoContent {
		w.WriteHeader(a.status)
		return
	}
	http.Error(w, http.StatusText(a.status), a.status)
}

// log writes the log line of a request. It contains no body, no signature and no URL.
// The packages keep them out of their errors too. If the request failed, step is the
// step that failed; reason is present only for a refusal.
func (r *Receiver) log(req *http.Request, res *result, a answer, latency time.Duration) {
	attrs := []slog.Attr{
		slog.String("endpoint", r.Endpoint),
		slog.String("outcome", a.outcome),
		slog.Int("status", a.status),
		slog.Float64("latency_ms", float64(latency.Microseconds())/1000),
	}
	add := func(name, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(name, value))
		}
	}
	if d := res.delivery; d != nil {
		add("scheme", string(d.Scheme))
		add("type", d.Event.Type)
		add("job_id", d.Event.JobID)
	}
	id, _ := webhook.ID(req.Header)
	add("webhook_id", id)
	add("topic", res.receipt.Topic)
	add("message_id", res.receipt.MessageID)
	if n := res.receipt.Attempts; n > 1 {
		attrs = append(attrs, slog.Int("publish_attempts", n))
	}
	if res.err != nil {
		step, reason := res.step, webhook.Reason("")
		if refusal := webhook.AsRefusal(res.err); refusal != nil {
			step, reason = refusal.Step, refusal.Reason
		}
		add("step", string(step))
		add("reason", string(reason))
		add("error", res.err.Error())
	}
	r.Log.LogAttrs(req.Context(), a.level, "delivery", attrs...)
}
