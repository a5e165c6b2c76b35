package inspector

// A meaning explains an outcome to a first-time user.
type meaning struct {
	Tone string // good: published; calm: duplicate; warn: rejected; bad: error. Sets the colour
	Text string
}

var meanings = map[string]meaning{
	"published": {"good", "Genuine and new. The function claimed the id in Firestore, published the message, marked the record done, and then answered 204."},
	"duplicate": {"calm", "Genuine, but a delivery with this webhook-id is already published. The function answered 204, so the sender stops retrying, and published no second message."},
	"busy":      {"calm", "Genuine, but another request with the same webhook-id is in progress and holds the lease. The sender retries after Retry-After, when that request is done or its lease has expired."},

	"method":       {"warn", "Not a POST. Deliveries are POSTs; other methods are answered 405 and not checked further."},
	"no_function":  {"warn", "No function is at this path. The sender uses another URL than those that serve printed."},
	"malformed":    {"warn", "Not a valid delivery: a header is missing, duplicate or malformed, or the body is incomplete. No signature was checked."},
	"too_large":    {"warn", "The body is over the limit of 1 MiB. The function did not read it to its end, and checked no signature."},
	"unauthorized": {"warn", "The URL has no valid token for this endpoint. Google's keys sign for all customers of the API, so only the URL token shows that the delivery is for this receiver. The body was not read."},
	"forged":       {"warn", "The signature matches none of the accepted keys. The sender has another key, or the id, the timestamp or the body was changed in transit."},
	"audience":     {"warn", "Google signed this JWT for another receiver: it contains no configured audience."},

	"stale":       {"bad", "The signature is genuine, but its timestamp is more than 5 minutes off. Possible causes: a replay, a delayed delivery, or a wrong clock. A retry should have a new timestamp and signature; whether Gemini's has is not confirmed."},
	"mismatch":    {"bad", "Genuine, but the same id is already published with another body. The function published no second message, answered 204, and logged an error."},
	"unmarked":    {"bad", "The message is published, but the record could not be marked done. If the sender retries, the message may be published again with the same id."},
	"unavailable": {"bad", "The receiver failed: reading a secret or the keys, Firestore or Pub/Sub failed or timed out. It answered 503, so the sender retries."},
	"overloaded":  {"warn", "The instance reached its concurrency limit, so it did not read this request. It answered 503 with Retry-After, so the sender retries."},
	"slow_body":   {"warn", "The body was not complete 2.5 seconds after the request began. The function answered 503, so a genuine sender retries."},
	noLogLine:     {"bad", "The function logged no line for this request. The request did not reach it, or the line is not written yet."},
}

const noLogLine = "no log line"

// meaningOf returns the meaning of an outcome. An unknown outcome has one, too.
func meaningOf(outcome string) meaning {
	if m, ok := meanings[outcome]; ok {
		return m
	}
	return meaning{"bad", "This page has no explanation for this outcome."}
}

// taken are the outcomes of verified deliveries. Unverified ones can be "unavailable",
// too.
var taken = map[string]bool{
	"published": true, "duplicate": true, "busy": true, "mismatch": true, "unmarked": true, "unavailable": true,
}
