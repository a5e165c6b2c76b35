package inspector

// A meaning says what an outcome is, to somebody who sees it for the first time.
type meaning struct {
	Tone string // its colour: good is published, calm repeated, warn refused, bad an error
	Text string
}

var meanings = map[string]meaning{
	"published": {"good", "Genuine and new. Its id was claimed in the ledger, the message was published, and the record was marked done before the sender got its 204."},
	"duplicate": {"calm", "Genuine, but a delivery with this webhook-id was published before. It is answered 204, so that the sender stops repeating it, and nothing is published a second time."},
	"busy":      {"calm", "Genuine, but another copy of it is being handled at this moment. The 503 and its Retry-After have the sender come back when that copy is done, or its owner is known to be dead."},

	"method":       {"warn", "Deliveries are POSTs. Anything else is answered 405 and looked at no further."},
	"no_function":  {"warn", "No function is at this path, so it reached none: the sender has another URL than the one that serve printed."},
	"malformed":    {"warn", "It is not a delivery at all: a header is missing, doubled, or not in the one form that can be verified. No key was asked."},
	"too_large":    {"warn", "The body is over the limit of 1 MiB. It was not read to its end, and no signature was checked."},
	"unauthorized": {"warn", "The URL does not carry this endpoint's token. Google signs for every customer of the API, so only the token says that the job was ours. The body was not looked at."},
	"forged":       {"warn", "No key in force made this signature over exactly these bytes. Whoever sent it does not hold the key, or something changed the id, the timestamp or the body on the way."},
	"audience":     {"warn", "Google signed this token, but for another receiver: its audience is none of ours."},

	"stale":       {"bad", "The signature is genuine, but the time it was made for is too far from now: a recording that somebody plays again, a delivery that was held up, or a clock that is wrong. A genuine sender signs every retry anew."},
	"mismatch":    {"bad", "Genuine, but the id was published before with another body. An id is the sender's promise, so nothing is published; the log has it as an error."},
	"unmarked":    {"bad", "The message is on its topic, but the record could not be marked done. Should the sender repeat it, it may be published again under the same id."},
	"unavailable": {"bad", "A fault of the receiver's own: a secret, the keys, the ledger or the topic did not answer. The 503 has the sender try again, so nothing is lost."},
	"overloaded":  {"warn", "The instance was serving as many requests at once as it may, so nothing was read of this one. The 503 and its Retry-After have the sender try again."},
	"slow_body":   {"warn", "The body was not there in time, 2.5 seconds after the request began. The 503 has a genuine sender try again; a stranger's half-sent request ends here."},
	noLogLine:     {"bad", "The function has logged nothing of it, so the request did not get through to it, or its log line is still on the way."},
}

const noLogLine = "no log line"

// meaningOf explains an outcome. One that a later release may add is shown all the
// same.
func meaningOf(outcome string) meaning {
	if m, ok := meanings[outcome]; ok {
		return m
	}
	return meaning{"bad", "This page does not know the outcome."}
}

// taken are the outcomes that come after verification.
var taken = map[string]bool{
	"published": true, "duplicate": true, "busy": true, "mismatch": true, "unmarked": true, "unavailable": true,
}
