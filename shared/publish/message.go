package publish

import (
	"time"
	"unicode/utf8"

	"github.com/geminihook/geminihook/shared/webhook"
)

// sourcePrefix is the part of ce-source before the endpoint. It names the sender.
const sourcePrefix = "//generativelanguage.googleapis.com/webhooks/"

// maxAttribute is Pub/Sub's limit for the value of an attribute, in bytes.
const maxAttribute = 1024

// attributes returns the attributes of a delivery's message: those of the CloudEvents
// binding for Pub/Sub, version 1.0, in binary mode, with the extensions ce-scheme,
// ce-receivedtime and ce-traceparent (distributed tracing). Consumers deduplicate by
// ce-source and ce-id. An attribute is left out if the delivery lacks its value, or if
// Pub/Sub would reject the value: no delivery fails because of its content.
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
		// Without it, a consumer could not decode an encoded body.
		"content-encoding": d.ContentEncoding,
	}
	if !d.Event.Time.IsZero() {
		all["ce-time"] = d.Event.Time.UTC().Format(time.RFC3339Nano)
	}
	if d.Traceparent != "" {
		all["ce-traceparent"] = d.Traceparent
		all["googclient_traceparent"] = d.Traceparent // the name that Google's Pub/Sub clients use
	}
	for name, value := range all {
		if value == "" || len(value) > maxAttribute || !utf8.ValidString(value) {
			delete(all, name)
		}
	}
	return all
}

// source returns ce-source. It ends in "/jwt" if the scheme is JWT, because a token does
// not cover the id.
func source(d *webhook.Delivery) string {
	if d.Scheme == webhook.JWT {
		return sourcePrefix + d.Endpoint + "/jwt"
	}
	return sourcePrefix + d.Endpoint
}
