package webhook

import (
	"net/http"
	"strings"
)

// The form of a traceparent (W3C Trace Context, section 3.2.2):
// "00-TRACE-PARENT-FLAGS", in lower-case hexadecimal digits.
const (
	traceVersion = "00-"
	traceEnd     = len(traceVersion) + 32
	parentEnd    = traceEnd + 1 + 16
	traceLength  = parentEnd + 1 + 2
)

// traceparent returns the traceparent header of a request if there is exactly one and it
// is well-formed, else the empty string. Only version 00 is accepted: the length of
// later ones is not defined. All flags are accepted, because Trace Context adds some
// without a new version.
//
// The header tracestate is not read. CloudEvents makes it optional, and a trace is
// joined without it. It holds up to 32 entries of other vendors, whose content nothing
// here can check.
func traceparent(h http.Header) string {
	values := h["Traceparent"]
	if len(values) != 1 {
		return ""
	}
	text := values[0]
	if len(text) != traceLength || !strings.HasPrefix(text, traceVersion) || text[traceEnd] != '-' || text[parentEnd] != '-' {
		return ""
	}
	trace, parent, flags := text[len(traceVersion):traceEnd], text[traceEnd+1:parentEnd], text[parentEnd+1:]
	if !isTraceID(trace) || !isTraceID(parent) || !isLowerHex(flags) {
		return ""
	}
	return text
}

// isTraceID reports whether text is the id of a trace or of a span. An id of zeros only
// is invalid.
func isTraceID(text string) bool {
	return isLowerHex(text) && strings.Trim(text, "0") != ""
}

func isLowerHex(text string) bool {
	return strings.Trim(text, "0123456789abcdef") == ""
}
