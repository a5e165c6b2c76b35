package serve

import (
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/geminihook/geminihook/scripts/internal/running"
	"github.com/geminihook/geminihook/shared/webhook"
)

// functions returns the functions, not yet started. Each has the environment that
// Terraform would set.
func (p *parts) functions(o *Options, me *running.Serve, c *console) functions {
	dynamicURL, _, _ := strings.Cut(me.DynamicURL, "?")
	return functions{
		newFunction("StaticWebhook", webhook.StaticEndpoint, c, p.environment(map[string]string{
			"SIGNING_SECRET_NAME": signingSecret,
		})),
		newFunction("DynamicWebhook", webhook.DynamicEndpoint, c, p.environment(map[string]string{
			"URL_TOKEN_SECRET_NAME": urlTokenSecret,
			"JWKS_URL":              p.jwksURL,
			"JWT_AUDIENCES":         me.Audience,
		})),
		newFunction(reconcileName, webhook.ReconciledEndpoint, c, p.environment(map[string]string{
			"API_KEY_SECRET_NAME":    apiKeySecret,
			"GEMINI_API_URL":         p.geminiURL,
			"STATIC_URL":             me.StaticURL,
			"DYNAMIC_URL":            dynamicURL,
			"GRACE":                  o.Grace.String(),
			"RECONCILE":              "publish", // sample events name no job, so the default would hold missed events
			"JOBS_SUBSCRIPTION":      p.jobsSubscription,
			"JOBS_DEAD_LETTER_TOPIC": rejectedTopic,
		})),
	}
}

// environment returns a function's complete environment: its own settings, the settings
// common to all functions, and the kept variables. Other variables of the developer's
// shell are left out, because they may name a real project, credentials, or settings of
// the functions.
func (p *parts) environment(own map[string]string) []string {
	all := map[string]string{
		"GOOGLE_CLOUD_PROJECT":         project,
		"FIRESTORE_EMULATOR_HOST":      p.firestore,
		"PUBSUB_EMULATOR_HOST":         p.pubsub,
		"SECRET_MANAGER_EMULATOR_HOST": p.secretManager,
		"ROUTES":                       routes,
	}
	for _, name := range kept {
		if value, ok := os.LookupEnv(name); ok {
			all[name] = value
		}
	}
	maps.Copy(all, own)
	var env []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		env = append(env, name+"="+all[name])
	}
	return env
}

// kept are the variables of the developer's shell that a function sees. The proxy and
// certificate variables are for fetching the keys at --jwks-url; Go uses no proxy for
// loopback addresses. Windows needs SYSTEMROOT to start a process. GORACE and
// GOCOVERDIR are for binaries built with -race or -cover.
var kept = []string{
	"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT", "GORACE", "GOCOVERDIR",
}
