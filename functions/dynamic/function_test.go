package dynamic

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lestrrat-go/jwx/v2/jwa"
	"github.com/lestrrat-go/jwx/v2/jws"

	"github.com/geminihook/geminihook/functions/functiontest"
	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const (
	secretID = "geminihook-url-token"
	urlToken = "n0t-a-guess-8f1c2d3e4b5a6978"
	query    = "?token=" + urlToken
	audience = "https://example.com/DynamicWebhook"
)

// start serves the function as deployed, in a project whose URL token has one
// version.
func start(t *testing.T, p *functiontest.Project) *functiontest.Endpoint {
	t.Helper()
	p.AddSecret(t, secretID, urlToken+"\n")
	t.Setenv("URL_TOKEN_SECRET_NAME", secretID)
	t.Setenv("JWT_AUDIENCES", "https://elsewhere.example.com, "+audience+"?token=x")
	logged := new(functiontest.Log)
	return functiontest.Serve(t, handler(cloudlog.New(logged)), logged)
}

// handler returns the function with l as its log.
func handler(l *slog.Logger) http.Handler {
	log = l
	return &instance.Handler{Build: build, Log: log}
}

// signV1a signs as Gemini does, with the standard library only.
func signV1a(key ed25519.PrivateKey, id string, at time.Time, body string) http.Header {
	signature := ed25519.Sign(key, fmt.Appendf(nil, "%s.%d.%s", id, at.Unix(), body))
	return webhooktest.Header(id, at, "v1a,"+base64.StdEncoding.EncodeToString(signature))
}

// signJWT makes a JWT with jwx only.
func signJWT(t *testing.T, alg jwa.SignatureAlgorithm, key any, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jws.Sign(payload, jws.WithKey(alg, key))
	if err != nil {
		t.Fatal(err)
	}
	return string(token)
}

func TestDelivery(t *testing.T) {
	functiontest.OnBoth(t, func(t *testing.T, p *functiontest.Project) {
		endpoint := start(t, p)
		body := string(webhooktest.NewEvent("interaction.completed"))
		claims := webhooktest.Claims(audience, time.Now(), []byte(body))
		bare := map[string]any{"aud": audience, "exp": time.Now().Add(time.Minute).Unix()}
		tests := []struct {
			scheme, source string
			header         http.Header
		}{
			{"v1a", "dynamic", signV1a(p.Keys.Ed25519(2), webhooktest.NewID(), time.Now(), body)},
			{"jwt", "dynamic/jwt", webhooktest.Header(webhooktest.NewID(), time.Now(), signJWT(t, jwa.RS256, p.Keys.RSA(), claims))},
			{"jwt", "dynamic/jwt", webhooktest.Header(webhooktest.NewID(), time.Now(), signJWT(t, jwa.EdDSA, p.Keys.Ed25519(0), bare))},
		}
		for _, test := range tests {
			id := test.header.Get("Webhook-Id")
			for i, outcome := range []string{"published", "duplicate"} {
				if answer := endpoint.Post(t, query, test.header, body); answer.Status != http.StatusNoContent {
					t.Fatalf("%s, %s: answered %d", test.scheme, outcome, answer.Status)
				}
				if line := endpoint.Log.Lines(t, "delivery")[0]; line["outcome"] != outcome || line["scheme"] != test.scheme || line["webhook_id"] != id {
					t.Errorf("%s: logged %v, want %s", test.scheme, line, outcome)
				}
				messages := p.Messages(t)
				if len(messages) != 1-i {
					t.Fatalf("%s, %s: %d messages", test.scheme, outcome, len(messages))
				}
				if i > 0 {
					continue
				}
				m := messages[0]
				if m.Topic != functiontest.InteractionTopic || string(m.Data) != body || m.Attributes["ce-id"] != id ||
					m.Attributes["ce-source"] != "//generativelanguage.googleapis.com/webhooks/"+test.source {
					t.Errorf("%s: %s with %v", test.scheme, m.Topic, m.Attributes)
				}
			}
		}
		if n := p.Keys.Fetches(); n != 1 {
			t.Errorf("the key set was fetched %d times, want once", n)
		}
	})
}

