package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"cloud.google.com/go/firestore/apiv1/firestorepb"
	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"golang.org/x/sync/errgroup"

	"github.com/geminihook/geminihook/scripts/dev/bench/internal/calls"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gcptest/emulator"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

// A project holds the resources of receivers: emulators, a topic and a secret.
type project struct {
	calls.Where
	firestore string   // the emulator's host:port
	env       []string // the receivers' environment
	closers   []func()
}

// A between starts a proxy in front of a server. It returns the address that receivers
// use instead of the server's.
type between func(addr string) (instead string, stop func(), err error)

// direct is a between without a proxy.
func direct(addr string) (string, func(), error) { return addr, func() {}, nil }

// setJavaOptions sets the emulators' Java options: a heap that is large enough for the
// writes of a part, and full compilation, because their default is a fast start. The
// options override the emulators' command lines, but not the user's _JAVA_OPTIONS.
func setJavaOptions() error {
	const variable = "_JAVA_OPTIONS"
	return os.Setenv(variable, "-Xmx4g -XX:TieredStopAtLevel=4 "+os.Getenv(variable))
}

// newProject starts a project. The caller must close it after its receivers have ended,
// also after an error.
func (b *bench) newProject(ctx context.Context, between between) (p *project, err error) {
	p = &project{Where: calls.Where{
		Project:    fmt.Sprintf("bench-%.12s", strings.ToLower(rand.Text())),
		Collection: "deliveries",
		Topic:      "geminihook",
	}}
	p.env = []string{
		"GOOGLE_CLOUD_PROJECT=" + p.Project,
		"FIRESTORE_COLLECTION=" + p.Collection,
		"TOPIC=" + p.Topic,
		"ROUTES=*=" + p.Topic,
		"SIGNING_SECRET_NAME=" + secretID,
		"WEBHOOK_SECRET=" + b.sender.secret,
	}
	p.firestore, err = p.open("FIRESTORE_EMULATOR_HOST", between, func() (string, func(), error) { return emulator.Firestore(ctx) })
	pubsub, err2 := p.open("PUBSUB_EMULATOR_HOST", between, func() (string, func(), error) { return emulator.PubSub(ctx) })
	_, err3 := p.open("SECRET_MANAGER_EMULATOR_HOST", between, func() (string, func(), error) { return p.serveSecret(ctx, b.sender.secret) })
	if err := errors.Join(err, err2, err3); err != nil {
		return p, err
	}
	conn, err := calls.Dial(pubsub)
	if err != nil {
		return p, err
	}
	defer conn.Close()
	_, err = pubsubpb.NewPublisherClient(conn).CreateTopic(ctx, &pubsubpb.Topic{Name: "projects/" + p.Project + "/topics/" + p.Topic})
	return p, err
}

func (p *project) close() {
	for _, f := range p.closers {
		defer f()
	}
}

// open starts a server, puts between in front of it, and adds the variable to the
// receivers' environment. It returns the server's own address.
func (p *project) open(variable string, between between, start func() (string, func(), error)) (addr string, err error) {
	addr, stop, err := start()
	if err != nil {
		return "", err
	}
	p.closers = append(p.closers, stop)
	instead, stop, err := between(addr)
	if err != nil {
		return "", err
	}
	p.closers = append(p.closers, stop)
	p.env = append(p.env, variable+"="+instead)
	return addr, nil
}

// secretID is the id of the signing secret.
const secretID = "geminihook-signing-secret"

// serveSecret serves a secret from this process, because there is no official emulator.
func (p *project) serveSecret(ctx context.Context, value string) (addr string, stop func(), err error) {
	secrets := gcptest.NewSecretManager()
	_, err1 := secrets.AddSecret(ctx, p.Project, secretID, value)
	server, err2 := gcptest.Start("127.0.0.1:0", secrets)
	if err := errors.Join(err1, err2); err != nil {
		return "", nil, err
	}
	return server.Addr(), server.Close, nil
}

// fill writes n records like those of the receiver.
func (p *project) fill(ctx context.Context, n int) error {
	const writesPerCommit = 500
	conn, err := calls.Dial(p.firestore)
	if err != nil {
		return err
	}
	defer conn.Close()
	client := firestorepb.NewFirestoreClient(conn)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(4)
	for done := 0; done < n; done += writesPerCommit {
		group.Go(func() error {
			var writes []*firestorepb.Write
			for range min(writesPerCommit, n-done) {
				writes = append(writes, p.Mark(webhooktest.NewID(), time.Now()))
			}
			_, err := client.Commit(ctx, p.Commit(writes...))
			return err
		})
	}
	return group.Wait()
}
