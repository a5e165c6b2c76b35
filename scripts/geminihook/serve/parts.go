package serve

import (
	"context"
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"path"
	"slices"

	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"

	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/geminitest"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// The names that stand for what Terraform makes.
const (
	project        = "geminihook-local"
	routes         = "batch=geminihook-batch,interaction=geminihook-interaction,video=geminihook-video,*=geminihook-other"
	signingSecret  = "geminihook-signing-secret"
	urlTokenSecret = "geminihook-url-token"
	apiKeySecret   = "geminihook-api-key"
	jobsTopic      = "geminihook-jobs"
	rejectedTopic  = "geminihook-jobs-rejected"
)

// anyPort is where parts listen.
const anyPort = "127.0.0.1:0"

// parts are what the functions use of Google: three products, and the Gemini API with
// its public keys.
type parts struct {
	firestore     string // addresses, host:port
	pubsub        string
	secretManager string
	jwksURL       string
	geminiURL     string // base URL, on loopback

	jobsSubscription string // id of the one that the reconciler pulls

	official bool                // Firestore and Pub/Sub are the official emulators
	gemini   *geminitest.API     // the stand-in for the Gemini API
	keys     *webhooktest.KeySet // nil if the public keys come from elsewhere

	secrets *gcptest.SecretManager

	stops []func()
}

// startParts starts all parts. Every message that reaches a topic goes to c.
func startParts(ctx context.Context, o *Options, c *console) (*parts, error) {
	p := &parts{jwksURL: o.JWKSURL, official: o.Emulators}
	start := p.startEmbedded
	if o.Emulators {
		start = p.startEmulators
	}
	err := start(ctx, topicNames(), c)
	if err == nil {
		err = p.startSecretManager(ctx, o)
	}
	if err == nil {
		err = p.startGemini(ctx, o)
	}
	if err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// stop ends the parts, the last one first.
func (p *parts) stop() {
	for _, stop := range slices.Backward(p.stops) {
		stop()
	}
}

// topicNames returns the full names of all topics: those that there are routes to, and
// those for names of jobs.
func topicNames() []string {
	byType, err := publish.RoutesIn(project)(routes)
	if err != nil {
		panic(err) // they are a constant
	}
	return append(slices.Sorted(maps.Values(byType)), topicName(jobsTopic), topicName(rejectedTopic))
}

func topicName(id string) string { return "projects/" + project + "/topics/" + id }

func subscriptionName(id string) string { return "projects/" + project + "/subscriptions/" + id }

func (p *parts) startEmbedded(_ context.Context, topics []string, c *console) (err error) {
	if p.firestore, err = p.start(gcptest.NewFirestore()); err == nil {
		p.jobsSubscription = jobsTopic
		p.pubsub, err = p.start(newPubSub(c.message, topics))
	}
	return err
}

func (p *parts) start(s gcptest.Service) (addr string, err error) {
	server, err := gcptest.Start(anyPort, s)
	if err != nil {
		return "", err
	}
	p.stops = append(p.stops, server.Close)
	return server.Addr(), nil
}

// startSecretManager starts it with the two secrets. There is no official emulator.
func (p *parts) startSecretManager(ctx context.Context, o *Options) error {
	m := gcptest.NewSecretManager()
	for id, values := range map[string][]string{signingSecret: o.Secrets, urlTokenSecret: o.Tokens} {
		oldestFirst := slices.Clone(values)
		slices.Reverse(oldestFirst)
		if _, err := m.AddSecret(ctx, project, id, oldestFirst...); err != nil {
			return fmt.Errorf("secret %s: %w", id, err)
		}
	}
	var err error
	p.secrets = m
	p.secretManager, err = p.start(m)
	return err
}

// signingSecrets returns the enabled versions of the signing secret, the newest first.
func (p *parts) signingSecrets(ctx context.Context) (numbers, texts []string, err error) {
	list, err := p.secrets.ListSecretVersions(ctx, &secretmanagerpb.ListSecretVersionsRequest{
		Parent: "projects/" + project + "/secrets/" + signingSecret, Filter: "state:ENABLED", PageSize: maxVersions,
	})
	if err != nil {
		return nil, nil, err
	}
	for _, v := range list.Versions {
		value, err := p.secrets.AccessSecretVersion(ctx, &secretmanagerpb.AccessSecretVersionRequest{Name: v.Name})
		if err != nil {
			return nil, nil, err
		}
		numbers, texts = append(numbers, path.Base(v.Name)), append(texts, string(value.Payload.Data))
	}
	return numbers, texts, nil
}

// privateKeys returns those that send signs with, in PEM: none where the public keys
// come from elsewhere.
func (p *parts) privateKeys() (ed25519, rsa string) {
	if p.keys == nil {
		return "", ""
	}
	return private(p.keys.Ed25519(0)), private(p.keys.RSA())
}

func private(key crypto.PrivateKey) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // both kinds of key are known to it
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
