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
	// Until askedOften after its grace, each pass calls the API for a registered job
	// that runs. After that, the interval is the job's age divided by ageShare, but
	// at most maxInterval. So an old job causes few calls, and the delay until its
	// end is seen grows with its age.
	askedOften  = 2 * time.Hour
	ageShare    = 8
	maxInterval = 2 * time.Hour

	// A job is lost if the API answered 404 or 403 to at least lostAsks consecutive
	// calls, and the first of these was at least lostAfter ago. Fewer answers are no
	// proof: the API has been seen to answer 404 for new jobs for a while, and 403 for
	// jobs that exist.
	lostAsks  = 5
	lostAfter = time.Hour

	// batchLife is the time after which the API expires a batch that has not ended.
	// So a batch that was created more than batchLife before the look-back cannot
	// have ended within it.
	batchLife = 48 * time.Hour

	// enablePause is the minimum time between two passes that enable the webhook. If
	// deliveries still fail, the webhook is not enabled again and again.
	enablePause = 6 * time.Hour
)

// missing is the state of our webhook if no webhook has our URL. The API's
// states do not include it.
const missing = "missing"

// A staticWebhook is the combined state of the webhooks registered at our URL.
type staticWebhook struct {
	state  string   // the API's word, or missing
	events []string // event types that any of them is subscribed to
	failed string   // id of one that Gemini disabled; empty if one is enabled
}

// staticAt combines the webhooks registered at our URL. Several may share it: if one of
// them is enabled, the state is Enabled; else it is the state of the last one.
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

// sameURL reports whether text is the URL at, apart from their queries. The query of a
// dynamic webhook contains a secret token, which is not compared here.
func sameURL(text string, at *url.URL) bool {
	if at == nil {
		return false
	}
	u, err := url.Parse(text)
	return err == nil && u.Scheme == at.Scheme && u.Host == at.Host && slashed(u.Path) == slashed(at.Path)
}

// slashed returns path, or "/" if path is empty: both are the same URL.
func slashed(path string) string {
	if path == "" {
		return "/"
	}
	return path
}

// mayEnable reports whether Gemini disabled the webhook, and no pass has enabled it
// within enablePause. enabledAt is zero if no pass ever has.
func mayEnable(w staticWebhook, enabledAt, now time.Time) bool {
	return w.failed != "" && w.state == gemini.DisabledByFailures && now.Sub(enabledAt) >= enablePause
}

// An owner is the receiver of a batch's event.
type owner int

const (
	unsubscribed owner = iota // no receiver: our webhook is not subscribed to the event
	us                        // one of our URLs
	foreign                   // other URLs only
)

// ownerOf returns the receiver of an event of a batch with these URLs in its
// webhook_config. A batch with URLs is ours if one of them is in own. A batch without
// URLs is ours if our project-level webhook is subscribed to the event.
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
	return unsubscribed
}

// due reports whether a pass at this time calls the API for a registered job.
func due(j *jobs.Job, now time.Time, grace time.Duration) bool {
	return !now.Before(j.RegisteredAt.Add(grace)) && !now.Before(j.NextAt)
}

// nextAsk returns the time of the next API call for a registered job.
func nextAsk(j *jobs.Job, now time.Time, grace time.Duration) time.Time {
	age := now.Sub(j.RegisteredAt)
	if age < grace+askedOften {
		return j.NextAt // in each pass
	}
	return now.Add(min(age/ageShare, maxInterval))
}

// isLost reports whether a job has so many misses that it counts as lost.
func isLost(j *jobs.Job, now time.Time) bool {
	return j.Misses >= lostAsks && now.Sub(j.MissedSince) >= lostAfter
}

// isDelivered reports whether one of a job's records is of an event that ends the job.
func isDelivered(kind jobs.Kind, records []dedup.Record) bool {
	return slices.ContainsFunc(records, func(r dedup.Record) bool {
		return isOf(r.Type, kind) && slices.Contains(terminal, r.Type)
	})
}

// recurrenceDelivered reports whether the records contain the event of an action that a
// job requires since at. Records from before that are of earlier actions.
func recurrenceDelivered(at time.Time, records []dedup.Record) bool {
	return slices.ContainsFunc(records, func(r dedup.Record) bool {
		return r.Type == requiresAction && !r.DoneAt.Before(at)
	})
}

// seenLate reports whether a registered job may have ended more than lookBack before
// a pass first saw its end. If so, the record of its delivery may have expired. If
// the API does not report the time of the end, seenLate assumes the earliest one
// possible: the time of the registration.
func seenLate(f *finding, j *jobs.Job, lookBack time.Duration) bool {
	earliest := f.at
	if earliest.Equal(j.EndedAt) {
		earliest = j.RegisteredAt
	}
	return f.phase == ended && j.EndedAt.Sub(earliest) > lookBack
}

// bySender reports whether a record is of a delivery from Gemini, not of an event
// that a pass published.
func bySender(r *dedup.Record) bool { return r.Endpoint != webhook.ReconciledEndpoint }

// An action is the treatment of a missing event. The values are in the log.
type action string

const (
	handOver   action = "handed_over"
	holdBack   action = "held"
	reportOnly action = "reported"
	deferred   action = "deferred" // left to the next pass, because of a bound or a failure
)

// decide returns the action for the missing event of a finding, if maxHandedOver is
// not reached yet. hold means that the event may have been delivered without being
// recognised.
func decide(f *finding, o *Options, hold bool) action {
	switch {
	case o.Mode == Report:
		return reportOnly
	case f.origin == undocumented && !o.PublishUnknown:
		return reportOnly
	case o.Mode != Publish && f.origin != ours && hold:
		return holdBack
	}
	return handOver
}
