package publish

import (
	"time"
	"unicode/utf8"

	"github.com/geminihook/geminihook/shared/webhook"
)

// sourcePrefix names the sender in ce-source, before the endpoint.
const sourcePrefix = "//generativelanguage.googleapis.com/webhooks/"

// maxAttribute is Pub/Sub's limit, in bytes, on the value of an attribute.
const maxAttribute = 1024

// attributes are those of the CloudEvents binding for Pub/Sub, version 1.0, in
// binary mode, with the extensions ce-scheme, ce-receivedtime and ce-traceparent, which
// is that of distributed tracing. Consumers deduplicate by ce-source and ce-id. What the
// delivery does not have, or Pub/Sub would refuse, is left out: nothing is ever refused
// for its content.
func attributes(d *webhook.Delivery) map[string]string {
	all := map[string]string{
		"ce-specversion":  "1.0",
		"ce-id":           d.ID,
		"ce-source":       source(d),
		"ce-type":         d.Event.Type,
		"ce-subject":      d.Event.JobID,
		"ce-scheme":       string(d.Scheme),
		"ce-receivedtime": d.Received.UTC().Format(time.RFC3339Nano),
		"content-type":    d.ContentType,
		// Without it a consumer could not read a body that came encoded.
		"content-encoding": d.ContentEncoding,
	}
	if !d.Event.Time.IsZero() {
		all["ce-time"] = d.Event.Time.UTC().Format(time.RFC3339Nano)
	}
	if d.Traceparent != "" {
		all["ce-traceparent"] = d.Traceparent
		all["googclient_traceparent"] = d.Traceparent // where Google's Pub/Sub clients write and read it
	}
	for name, value := range all {
		if value == "" || len(value) > maxAttribute || !utf8.ValidString(value) {
			delete(all, name)
		}
	}
	return all
}

// source tells consumers what the id is worth: a token binds none.
func source(d *webhook.Delivery) string {
	if d.Scheme == webhook.JWT {
		return sourcePrefix + d.Endpoint + "/jwt"
	}
	return sourcePrefix + d.Endpoint
}