// With keys and token in memory, a delivery makes the same calls as a static one, and
// forgeries make none.
func TestCalls(t *testing.T) {
	p := functiontest.Embedded(t)
	endpoint := start(t, p)
	post := func(key ed25519.PrivateKey, id string) int {
		return endpoint.Post(t, query, signV1a(key, id, time.Now(), "{}"), "{}").Status
	}
	if status := post(p.Keys.Ed25519(0), webhooktest.NewID()); status != http.StatusNoContent {
		t.Fatalf("answered %d", status)
	}
	p.Calls()
	id := webhooktest.NewID()
	for _, want := range [][]string{
		{functiontest.Commit, functiontest.Publish, functiontest.Commit},
		{functiontest.Commit, functiontest.Read},
	} {
		if status := post(p.Keys.Ed25519(1), id); status != http.StatusNoContent {
			t.Errorf("answered %d", status)
		}
		if calls := p.Calls(); !slices.Equal(calls, want) {
			t.Errorf("calls %v, want %v", calls, want)
		}
	}
	_, forger, _ := ed25519.GenerateKey(nil)
	for range 300 {
		if status := post(forger, webhooktest.NewID()); status != http.StatusUnauthorized {
			t.Fatalf("forged: answered %d", status)
		}
		if answer := endpoint.Post(t, "?token=guess", http.Header{}, ""); answer.Status != http.StatusUnauthorized {
			t.Fatalf("guessed token: answered %d", answer.Status)
		}
	}
	if calls := p.Calls(); len(calls) != 0 {
		t.Errorf("forgeries and guesses made the calls %v", calls)
	}
	if n := p.Keys.Fetches(); n != 1 {
		t.Errorf("the key set was fetched %d times, want once", n)
	}
}

func TestRefusals(t *testing.T) {
	p := functiontest.Embedded(t)
	endpoint := start(t, p)
	const body = `{"type":"batch.succeeded","data":{"id":"batches/1"}}`
	now := time.Now()
	genuine := func() http.Header { return signV1a(p.Keys.Ed25519(0), webhooktest.NewID(), now, body) }
	token := func(change func(claims map[string]any)) http.Header {
		claims := webhooktest.Claims(audience, now, []byte(body))
		change(claims)
		return webhooktest.Header(webhooktest.NewID(), now, signJWT(t, jwa.RS256, p.Keys.RSA(), claims))
	}
	set := func(name string, value any) func(map[string]any) {
		return func(claims map[string]any) { claims[name] = value }
	}
	tests := []struct {
		name   string
		query  string
		header http.Header
		status int
		why    string
	}{
		{"no token", "", genuine(), 401, "unauthorized"},
		{"empty token", "?token=", genuine(), 401, "unauthorized"},
		{"wrong token", "?token=" + strings.ToUpper(urlToken), genuine(), 401, "unauthorized"},
		{"token of another name", "?key=" + urlToken, genuine(), 401, "unauthorized"},
		{"no token, and nothing else", "", http.Header{}, 401, "unauthorized"},
		{"nothing but the token", query, http.Header{}, 400, "malformed"},
		{"v1", query, func() http.Header {
			h := genuine()
			h.Set("Webhook-Signature", "v1,"+strings.Repeat("A", 43)+"=")
			return h
		}(), 401, "forged"},
		{"signature of 63 bytes", query, func() http.Header {
			h := genuine()
			h.Set("Webhook-Signature", "v1a,"+base64.StdEncoding.EncodeToString(make([]byte, 63)))
			return h
		}(), 401, "forged"},
		{"another body", query, signV1a(p.Keys.Ed25519(0), "msg_1", now, body+" "), 401, "forged"},
		{"stale", query, signV1a(p.Keys.Ed25519(0), "msg_1", now.Add(-time.Hour), body), 401, "stale"},
		{"another audience", query, token(set("aud", "https://example.org")), 401, "audience"},
		{"no expiry", query, token(func(c map[string]any) { delete(c, "exp") }), 401, "forged"},
		{"expiry in a year", query, token(set("exp", now.AddDate(1, 0, 0).Unix())), 401, "stale"},
		{"expired", query, token(set("exp", now.Add(-time.Hour).Unix())), 401, "stale"},
		{"another event", query, token(set("type", "batch.failed")), 401, "forged"},
		{"HMAC with a public key", query, webhooktest.Header("msg_1", now,
			signJWT(t, jwa.HS256, []byte(p.Keys.Ed25519(0).Public().(ed25519.PublicKey)), webhooktest.Claims(audience, now, []byte(body)))), 401, "forged"},
	}
	for _, test := range tests {
		answer := endpoint.Post(t, test.query, test.header, body)
		lines := endpoint.Log.Lines(t, "delivery")
		if answer.Status != test.status || len(lines) != 1 || lines[0]["outcome"] != test.why {
			t.Errorf("%s: answered %d, logged %v, want %d, %s", test.name, answer.Status, lines, test.status, test.why)
		}
	}
	if m := p.Messages(t); len(m) != 0 {
		t.Errorf("published %v", m)
	}
	if strings.Contains(endpoint.Log.Text(), urlToken) {
		t.Error("the log contains the URL token")
	}
}

