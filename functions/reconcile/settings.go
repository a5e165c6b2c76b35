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
	// The bounds of GRACE. Below five minutes it is shorter than the time of a slow
	// delivery. Above twelve hours a rebuilt event is too late to be useful.
	minGrace, maxGrace = 5 * time.Minute, 12 * time.Hour

	defaultGrace    = time.Hour      // default of GRACE
	defaultLookBack = 48 * time.Hour // default of LOOK_BACK

	// lookBackMargin is the time by which LOOK_BACK must at least exceed GRACE, so
	// that several passes see each job.
	lookBackMargin = time.Hour
)

// options are the settings of this function.
type options struct {
	passOptions
	keySecret string // API_KEY_SECRET_NAME as a full name
}

// readOptions reads the settings. Its error contains all faults.
func readOptions(r *settings.Reader) (o options, err error) {
	o.passOptions = readPass(r)
	o.keySecret = settings.Parse(r, "API_KEY_SECRET_NAME", secretName(o.Project))
	return o, r.Err()
}

// passOptions are the settings of a pass: the common ones and its own.
type passOptions struct {
	settings.Common
	apiURL *url.URL          // GEMINI_API_URL
	place  jobs.Place        // the register of started jobs
	pass   reconcile.Options // the settings of package reconcile
}

// readPass reads the settings of a pass. They are valid only if r.Err returns nil.
func readPass(r *settings.Reader) (o passOptions) {
	o.Common = r.Common()
	o.apiURL = settings.Parse(r, "GEMINI_API_URL", gemini.ParseURL)
	o.place = readPlace(r, o.Common)
	p := &o.pass
	p.Mode = settings.Parse(r, "RECONCILE", reconcile.ParseMode)
	p.Grace = r.Duration("GRACE", defaultGrace, minGraceAt(o.apiURL), maxGrace)
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

// minGraceAt returns the lower bound of GRACE. It is zero if the API is a stand-in on
// this machine, which delivers at once.
func minGraceAt(api *url.URL) time.Duration {
	if api == nil || api.String() == gemini.DefaultURL {
		return minGrace
	}
	return 0
}

// keyPrefix is the prefix of Google's API keys. Such a key is also a valid id of a
// secret.
const keyPrefix = "AIza"

// secretName returns a parser for the name of a secret in project. It rejects an API
// key, entered by mistake, because the name is logged.
func secretName(project string) func(text string) (string, error) {
	return func(text string) (string, error) {
		if strings.HasPrefix(text, keyPrefix) {
			return "", errors.New("an API key, not the name of a secret: keep the key in Secret Manager, and give the secret's name")
		}
		return secret.Name(project, text)
	}
}

// readPlace reads the location of the register. It records a fault if two of the
// three collections are equal, because a query of one collection would return
// documents of the other.
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

// parseURL parses the URL of a webhook. It fails unless the URL is absolute and its
// scheme is https or http.
func parseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, errors.New("not the URL of a webhook")
	}
	return u, nil
}
