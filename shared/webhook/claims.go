package webhook

import (
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// MaxJWTLife is how far ahead exp may be, beside the tolerance. A JWT can be
	// replayed for as long as it lives, so one that lives for a year is refused.
	MaxJWTLife = time.Hour

	// maxAudience bounds, in bytes, how much of a JWT's aud an error repeats.
	maxAudience = 256
)

// claims are the claims of a JWT: those of RFC 7519, section 4.1, that we look at,
// and all of them as they are written, the event among them where there is one.
type claims struct {
	audience                     audience
	expires, issuedAt, notBefore *float64

	all map[string]member // by folded name
}

func parseClaims(payload []byte) (*claims, error) {
	c := new(claims)
	var err error
	c.all, err = members(payload)
	for name, field := range map[string]any{"aud": &c.audience, "exp": &c.expires, "iat": &c.issuedAt, "nbf": &c.notBefore} {
		if c.has(name) {
			err = errors.Join(err, json.Unmarshal(c.all[name].value, field))
		}
	}
	if err != nil {
		return nil, Refuse(JWTClaimsForm, "the token's claims are not what RFC 7519 says")
	}
	return c, nil
}

// has reports whether there is a claim of exactly that name, and it says something.
func (c *claims) has(name string) bool {
	m := c.all[name]
	return m.name == name && string(m.value) != "null"
}

// audience is one string or a list of them.
type audience []string

func (a *audience) UnmarshalJSON(text []byte) error {
	if text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(a))
	}
	*a = make(audience, 1)
	return json.Unmarshal(text, &(*a)[0])
}

func (c *claims) checkAudience(ours []string) error {
	if len(ours) == 0 {
		return Refuse(AudienceUnset, "no audience is configured, so every token is refused: aud is %v", c.audience)
	}
	for _, ours := range ours {
		if slices.ContainsFunc(c.audience, func(theirs string) bool { return WithoutQuery(theirs) == WithoutQuery(ours) }) {
			return nil
		}
	}
	return Refuse(AudienceUnknown, "aud holds none of those configured: aud is %v", c.audience)
}

// String returns the audience for an error: quoted, its URLs without their queries, and
// cut to 256 bytes before it is quoted.
func (a audience) String() string {
	urls := make([]string, len(a))
	for i := range a {
		urls[i] = WithoutQuery(a[i])
	}
	text := strings.Join(urls, ", ")
	if len(text) > maxAudience {
		return strconv.Quote(text[:maxAudience]) + "…"
	}
	return strconv.Quote(text)
}

// WithoutQuery returns a URL without its query: in the dynamic endpoint's URL the query
// holds the URL token, which belongs in no setting, log or output.
func WithoutQuery(url string) string {
	url, _, _ = strings.Cut(url, "?")
	return url
}

// checkTime compares exp, iat and nbf with now. A JWT must have exp, else it fails
// with ErrForged. It fails with ErrStale for every time that is out of bounds, because
// a sender whose clock is off is no forger. It looks at iat before exp, so that an exp
// too far ahead beside a good iat means that the JWT lives too long.
func (c *claims) checkTime(now time.Time, tolerance time.Duration) error {
	if tolerance == 0 {
		tolerance = DefaultTolerance
	}
	expires, ok := numericDate(c.expires)
	if !ok {
		return Refuse(JWTExpMissing, "the token has no exp")
	}
	if !now.Before(expires.Add(tolerance)) {
		return Refuse(JWTExpired, "the token expired %v ago by our clock", now.Sub(expires).Truncate(time.Second))
	}
	if start, ok := numericDate(c.notBefore); ok && now.Before(start.Add(-tolerance)) {
		return Refuse(JWTNotYet, "the token's nbf is %v ahead of our clock", start.Sub(now).Truncate(time.Second))
	}
	issued, known := numericDate(c.issuedAt)
	if known {
		switch age := now.Sub(issued); {
		case age > tolerance:
			return Refuse(JWTOld, "the token's iat is %v old by our clock", age.Truncate(time.Second))
		case age < -tolerance:
			return Refuse(JWTAhead, "the token's iat is %v ahead of our clock", issued.Sub(now).Truncate(time.Second))
		}
	}
	if most := MaxJWTLife + tolerance; expires.After(now.Add(most)) {
		why := "the token lives too long, or its sender's clock is ahead"
		if known {
			why = "the token lives too long"
		}
		return Refuse(JWTLivesLong, "the token's exp is %v ahead of our clock, of at most %v: %s",
			expires.Sub(now).Truncate(time.Second), most, why)
	}
	return nil
}

// numericDate reads seconds since 1970, with or without a fraction (RFC 7519,
// section 2). What no clock will show is cut to thousands of years away.
func numericDate(seconds *float64) (time.Time, bool) {
	if seconds == nil {
		return time.Time{}, false
	}
	const most = 1e11
	whole, fraction := math.Modf(max(-most, min(*seconds, most)))
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// checkEvent holds what the JWT says against the body: whatever both have must be
// the same, and the event's type and data must be in the body where they are in the
// JWT. Nothing else in a JWT binds the body: where it carries no event, unbound
// says whether it is taken.
func (c *claims) checkEvent(body []byte, unbound bool) error {
	hasType, hasData := c.has("type"), c.has("data")
	if !unbound && !(hasType && hasData) {
		return Refuse(EventMissing, "the token's claims carry no event, so nothing binds the body")
	}
	if !hasType && !hasData {
		return nil
	}
	event, err := members(withoutMark(body))
	if err != nil {
		return Refuse(EventNotInBody, "the token carries an event, the body does not: %v", err)
	}
	for folded, claim := range c.all {
		m, ok := event[folded]
		if ok && (m.name != claim.name || !same(m.value, claim.value)) || !ok && (claim.name == "type" || claim.name == "data") {
			return Refuse(EventDiffers, "the token's event is not the body's")
		}
	}
	return nil
}
