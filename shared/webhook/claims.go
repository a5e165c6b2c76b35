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
	// MaxJWTLife limits a JWT's exp. A JWT is rejected if its exp is more than
	// MaxJWTLife plus the tolerance after the current time. A JWT without iat can be
	// replayed until it expires, so a JWT that is valid for a year is rejected, with or
	// without iat.
	MaxJWTLife = time.Hour

	// maxAudience is the maximum number of bytes of a JWT's aud that an error
	// repeats.
	maxAudience = 256
)

// claims are the claims of a JWT: the registered claims (RFC 7519, section 4.1) that
// geminihook checks, and all claims as written, which may include an event.
type claims struct {
	audience                     audience
	expires, issuedAt, notBefore *float64

	all map[string]member // all claims, by folded name; see fold
}

// parseClaims parses a JWT's payload. It fails with a *Refusal of kind ErrForged.
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
		return nil, Refuse(JWTClaimsForm, "the token's claims do not conform to RFC 7519")
	}
	return c, nil
}

// has reports whether there is a claim with exactly this name, and it is not null.
func (c *claims) has(name string) bool {
	m := c.all[name]
	return m.name == name && string(m.value) != "null"
}

// audience is the aud claim: one string or a list of strings.
type audience []string

// UnmarshalJSON accepts both forms.
func (a *audience) UnmarshalJSON(text []byte) error {
	if text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(a))
	}
	*a = make(audience, 1)
	return json.Unmarshal(text, &(*a)[0])
}

// checkAudience fails with ErrAudience unless aud contains one of ours. It ignores
// query strings on both sides.
func (c *claims) checkAudience(ours []string) error {
	if len(ours) == 0 {
		return Refuse(AudienceUnset, "no audience is configured, so every token is rejected: aud is %v", c.audience)
	}
	for _, ours := range ours {
		if slices.ContainsFunc(c.audience, func(theirs string) bool { return WithoutQuery(theirs) == WithoutQuery(ours) }) {
			return nil
		}
	}
	return Refuse(AudienceUnknown, "aud contains no configured audience: aud is %v", c.audience)
}

// String returns the audience for an error: quoted, without the queries of URLs, and
// truncated to 256 bytes before quoting.
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

// WithoutQuery returns a URL without its query. The query of the dynamic endpoint's
// URL contains the URL token, which must not appear in settings, logs or output.
func WithoutQuery(url string) string {
	url, _, _ = strings.Cut(url, "?")
	return url
}

// checkTime compares exp, iat and nbf with now. It fails with ErrForged if the JWT
// has no exp. It fails with ErrStale if a time is out of bounds, because the sender's
// clock may be wrong. A tolerance of zero means DefaultTolerance.
//
// It checks iat before exp. If iat is within the tolerance and exp is too far ahead,
// the JWT's lifetime is too long; the clock is not the cause.
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
		return Refuse(JWTLivesLong, "the token's exp is %v ahead of our clock, more than the maximum of %v: %s",
			expires.Sub(now).Truncate(time.Second), most, why)
	}
	return nil
}

// numericDate converts seconds since 1970, with or without a fraction (RFC 7519,
// section 2). It limits the result to about 3,000 years from 1970, so that the
// conversion to int64 cannot overflow. It returns false if seconds is nil.
func numericDate(seconds *float64) (time.Time, bool) {
	if seconds == nil {
		return time.Time{}, false
	}
	const most = 1e11
	whole, fraction := math.Modf(max(-most, min(*seconds, most)))
	return time.Unix(int64(whole), int64(fraction*1e9)), true
}

// checkEvent compares the claims with the body. A member that is in both must be
// equal in both, and if the JWT has a type or data, the body must have it too.
//
// Nothing else in a JWT binds it to a body. A JWT without type and data is accepted
// only if unbound is true.
func (c *claims) checkEvent(body []byte, unbound bool) error {
	hasType, hasData := c.has("type"), c.has("data")
	if !unbound && !(hasType && hasData) {
		return Refuse(EventMissing, "the token's claims carry no event, so the token is valid for any body")
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
