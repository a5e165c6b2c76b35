package dynamic

import (
	"cmp"
	"net/url"

	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/settings"
)

// options are this function's settings: the common ones and its own.
type options struct {
	settings.Common
	keysURL         *url.URL
	audiences       []string // none: all JWTs are rejected
	jwtWithoutEvent bool     // accept JWTs without an event, if tokenRequired
	tokenRequired   bool
	tokenSecret     string // full name of the secret, or empty if no token is required
}

// readOptions returns the settings, or all of their faults.
func readOptions() (o options, err error) {
	var r settings.Reader
	o.Common = r.Common()
	o.keysURL = settings.Parse(&r, "JWKS_URL", func(text string) (*url.URL, error) {
		return jwks.ParseURL(cmp.Or(text, jwks.GoogleURL))
	})
	o.audiences = r.List("JWT_AUDIENCES")
	o.jwtWithoutEvent = r.Bool("JWT_WITHOUT_EVENT", true)
	if o.tokenRequired = r.Bool("URL_TOKEN_REQUIRED", true); o.tokenRequired {
		o.tokenSecret = settings.Parse(&r, "URL_TOKEN_SECRET_NAME", secret.NameIn(o.Project))
	}
	return o, r.Err()
}