// The settings that determine which JWTs are accepted.
func TestTokenSettings(t *testing.T) {
	const body = `{"type":"batch.succeeded","data":{"id":"batches/1"}}`
	tests := []struct {
		name      string
		set       map[string]string
		event     bool // whether the claims contain the event
		wantBare  int
		wantEvent int
		why       string
	}{
		{name: "as deployed", wantBare: 204, wantEvent: 204},
		{name: "event required", set: map[string]string{"JWT_WITHOUT_EVENT": "false"}, wantBare: 401, wantEvent: 204, why: "forged"},
		{name: "no URL token", set: map[string]string{"URL_TOKEN_REQUIRED": "false"}, wantBare: 401, wantEvent: 204, why: "forged"},
		{name: "no audience", set: map[string]string{"JWT_AUDIENCES": ""}, wantBare: 401, wantEvent: 401, why: "audience"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			p := functiontest.Embedded(t)
			endpoint := start(t, p)
			for name, value := range test.set {
				t.Setenv(name, value)
			}
			post := func(claims map[string]any) int {
				header := webhooktest.Header(webhooktest.NewID(), time.Now(), signJWT(t, jwa.RS256, p.Keys.RSA(), claims))
				return endpoint.Post(t, query, header, body).Status
			}
			if got := post(map[string]any{"aud": audience, "exp": time.Now().Add(time.Minute).Unix()}); got != test.wantBare {
				t.Errorf("a token without event: answered %d, want %d", got, test.wantBare)
			}
			if line := endpoint.Log.Lines(t, "delivery")[0]; test.wantBare == 401 && line["outcome"] != test.why {
				t.Errorf("logged %v, want %s", line, test.why)
			}
			if got := post(webhooktest.Claims(audience, time.Now(), []byte(body))); got != test.wantEvent {
				t.Errorf("a token with the event: answered %d, want %d", got, test.wantEvent)
			}
		})
	}
}

