package main

import "os"

// settings returns the functions' whole environment, as Terraform would set it.
func (p *parts) settings(audience string) map[string]string {
	return map[string]string{
		"GOOGLE_CLOUD_PROJECT":         project,
		"FIRESTORE_EMULATOR_HOST":      p.firestore,
		"PUBSUB_EMULATOR_HOST":         p.pubsub,
		"SECRET_MANAGER_EMULATOR_HOST": p.secretManager,
		"ROUTES":                       routes,
		"SIGNING_SECRET_NAME":          signingSecret,
		"URL_TOKEN_SECRET_NAME":        urlTokenSecret,
		"JWKS_URL":                     p.jwksURL,
		"JWT_AUDIENCES":                audience,
	}
}

// kept are the variables of the developer's that stay: what it takes to reach the
// keys at -jwks-url. Proxies are never asked for loopback addresses.
var kept = []string{
	"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "SYSTEMROOT",
}

// setEnvironment makes settings the whole environment: a developer's shell may
// name a real project, credentials, or settings of the functions.
func setEnvironment(settings map[string]string) {
	for _, name := range kept {
		if value, ok := os.LookupEnv(name); ok {
			settings[name] = value
		}
	}
	os.Clearenv()
	for name, value := range settings {
		os.Setenv(name, value)
	}
}
