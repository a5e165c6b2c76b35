package reconcile

import (
	"cmp"
	"errors"
	"net/url"
	"strings"
	"time"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gemini"
	"github.com/geminihook/geminihook/shared/jobs"
	"github.com/geminihook/geminihook/shared/reconcile"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/settings"
)

const (
	// A grace below five minutes is shorter than a slow delivery takes; above twelve hours
	// a missed event comes too late to be of use.
	minGrace, maxGrace = 5 * time.Minute, 12 * time.Hour

	defaultGrace    = time.Hour
	defaultLookBack = 48 * time.Hour

	// lookBackMargin is how much longer than the grace the look-back is, so that several
	// passes see each job.
	lookBackMargin = time.Hour
)

// options are this function's settings: those of a pass, and where the API and its key
// are.
type options struct {
	passOptions
	keySecret string // full name of the secret that holds the API key
	apiURL    *url.URL
}

// readOptions returns the settings, or all of their faults.
func readOptions(r *settings.Reader) (o options, err error) {
	o.passOptions = readPass(r)
	o.keySecret = settings.Parse(r, "API_KEY_SECRET_NAME", secretName(o.Project))
	o.apiURL = settings.Parse(r, "GEMINI_API_URL", gemini.ParseURL)
	return o, r.Err()
}

// passOptions are the settings of a pass: the common ones and its own.
type passOptions struct {
	settings.Common
	place jobs.Place
	pass  reconcile.Options
}

// readPass reads the settings of a pass. They are valid only if r.Err returns nil.
func readPass(r *settings.Reader) (o passOptions) {
	o.Common = r.Common()
	o.place = readPlace(r, o.Common)
	p := &o.pass
	p.Mode = settings.Parse(r, "RECONCILE", reconcile.ParseMode)
	p.Grace = r.Duration("GRACE", defaultGrace, minGrace, maxGrace)
	p.LookBack = r.Duration("LOOK_BACK", defaultLookBack, p.Grace+lookBackMargin+1, o.Retention-1)
	p.Reenable = r.Bool("REENABLE", false)
	p.PublishUnknown = r.Bool("PUBLISH_UNKNOWN", false)
	if r.Bool("STATIC_WEBHOOK", true) {
		p.StaticURL = settings.Parse(r, "STATIC_URL", parseURL)
	}
	if r.String("DYNAMIC_URL", "") != "" {
		p.DynamicURL = settings.Parse(r, "DYNAMIC_URL", parseURL)
	}
	return o
}

// keyPrefix begins Google's API keys, which would pass for the id of a secret.
const keyPrefix = "AIza"

// secretName returns a parser of the name of a secret, which must not be an API key: the
// name is logged.
func secretName(project string) func(text string) (string, error) {
	return func(text string) (string, error) {
		if strings.HasPrefix(text, keyPrefix) {
			return "", errors.New("an API key, not the name of a secret: keep the key in Secret Manager, and give the secret's name")
		}
		return secret.Name(project, text)
	}
}

// readPlace reads where the register is. The three collections must differ: each is read
// as a whole, or by fields of its own.
func readPlace(r *settings.Reader, c settings.Common) jobs.Place {
	collection := func(name, fallback string) string {
		return settings.Parse(r, name, func(text string) (string, error) {
			return dedup.ParseCollection(cmp.Or(text, fallback))
		})
	}
	place := jobs.Place{
		Project:      c.Project,
		Database:     c.Database,
		Jobs:         collection("JOBS_COLLECTION", "jobs"),
		Notes:        collection("STATE_COLLECTION", "reconcile"),
		Subscription: settings.Parse(r, "JOBS_SUBSCRIPTION", jobs.SubscriptionIn(c.Project, "geminihook-jobs")),
		Rejected:     settings.Parse(r, "JOBS_DEAD_LETTER_TOPIC", jobs.TopicIn(c.Project, "geminihook-jobs-rejected")),
	}
	if place.Jobs != "" && (place.Jobs == place.Notes || place.Jobs == c.Collection) {
		r.Fault("JOBS_COLLECTION", errors.New("another setting names the same collection"))
	}
	if place.Notes != "" && place.Notes == c.Collection {
		r.Fault("STATE_COLLECTION", errors.New("another setting names the same collection"))
	}
	return place
}

// parseURL returns the URL of a webhook.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("not the URL of a webhook")
	}
	return u, nil
}