// If the keys are unavailable, no delivery is called forged.
func TestKeysUnavailable(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"down":      func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) },
		"redirects": func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/elsewhere", http.StatusFound) },
		"no keys":   func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"keys":[]}`) },
		"a bad key": func(w http.ResponseWriter, _ *http.Request) {
			fmt.Fprint(w, `{"keys":[{"kty":"OKP","crv":"Ed25519","x":"AAAA"}]}`)
		},
		"endless": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 10<<20)) },
		"hangs":   func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() },
	} {
		t.Run(name, func(t *testing.T) {
			p := functiontest.Embedded(t)
			keys := httptest.NewServer(handler)
			t.Cleanup(keys.Close)
			endpoint := start(t, p)
			t.Setenv("JWKS_URL", keys.URL)
			answer := endpoint.Post(t, query, signV1a(p.Keys.Ed25519(0), "msg_1", time.Now(), "{}"), "{}")
			if answer.Status != http.StatusServiceUnavailable {
				t.Errorf("answered %d", answer.Status)
			}
			lines := endpoint.Log.Lines(t, "delivery")
			if len(lines) != 1 || lines[0]["outcome"] != "unavailable" || lines[0]["severity"] != "ERROR" {
				t.Errorf("logged %v", lines)
			}
			if n := len(p.Messages(t)); n != 0 {
				t.Errorf("%d messages", n)
			}
		})
	}
}

func TestSettings(t *testing.T) {
	p := functiontest.Embedded(t)
	endpoint := start(t, p)
	for name, value := range map[string]string{
		"FIRESTORE_DATABASE": "no", "FIRESTORE_COLLECTION": "a/b",
		"URL_TOKEN_SECRET_NAME": "", "URL_TOKEN_REQUIRED": "perhaps", "JWT_WITHOUT_EVENT": "no!", "JWKS_URL": "http://example.com/keys",
	} {
		t.Setenv(name, value)
	}
	post := func() (int, string) {
		status := endpoint.Post(t, query, signV1a(p.Keys.Ed25519(0), "msg_1", time.Now(), "{}"), "{}").Status
		return status, fmt.Sprint(endpoint.Log.Lines(t, "delivery"))
	}
	status, logged := post()
	for _, name := range []string{"FIRESTORE_DATABASE:", "FIRESTORE_COLLECTION:", "URL_TOKEN_REQUIRED:", "JWT_WITHOUT_EVENT:", "JWKS_URL:"} {
		if status != http.StatusServiceUnavailable || !strings.Contains(logged, name) {
			t.Errorf("answered %d, logged %s, want 503 and the name %s", status, logged, name)
		}
	}
	t.Setenv("FIRESTORE_DATABASE", "")
	t.Setenv("FIRESTORE_COLLECTION", "")
	t.Setenv("URL_TOKEN_REQUIRED", "true")
	t.Setenv("JWT_WITHOUT_EVENT", "true")
	if status, logged = post(); status != http.StatusServiceUnavailable || !strings.Contains(logged, "URL_TOKEN_SECRET_NAME:") {
		t.Errorf("answered %d, logged %s, want 503 and the name URL_TOKEN_SECRET_NAME", status, logged)
	}
}

// A failed build leaves nothing open, at any step.
func TestFailedBuildLeavesNothing(t *testing.T) {
	t.Setenv("URL_TOKEN_SECRET_NAME", secretID)
	functiontest.FailedBuilds(t, handler)
}

// FuzzSettings sets each setting to any text. If all are valid, they have the
// properties on which the function relies. A token is required unless the setting is
// clearly false.
func FuzzSettings(f *testing.F) {
	f.Add("a-project", "*=geminihook-other", "", "", "", "", "", "", "token")
	f.Add("", "batch=x", "1h", "24h", "http://127.0.0.1/keys", "a,b?c", "true", "false", "")
	f.Add("a-project", "*=projects/q/topics/t", "90s", "8760h", "https://h", " , ", "0", "F", "whsec_AAAA")
	names := []string{
		"GOOGLE_CLOUD_PROJECT", "ROUTES", "TIMESTAMP_TOLERANCE", "RECORD_RETENTION", "JWKS_URL",
		"JWT_AUDIENCES", "JWT_WITHOUT_EVENT", "URL_TOKEN_REQUIRED", "URL_TOKEN_SECRET_NAME",
	}
	f.Fuzz(func(t *testing.T, project, topics, tolerance, retention, keys, audience, event, required, token string) {
		for i, value := range []string{project, topics, tolerance, retention, keys, audience, event, required, token} {
			if strings.Contains(value, "\x00") {
				t.Skip("an environment variable cannot contain NUL")
			}
			t.Setenv(names[i], value)
		}
		s, err := readOptions()
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if name, _, _ := strings.Cut(line, ": "); !slices.Contains(names, name) {
					t.Errorf("%q does not name a setting", line)
				}
			}
			return
		}
		if s.Project == "" || s.Routes["*"] == "" || s.keysURL == nil {
			t.Errorf("%+v", s)
		}
		if s.Tolerance < time.Minute || s.Tolerance > time.Hour || s.Retention < 24*time.Hour+s.Tolerance {
			t.Errorf("a tolerance of %v and a retention of %v", s.Tolerance, s.Retention)
		}
		if said, err := strconv.ParseBool(strings.TrimSpace(required)); s.tokenRequired != (err != nil || said) {
			t.Errorf("%q: a token is required: %v", required, s.tokenRequired)
		}
		if s.tokenRequired != strings.Contains(s.tokenSecret, "/secrets/") || slices.Contains(s.audiences, "") {
			t.Errorf("%+v", s)
		}
	})
}
