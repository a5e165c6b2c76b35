package webhook_test

import (
	"errors"
	"maps"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A refused is an error and the kind, step and reason that it must have.
type refused struct {
	err    error
	kind   error
	step   webhook.Step
	reason webhook.Reason
}

func (r refused) check(t *testing.T) {
	t.Helper()
	got := webhook.AsRefusal(r.err)
	if got == nil || got.Kind != r.kind || got.Step != r.step || got.Reason != r.reason || !errors.Is(r.err, r.kind) {
		t.Errorf("%v: %+v, want %v at %s: %s", r.err, got, r.kind, r.step, r.reason)
	}
}

// Each refusal of this package has the right kind, step and reason. The receiver's
// refusals are in its own test.
func TestRefusals(t *testing.T) {
	const (
		headers                = webhook.StepHeaders
		scheme, signature, jwt = webhook.StepScheme, webhook.StepSignature, webhook.StepJWT
	)
	static, v1a := sides(t)[0], sides(t)[1]
	mutated := func(s side, mutate func(http.Header)) error {
		h := genuine(s)
		mutate(h)
		_, err := s.verifier.Verify(t.Context(), h, someBody)
		return err
	}
	set := func(name string, values ...string) func(http.Header) {
		return func(h http.Header) { h[name] = values }
	}
	at := func(s side, sent time.Time) error {
		h := webhooktest.Header(someID, sent, s.sign(someID, webhooktest.Timestamp(sent), someBody))
		_, err := s.verifier.Verify(t.Context(), h, someBody)
		return err
	}
	byJWT := func(change func(*jwtDelivery)) error {
		d := genuineJWT()
		change(d)
		_, err := d.verify(t)
		return err
	}
	gate := func(text string) error {
		return (&webhook.URLTokenGate{Tokens: ring[webhook.URLToken]{parseURLToken(t, urlToken)}}).Check(t.Context(), text)
	}
	audiences := func(d *jwtDelivery) { d.verifier.Audiences = nil }
	day := 24 * time.Hour

	tests := []refused{
		{gate(""), webhook.ErrUnauthorized, webhook.StepGate, webhook.URLTokenMissing},
		{gate("x"), webhook.ErrUnauthorized, webhook.StepGate, webhook.URLTokenWrong},

		{mutated(static, set("Webhook-Id")), webhook.ErrMalformed, headers, webhook.IDMissing},
		{mutated(static, set("Webhook-Id", "")), webhook.ErrMalformed, headers, webhook.IDMissing},
		{mutated(static, set("Webhook-Id", "a", "b")), webhook.ErrMalformed, headers, webhook.IDRepeated},
		{mutated(static, set("Webhook-Id", "a.b")), webhook.ErrMalformed, headers, webhook.IDMalformed},
		{mutated(static, set("Webhook-Id", strings.Repeat("a", 257))), webhook.ErrMalformed, headers, webhook.IDMalformed},
		{mutated(v1a, set("Webhook-Timestamp")), webhook.ErrMalformed, headers, webhook.TimestampMissing},
		{mutated(v1a, set("Webhook-Timestamp", "1", "1")), webhook.ErrMalformed, headers, webhook.TimestampRepeated},
		{mutated(v1a, set("Webhook-Timestamp", "x")), webhook.ErrMalformed, headers, webhook.TimestampMalformed},
		{mutated(static, set("Webhook-Signature")), webhook.ErrMalformed, headers, webhook.SignatureMissing},
		{mutated(static, set("Webhook-Signature", "", "")), webhook.ErrMalformed, headers, webhook.SignatureMissing},
		{mutated(static, set("Webhook-Signature", strings.Repeat("v1,a ", 17))), webhook.ErrMalformed, headers, webhook.TooManySignatures},
		{mutated(v1a, set("Webhook-Signature", strings.Repeat("v1a,a ", 5))), webhook.ErrMalformed, headers, webhook.TooManySignatures},
		{byJWT(text(func(jwt string) string { return jwt + strings.Repeat("A", 16<<10) })), webhook.ErrMalformed, headers, webhook.JWTTooLarge},

		{mutated(static, set("Webhook-Signature", "v1a,a")), webhook.ErrForged, scheme, webhook.NoSignature},
		{mutated(v1a, set("Webhook-Signature", "v1,a")), webhook.ErrForged, scheme, webhook.NoSignature},
		{byJWT(text(func(string) string { return "a.b.*" })), webhook.ErrForged, scheme, webhook.JWTMalformed},
		{byJWT(text(func(string) string { return ".." })), webhook.ErrForged, scheme, webhook.JWTMalformed},
		{byJWT(header("alg", "none")), webhook.ErrForged, scheme, webhook.JWTAlgorithm},
		{byJWT(header("crit", []string{"exp"})), webhook.ErrForged, scheme, webhook.JWTCritical},

		{mutated(static, set("Webhook-Id", "another")), webhook.ErrForged, signature, webhook.NoKeyMatches},
		{mutated(v1a, set("Webhook-Id", "another")), webhook.ErrForged, signature, webhook.NoKeyMatches},
		{byJWT(header("kid", "unknown")), webhook.ErrForged, signature, webhook.NoKeyMatches},

		{byJWT(claim("exp", "soon")), webhook.ErrForged, jwt, webhook.JWTClaimsForm},
		{byJWT(audiences), webhook.ErrAudience, jwt, webhook.AudienceUnset},
		{byJWT(claim("aud", "another")), webhook.ErrAudience, jwt, webhook.AudienceUnknown},
		{byJWT(without("exp")), webhook.ErrForged, jwt, webhook.JWTExpMissing},
		{byJWT(in("exp", -day)), webhook.ErrStale, jwt, webhook.JWTExpired},
		{byJWT(in("nbf", day)), webhook.ErrStale, jwt, webhook.JWTNotYet},
		{byJWT(in("iat", -day)), webhook.ErrStale, jwt, webhook.JWTOld},
		{byJWT(in("iat", day)), webhook.ErrStale, jwt, webhook.JWTAhead},
		{byJWT(in("exp", day)), webhook.ErrStale, jwt, webhook.JWTLivesLong},
		{byJWT(without("data")), webhook.ErrForged, jwt, webhook.EventMissing},
		{byJWT(claim("type", "another")), webhook.ErrForged, jwt, webhook.EventDiffers},
		{byJWT(func(d *jwtDelivery) { d.body = []byte("hello") }), webhook.ErrForged, jwt, webhook.EventNotInBody},

		{at(static, time.Now().Add(-day)), webhook.ErrStale, webhook.StepTimestamp, webhook.TimestampOld},
		{at(v1a, time.Now().Add(day)), webhook.ErrStale, webhook.StepTimestamp, webhook.TimestampAhead},
	}
	missing := make(map[webhook.Reason]bool)
	for _, r := range webhook.Refusals() {
		missing[r.Reason] = true
	}
	for _, test := range tests {
		test.check(t)
		delete(missing, test.reason)
	}
	left := slices.Sorted(maps.Keys(missing))
	want := []webhook.Reason{webhook.BodyIncomplete, webhook.BodySlow, webhook.BodyTooLarge, webhook.NotPOST, webhook.TooManyRequests}
	if !slices.Equal(left, want) {
		t.Errorf("reasons without a test: %q, want the receiver's, %q", left, want)
	}
}

// The constants and the table have the same reasons, in the order of the steps. Each
// reason is a word that a log filter can contain.
func TestReasonsAreAFixedSet(t *testing.T) {
	source, err := os.ReadFile("refusal.go")
	if err != nil {
		t.Fatal(err)
	}
	constants := func(kind string) (names []string) {
		for _, m := range regexp.MustCompile(kind+` += "([a-z0-9_]+)"`).FindAllStringSubmatch(string(source), -1) {
			names = append(names, m[1])
		}
		return names
	}
	var listed []string
	steps := constants("Step")
	for _, r := range webhook.Refusals() {
		listed = append(listed, string(r.Reason))
		if !slices.Contains(steps, string(r.Step)) {
			t.Errorf("%s: no step %q", r.Reason, r.Step)
		}
		if r.Error() != r.Kind.Error() {
			t.Errorf("%s: without a detail it reads %q", r.Reason, r)
		}
	}
	declared := constants("Reason")
	slices.Sort(declared)
	slices.Sort(listed)
	if !slices.Equal(listed, declared) || len(slices.Compact(declared)) != len(listed) {
		t.Errorf("in the table %q,\ndeclared     %q", listed, declared)
	}
}

// Failures of ours are not refusals, even if they wrap other errors.
func TestOutageIsNoRefusal(t *testing.T) {
	down := errors.New("down")
	_, err := (&webhook.Static{Keys: outage[webhook.SigningKey]{down}}).Verify(t.Context(), genuine(sides(t)[0]), someBody)
	if !errors.Is(err, down) || webhook.AsRefusal(err) != nil {
		t.Errorf("%v is a refusal", err)
	}
}
