// Package emulator runs Google's official Firestore and Pub/Sub emulators. Tests
// compare the embedded products of package gcptest with them. They are Java programs,
// which gcloud or the Firebase tools install.
//
// Environment variables:
//
//	FIRESTORE_EMULATOR_HOST, PUBSUB_EMULATOR_HOST   HOST:PORT of a running emulator to use; loopback only
//	GEMINIHOOK_EMULATORS                            folder with the jar files; no other folder is searched
package emulator

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// startLimit is the timeout for the start of an emulator. On a loaded machine a start
// takes two seconds.
const startLimit = 30 * time.Second

// Firestore returns the address, HOST:PORT, of an official Firestore emulator, and a
// function that stops it. If FIRESTORE_EMULATOR_HOST is set, Firestore returns its
// value, and stop does nothing. Else Firestore starts an emulator, and stop returns
// after its process has ended. stop is not nil, and may be called several times. On
// Linux the emulator ends with this process in any case. On other systems it continues
// to run if this process ends without calling stop.
//
// ctx applies to the start only. The error is a [*NotFoundError] if the emulator or
// java is not installed. Other errors mean that the variable is not a loopback
// HOST:PORT, or that the emulator does not start.
func Firestore(ctx context.Context) (addr string, stop func(), err error) { return firestore.open(ctx) }

// PubSub is like [Firestore], for the official Pub/Sub emulator and
// PUBSUB_EMULATOR_HOST.
func PubSub(ctx context.Context) (addr string, stop func(), err error) { return pubsub.open(ctx) }

// A product describes one emulator.
type product struct {
	name     string
	variable string   // environment variable with the address of a running one
	jars     []string // glob patterns of the jar's path in a folder; the last match is the newest jar
	java     []string // java's arguments before the jar
	main     []string // java's arguments after the jar
}

// The emulators run with java settings for a fast start. The heap is limited because
// the Firestore emulator keeps each version of each document, so that its heap would
// grow without bound.
var (
	firestore = product{
		name:     "Firestore",
		variable: "FIRESTORE_EMULATOR_HOST",
		jars: []string{
			"cloud-firestore-emulator*.jar",
			"platform/cloud-firestore-emulator/cloud-firestore-emulator*.jar",
		},
		// The jar declares no main class. The language setting makes error messages
		// English in any locale.
		java: []string{"-Xmx1g", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.language=en", "-cp"},
		main: []string{"com.google.cloud.datastore.emulator.firestore.CloudFirestore"},
	}
	pubsub = product{
		name:     "Pub/Sub",
		variable: "PUBSUB_EMULATOR_HOST",
		jars: []string{
			"cloud-pubsub-emulator-*-all.jar",
			"platform/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
			"pubsub-emulator-*/pubsub-emulator/lib/cloud-pubsub-emulator-*-all.jar",
		},
		java: []string{"-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Duser.language=en", "-jar"},
	}
)

// open returns the running emulator of p.variable, or starts one.
func (p product) open(ctx context.Context) (addr string, stop func(), err error) {
	if addr := os.Getenv(p.variable); addr != "" {
		if !loopback(addr) {
			return "", doNothing, fmt.Errorf("%s is %q, which is not a loopback host:port", p.variable, addr)
		}
		return addr, doNothing, nil
	}
	java, jar, err := p.find(ctx)
	if err != nil {
		return "", doNothing, err
	}
	addr, stop, err = p.start(ctx, java, jar)
	if err != nil {
		return "", doNothing, fmt.Errorf("%s emulator: %w", p.name, err)
	}
	return addr, stop, nil
}

func doNothing() {}

// loopback reports whether addr is HOST:PORT with a loopback host and a port.
func loopback(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
