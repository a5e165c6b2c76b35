package dynamic

import (
	"cmp"
	"net/url"

	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/settings"
)

// options are the common settings and the settings of this function.
type options struct {
	settings.Common
	keysURL         *url.URL // JWKS_URL; default jwks.GoogleURL
	audiences       []string // JWT_AUDIENCES; if empty, all JWTs are rejected
	jwtWithoutEvent bool     // JWT_WITHOUT_EVENT, default true; ignored unless tokenRequired
	tokenRequired   bool     // URL_TOKEN_REQUIRED, default true
	tokenSecret     string   // URL_TOKEN_SECRET_NAME as a full name; empty unless tokenRequired
}

// readOptions reads the settings. Its error contains all faults.
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
