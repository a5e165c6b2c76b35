// Package emulator runs Google's official Firestore and Pub/Sub emulators: what the embedded products are held against, and
// what tests of subscriptions need. They are Java programs, found where gcloud or the Firebase tools put them.
//
// Environment:
//
//	FIRESTORE_EMULATOR_HOST, PUBSUB_EMULATOR_HOST   an emulator that runs already; loopback only
//	GEMINIHOOK_EMULATORS                            the one folder to look for the jar files in
package emulator

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"time"
)

// startLimit bounds the wait for an emulator to answer; a loaded machine takes two seconds.
const startLimit = 30 * time.Second

// Firestore returns the address, host:port, of an official Firestore emulator, and how to stop it. The emulator is the one
// of FIRESTORE_EMULATOR_HOST, where stop does nothing, or else a new one, where stop returns when its process has ended and
// may be called more than once; it is never nil. On Linux an emulator ends with this process in any case, elsewhere it would
// outlive a killed one.
//
// ctx bounds the start, not the emulator's life. The error is a [*NotFoundError] where there is nothing to start; anything
// else means that the variable is no loopback address or that the emulator does not come up.
func Firestore(ctx context.Context) (addr string, stop func(), err error) { return firestore.open(ctx) }

// PubSub is [Firestore] for the official Pub/Sub emulator and PUBSUB_EMULATOR_HOST.
func PubSub(ctx context.Context) (addr string, stop func(), err error) { return pubsub.open(ctx) }

// A product is one emulator: how it is announced, found and run.
type product struct {
	name     string
	variable string
	jars     []string // where in a folder the jar may be, newest names last
	java     []string // arguments to java before the jar
	main     []string // and after it
}

// Both get java's lean settings, which start faster and suffice. A heap that is not capped grows without end, since the
// Firestore emulator keeps every version of every document.
var (
	firestore = product{
		name:     "Firestore",
		variable: "FIRESTORE_EMULATOR_HOST",
		jars: []string{
			"cloud-firestore-emulator*.jar",
			"platform/cloud-firestore-emulator/cloud-firestore-emulator*.jar",
		},
		// The jar names no main class; messages are wanted in English whatever the locale.
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

func loopback(addr string) bool {
	host, port, err := net.SplitHostPort(addr)
	if err != nil || port == "" {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.IsLoopback()
}
