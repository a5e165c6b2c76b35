// Package cloudlog writes structured logs in the shape that Cloud Logging reads
// from standard error: severity, message, and the fields that tie a line to its
// request.
package cloudlog

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"regexp"
	"strconv"
)

// New returns a logger that writes a line of JSON a record. Records logged with the
// context of a request that went through [Trace] carry its trace.
func New(w io.Writer) *slog.Logger {
	return slog.New(handler{slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: rename})})
}

// rename gives slog's own fields the names of Cloud Logging. Its severities are
// slog's levels, but for WARN.
func rename(groups []string, a slog.Attr) slog.Attr {
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.LevelKey:
		a.Key = "severity"
		if a.Value.Any() == slog.LevelWarn {
			a.Value = slog.StringValue("WARNING")
		}
	case slog.MessageKey:
		a.Key = "message"
	}
	return a
}

// handler adds the attributes of the request in the context.
type handler struct {
	slog.Handler
}

type requestKey struct{}

func (h handler) Handle(ctx context.Context, record slog.Record) error {
	if attrs, ok := ctx.Value(requestKey{}).([]slog.Attr); ok {
		record = record.Clone()
		record.AddAttrs(attrs...)
	}
	return h.Handler.Handle(ctx, record)
}

func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name)}
}

// Trace lets what next logs be found by its request: with the trace and span that
// the platform's front end gave it, and the execution id that functions are known
// by. project is the one that holds the traces.
func Trace(project string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), requestKey{}, requestAttrs(project, r.Header))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

var (
	// traceparent is W3C Trace Context, section 3.2; legacyTrace is
	// X-Cloud-Trace-Context, whose span is in decimal. Lengths are checked beside
	// them: an expression that counts takes long to compile, at every cold start.
	traceparent = regexp.MustCompile(`^[0-9a-f]+-([0-9a-f]+)-([0-9a-f]+)-`)
	legacyTrace = regexp.MustCompile(`^([0-9a-f]+)(?:/([0-9]+))?`)
	executionID = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)
)

const (
	traceDigits    = 32
	spanDigits     = 16
	maxExecutionID = 64
)

func requestAttrs(project string, h http.Header) []slog.Attr {
	var attrs []slog.Attr
	trace, span := "", ""
	if m := traceparent.FindStringSubmatch(h.Get("Traceparent")); m != nil && len(m[1]) == traceDigits && len(m[2]) == spanDigits {
		trace, span = m[1], m[2]
	} else if m := legacyTrace.FindStringSubmatch(h.Get("X-Cloud-Trace-Context")); m != nil && len(m[1]) == traceDigits {
		trace, span = m[1], hexSpan(m[2])
	}
	if trace != "" {
		attrs = append(attrs, slog.String("logging.googleapis.com/trace", "projects/"+project+"/traces/"+trace))
	}
	if span != "" {
		attrs = append(attrs, slog.String("logging.googleapis.com/spanId", span))
	}
	if id := h.Get("Function-Execution-Id"); len(id) <= maxExecutionID && executionID.MatchString(id) {
		attrs = append(attrs, slog.Group("logging.googleapis.com/labels", slog.String("execution_id", id)))
	}
	return attrs
}

func hexSpan(decimal string) string {
	n, err := strconv.ParseUint(decimal, 10, 64)
	if err != nil {
		return ""
	}
	text := strconv.FormatUint(n, 16)
	return "0000000000000000"[len(text):] + text
}
