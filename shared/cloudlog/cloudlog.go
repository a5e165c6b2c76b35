// Package cloudlog writes structured logs in the format that Cloud Logging reads from
// standard error: severity, message, and the fields that link an entry to its
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

// New returns a logger that writes each record of level Info or higher to w as one line
// of JSON. If the context of a record is that of a request that passed through [Trace],
// the line contains the trace, span and execution id of the request. Do not use WithGroup
// for such records: it would put the ids into the group, and Cloud Logging reads them at
// the top level only. The logger is safe for concurrent use.
func New(w io.Writer) *slog.Logger {
	return slog.New(handler{slog.NewJSONHandler(w, &slog.HandlerOptions{ReplaceAttr: rename})})
}

// rename changes slog's field names to those of Cloud Logging. The names of the
// levels are the same, except for WARN.
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

// handler adds the attributes of the request in the context to each record.
type handler struct {
	slog.Handler
}

// requestKey is the context key of a request's attributes, a []slog.Attr.
type requestKey struct{}

// Handle adds the request's attributes to a clone, because other handlers may share
// record.
func (h handler) Handle(ctx context.Context, record slog.Record) error {
	if attrs, ok := ctx.Value(requestKey{}).([]slog.Attr); ok {
		record = record.Clone()
		record.AddAttrs(attrs...)
	}
	return h.Handler.Handle(ctx, record)
}

// WithAttrs returns a handler of this type: the embedded method would drop the
// attributes of requests.
func (h handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return handler{h.Handler.WithAttrs(attrs)}
}

// WithGroup returns a handler of this type, like WithAttrs.
func (h handler) WithGroup(name string) slog.Handler {
	return handler{h.Handler.WithGroup(name)}
}

// Trace returns a handler that calls next with a context that links log records to
// the request: with the trace and span from the header traceparent or
// X-Cloud-Trace-Context, which the platform's front end sets, and with the execution id
// of the function call from the header Function-Execution-Id. If both trace headers are
// valid, traceparent is used. project is the id of the project that stores the traces.
// Missing or malformed headers are ignored.
func Trace(project string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := context.WithValue(r.Context(), requestKey{}, requestAttrs(project, r.Header))
		next.ServeHTTP(w, r.WithContext(ctx))
	})
}

var (
	// traceparent matches the header of W3C Trace Context, section 3.2. legacyTrace
	// matches X-Cloud-Trace-Context, with its decimal span. The code checks the
	// lengths separately, because a regular expression with counts compiles slowly,
	// at every cold start.
	traceparent = regexp.MustCompile(`^[0-9a-f]+-([0-9a-f]+)-([0-9a-f]+)-`)
	legacyTrace = regexp.MustCompile(`^([0-9a-f]+)(?:/([0-9]+))?`)
	executionID = regexp.MustCompile(`^[0-9A-Za-z_-]+$`)
)

const (
	traceDigits    = 32 // hexadecimal digits of a trace id
	spanDigits     = 16 // hexadecimal digits of a span id
	maxExecutionID = 64 // characters; a longer id is ignored
)

// requestAttrs returns the attributes of a request's log records, for the headers
// that are present and well-formed. traceparent has precedence over
// X-Cloud-Trace-Context.
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

// hexSpan converts a span id to 16 hexadecimal digits. It returns an empty string if
// the id is not a number of 64 bits.
func hexSpan(decimal string) string {
	n, err := strconv.ParseUint(decimal, 10, 64)
	if err != nil {
		return ""
	}
	text := strconv.FormatUint(n, 16)
	return "0000000000000000"[len(text):] + text
}
