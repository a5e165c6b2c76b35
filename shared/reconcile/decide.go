package reconcile

import (
	"net/url"
	"slices"
	"time"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/webhook"
)

const (
	// askedOften is for how long after its grace a running job is asked for in each pass;
	// from then on the interval is an eighth of the job's age, and at most maxInterval.
	askedOften  = 2 * time.Hour
	ageShare    = 8
	maxInterval = 2 * time.Hour

	// A job is lost if the API answered 404 or 403 to this many asks in a row, over at
	// least this time. New jobs were seen to be answered 404 for a while, and some that
	// exist 403.
	lostAsks  = 5
	lostAfter = time.Hour

	// batchLife is how long a batch may live before it expires, and batchWindow is how
	// long before the look-back one that ended in it may have been created.
	batchLife = 48 * time.Hour

	// enablePause lies between two times that a pass enables the webhook.
	enablePause = 6 * time.Hour
)

// The words for a webhook's state that are not the API's.
const missing = "missing"

// A staticWebhook is what the API says of the webhooks at our URL.
type staticWebhook struct {
	state  string // the API's word, or missing
	events []string
	failed string // the id of the one that the sender disabled, if none is enabled
}

// staticAt picks the webhooks at our URL. Several may share it: one that is enabled
// decides the state.
func staticAt(all []gemini.Webhook, at *url.URL) staticWebhook {
	w := staticWebhook{state: missing}
	for _, one := range all {
		if !sameURL(one.URI, at) {
			continue
		}
		if w.state != gemini.Enabled {
			w.state = one.State
		}
		if one.State == gemini.DisabledByFailures && w.failed == "" {
			w.failed = one.ID
		}
		w.events = append(w.events, one.Events...)
	}
	if w.state == gemini.Enabled {
		w.failed = ""
	}
	return w
}

// sameURL reports whether text is the URL, whatever its query: that of a dynamic webhook
// is a secret.
func sameURL(text string, at *url.URL) bool {
	if at == nil {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && u.Scheme == at.Scheme && u.Host == at.Host && slashed(u.Path) == slashed(at.Path)
}

func slashed(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// mayEnable reports whether the webhook is one that the sender disabled, and the last
// time that a pass enabled it is long enough ago.
func mayEnable(w staticWebhook, enabledAt, now time.Time) bool {
	return w.failed != "" && w.state == gemini.DisabledByFailures && now.Sub(enabledAt) >= enablePause
}

// An owner says whether the events of a batch are expected here.
type owner int

const (
	nobody  owner = iota // its event is not subscribed to
	us                   // its event is expected here
	foreign              // its events go to other URLs
)

// ownerOf decides whose a batch's event is. A batch with URLs of its own is ours if one
// of them is; one without is ours if our static webhook is subscribed to the event.
func ownerOf(uris []string, eventType string, own []*url.URL, static staticWebhook) owner {
	for _, u := range own {
		if slices.ContainsFunc(uris, func(text string) bool { return sameURL(text, u) }) {
			return us
		}
	}
	switch {
	case len(uris) > 0:
		return foreign
	case slices.Contains(static.events, eventType):
		return us
	}
	return nobody
}

// due reports whether the API is to be asked for a registered job in this pass.
func due(j *jobs.Job, now time.Time, grace time.Duration) bool {
	return !now.Before(j.RegisteredAt.Add(grace)) && !now.Before(j.NextAt)
}

// nextAsk returns when the API is to be asked again for a registered job.
func nextAsk(j *jobs.Job, now time.Time, grace time.Duration) time.Time {
	age := now.Sub(j.RegisteredAt)
	if age < grace+askedOften {
		return j.NextAt // in each pass
	}
	return now.Add(min(age/ageShare, maxInterval))
}

// isLost reports whether a job is lost, given its misses.
func isLost(j *jobs.Job, now time.Time) bool {
	return j.Misses >= lostAsks && now.Sub(j.MissedSince) >= lostAfter
}

// isDelivered reports whether one of a job's records, which are done, is of an event
// that ends the job.
func isDelivered(kind jobs.Kind, records []dedup.Record) bool {
	return slices.ContainsFunc(records, func(r dedup.Record) bool {
		return isOf(r.Type, kind) && slices.Contains(terminal, r.Type)
	})
}

// recurrenceDelivered reports whether a job that requires an action since at has been
// delivered as such. It may have required others before.
func recurrenceDelivered(at time.Time, records []dedup.Record) bool {
	return slices.ContainsFunc(records, func(r dedup.Record) bool {
		return r.Type == requiresAction && !r.DoneAt.Before(at)
	})
}

// bySender reports whether a record is of a delivery that the sender made.
func bySender(r *dedup.Record) bool { return r.Endpoint != webhook.ReconciledEndpoint }

// An action is what a pass does with an event that was not delivered.
type action string

const (
	handOver   action = "handed_over"
	holdBack   action = "held"
	reportOnly action = "reported"
	deferred   action = "deferred" // by a bound of ours, or a failure: the next pass does it
)

// decide returns what to do with the event of a finding, while the bound on handing over
// leaves room for it. hold says that its kind is held.
func decide(f *finding, o *Options, hold bool) action {
	switch {
	case o.Mode == Report:
		return reportOnly
	case f.origin == undocumented && !o.PublishUnknown:
		return reportOnly
	case o.Mode == Auto && f.origin != ours && hold:
		return holdBack
	}
	return handOver
}
