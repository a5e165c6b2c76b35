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

// The names of the resources. In a deployment, Terraform chooses them.
const (
	project        = "geminihook-local"
	routes         = "batch=geminihook-batch,interaction=geminihook-interaction,video=geminihook-video,*=geminihook-other"
	signingSecret  = "geminihook-signing-secret"
	urlTokenSecret = "geminihook-url-token"
	apiKeySecret   = "geminihook-api-key"
	jobsTopic      = "geminihook-jobs"
	rejectedTopic  = "geminihook-jobs-rejected"
)

// anyPort is the address that the parts listen on: a free port on loopback.
const anyPort = "127.0.0.1:0"

// parts are the Google services that the functions call: Firestore, Pub/Sub, Secret
// Manager, and the Gemini API with its public keys.
type parts struct {
	firestore     string // host:port
	pubsub        string // host:port
	secretManager string // host:port
	jwksURL       string
	geminiURL     string // base URL, on loopback

	jobsSubscription string // id of the subscription that the reconciler pulls

	official bool                // Firestore and Pub/Sub are the official emulators
	gemini   *geminitest.API     // the stand-in for the Gemini API
	keys     *webhooktest.KeySet // nil with --jwks-url

	secrets *gcptest.SecretManager

	stops []func() // called by stop, in reverse order
}

// startParts starts all parts. Every published message is passed to c.message. If a
// part fails to start, startParts stops the others.
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

// stop ends the parts, in the reverse order of their start.
func (p *parts) stop() {
	for _, stop := range slices.Backward(p.stops) {
		stop()
	}
}

// topicNames returns the full names of all topics: the topics of the routes, the jobs
// topic, and its dead letter topic.
func topicNames() []string {
	byType, err := publish.RoutesIn(project)(routes)
	if err != nil {
		panic(err) // routes is a valid constant
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

// startSecretManager starts Secret Manager with the signing secret and the URL token.
// It is always a stand-in, because there is no official emulator.
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

// signingSecrets returns the numbers and texts of the signing secret's enabled
// versions, newest first.
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

// privateKeys returns the private keys for send, in PEM. They are empty with
// --jwks-url.
func (p *parts) privateKeys() (ed25519, rsa string) {
	if p.keys == nil {
		return "", ""
	}
	return private(p.keys.Ed25519(0)), private(p.keys.RSA())
}

func private(key crypto.PrivateKey) string {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err) // x509 supports Ed25519 and RSA
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}
