package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"cloud.google.com/go/secretmanager/apiv1/secretmanagerpb"

	"github.com/geminihook/geminihook/scripts/dev/bench/internal/calls"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gcptest/emulator"
)

// A project is what receivers need around them: new emulators, a topic, a secret.
type project struct {
	calls.Where
	firestore server
	env       []string // for receivers

	closers []func()
}

// A server is one that receivers call.
type server struct {
	addr    string // its own
	instead string // what receivers call: what stands between
}

// A between stands between receivers and a server: it returns the address to use instead of the server's own.
type between func(addr string) (instead string, stop func(), err error)

func direct(addr string) (string, func(), error) { return addr, func() {}, nil }

// loadOptions suit emulators under load: all rounds of a measurement fit in the heap, which every version of every
// document fills, and the compiler does all that it can. By default they are started to be up soon.
const loadOptions = "-Xmx4g -XX:TieredStopAtLevel=4"

// setJavaOptions has every Java program that is started from here on take options before those of its command line, and
// what the user has set before both.
func setJavaOptions() error {
	const variable = "_JAVA_OPTIONS"
	return os.Setenv(variable, loadOptions+" "+os.Getenv(variable))
}

// newProject starts a project. Whoever has it closes it, after its receivers.
func (b *bench) newProject(ctx context.Context, between between) (p *project, err error) {
	p = &project{Where: calls.Where{
		Project:    fmt.Sprintf("bench-%.12s", strings.ToLower(rand.Text())),
		Collection: "deliveries",
		Topic:      "geminihook-other",
	}}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	const secretID = "geminihook-signing-secret"
	p.env = []string{
		"GOOGLE_CLOUD_PROJECT=" + p.Project,
		"FIRESTORE_COLLECTION=" + p.Collection,
		"TOPIC=" + p.Topic,
		"ROUTES=*=" + p.Topic,
		"SIGNING_SECRET_NAME=" + secretID,
		"WEBHOOK_SECRET=" + b.sender.secret,
	}
	p.firestore, err = p.open("FIRESTORE_EMULATOR_HOST", between, func() (string, func(), error) { return emulator.Firestore(ctx) })
	if err != nil {
		return nil, err
	}
	pubsub, err := p.open("PUBSUB_EMULATOR_HOST", between, func() (string, func(), error) { return emulator.PubSub(ctx) })
	if err != nil {
		return nil, err
	}
	_, err = p.open("SECRET_MANAGER_EMULATOR_HOST", between, func() (string, func(), error) { return p.serveSecret(ctx, secretID, b.sender.secret) })
	if err != nil {
		return nil, err
	}
	return p, p.createTopic(ctx, pubsub.addr)
}

func (p *project) close() {
	for _, f := range p.closers {
		defer f()
	}
}

// open starts a server and what stands between, and lets receivers find that by a variable.
func (p *project) open(variable string, between between, start func() (string, func(), error)) (s server, err error) {
	addr, stop, err := start()
	if err != nil {
		return server{}, err
	}
	p.closers = append(p.closers, stop)
	instead, stop, err := between(addr)
	if err != nil {
		return server{}, err
	}
	p.closers = append(p.closers, stop)
	p.env = append(p.env, variable+"="+instead)
	return server{addr, instead}, nil
}

// serveSecret serves a secret in this process: there is no official emulator.
func (p *project) serveSecret(ctx context.Context, id, value string) (addr string, stop func(), err error) {
	secrets := gcptest.NewSecretManager()
	_, err = secrets.CreateSecret(ctx, &secretmanagerpb.CreateSecretRequest{
		Parent: "projects/" + p.Project, SecretId: id,
		Secret: &secretmanagerpb.Secret{Replication: &secretmanagerpb.Replication{
			Replication: &secretmanagerpb.Replication_Automatic_{Automatic: &secretmanagerpb.Replication_Automatic{}},
		}},
	})
	_, err2 := secrets.AddSecretVersion(ctx, &secretmanagerpb.AddSecretVersionRequest{
		Parent:  "projects/" + p.Project + "/secrets/" + id,
		Payload: &secretmanagerpb.SecretPayload{Data: []byte(value)},
	})
	if err := errors.Join(err, err2); err != nil {
		return "", nil, err
	}
	server, err := gcptest.Start("127.0.0.1:0", secrets)
	if err != nil {
		return "", nil, err
	}
	return server.Addr(), server.Close, nil
}

func (p *project) createTopic(ctx context.Context, addr string) error {
	conn, err := calls.Dial(addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = pubsubpb.NewPublisherClient(conn).CreateTopic(ctx, &pubsubpb.Topic{Name: "projects/" + p.Project + "/topics/" + p.Topic})
	return err
}
