package proof

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	_ "github.com/geminihook/geminihook/functions/dynamic"
	"github.com/geminihook/geminihook/functions/functiontest"
	_ "github.com/geminihook/geminihook/functions/static"
	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/settings"
	"github.com/geminihook/geminihook/shared/webhook"
)

// times are the timeouts and the lease of a function under test.
type times struct{ process, end, lease time.Duration }

var (
	// shortTimes are proportional to the real ones: a request's longest duration is
	// less than the lease.
	shortTimes = times{process: time.Second, end: 800 * time.Millisecond, lease: 2500 * time.Millisecond}

	// wireTimes have production's timeouts, so that a call can detect a dead
	// connection, and a lease that expires while the connection is idle.
	wireTimes = times{process: receiver.DefaultProcessTimeout, end: dedup.DefaultEndTimeout, lease: 10 * time.Second}

	realTimes = times{process: receiver.DefaultProcessTimeout, end: dedup.DefaultEndTimeout, lease: dedup.DefaultLease}
)

// Additional environment variables of a function under test: its times and its
// Firestore. The function connects to Firestore as in production, with keepalive. With
// FIRESTORE_EMULATOR_HOST, the client would not use keepalive.
const (
	timesVariable     = "GEMINIHOOK_TEST_TIMES"
	firestoreVariable = "GEMINIHOOK_TEST_FIRESTORE"
	firestoreEmulator = "FIRESTORE_EMULATOR_HOST"
)

func (t times) slower(factor int) times {
	n := time.Duration(factor)
	return times{t.process * n, t.end * n, t.lease * n}
}

func (t times) String() string { return fmt.Sprintf("%d %d %d", t.process, t.end, t.lease) }

func parseTimes(text string) (t times, err error) {
	_, err = fmt.Sscanf(text, "%d %d %d", &t.process, &t.end, &t.lease)
	return t, err
}

// environment returns the environment of a function under test.
func environment(p *functiontest.Project, t times) []string {
	env := append(slices.Clone(p.Env), "SIGNING_SECRET_NAME="+signingSecret, timesVariable+"="+t.String())
	for i, setting := range env {
		if addr, ok := strings.CutPrefix(setting, firestoreEmulator+"="); ok {
			env[i] = firestoreVariable + "=" + addr
		}
	}
	return append(env, firestoreEmulator+"=")
}

// The functions under test: wired as the deployed ones, but for the times. The
// deployed ones are among them as they are.
const (
	shortStatic  = "ShortStatic"
	shortDynamic = "ShortDynamic"
	realStatic   = "StaticWebhook"
	realDynamic  = "DynamicWebhook"
)

// The names of the functions' secrets.
const (
	signingSecret = "signing"
	tokenSecret   = "token"
)

var onEmbedded = flag.Bool("embedded", false, "use in-process stand-ins instead of the official emulators")

// newProject returns a project on the official emulators. Without emulators, the test
// is skipped, or fails with REQUIRE_EMULATORS=1.
func newProject(t *testing.T) *functiontest.Project {
	t.Helper()
	if *onEmbedded {
		return functiontest.NewEmbedded(t)
	}
	return functiontest.NewOfficial(t)
}

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", "1000") // the machine's slots limit the cells that run in parallel
	functiontest.Main(m)
}

var log = cloudlog.New(os.Stderr)

func init() {
	functions.HTTP(shortStatic, instance.Start(shortStatic, log, buildStatic).ServeHTTP)
	functions.HTTP(shortDynamic, instance.Start(shortDynamic, log, buildDynamic).ServeHTTP)
}

func buildStatic(ctx context.Context) (*instance.Function, error) {
	return build(ctx, func(s settings.Common, o *settings.Opened) (*receiver.Receiver, error) {
		keys, err := secret.Open(ctx, "signing secret", s.Project, signingSecret, webhook.ParseSigningKey, log)
		if err != nil {
			return nil, err
		}
		o.Add(keys)
		return &receiver.Receiver{
			Endpoint: webhook.StaticEndpoint,
			Verifier: &webhook.Static{Keys: keys, Tolerance: s.Tolerance},
		}, nil
	})
}

func buildDynamic(ctx context.Context) (*instance.Function, error) {
	return build(ctx, func(s settings.Common, o *settings.Opened) (*receiver.Receiver, error) {
		tokens, err := secret.Open(ctx, "url token", s.Project, tokenSecret, webhook.ParseURLToken, log)
		if err != nil {
			return nil, err
		}
		o.Add(tokens)
		keysURL, err := jwks.ParseURL(os.Getenv("JWKS_URL"))
		if err != nil {
			return nil, err
		}
		keys := jwks.Open(keysURL, log)
		o.Add(keys)
		return &receiver.Receiver{
			Endpoint: webhook.DynamicEndpoint,
			Gate:     &webhook.URLTokenGate{Tokens: tokens},
			Verifier: &webhook.Dynamic{Keys: keys, Tolerance: s.Tolerance},
		}, nil
	})
}

// build makes a function from the settings common to both, and sets its times.
func build(ctx context.Context, open func(settings.Common, *settings.Opened) (*receiver.Receiver, error)) (f *instance.Function, err error) {
	var reader settings.Reader
	s := reader.Common()
	times := settings.Parse(&reader, timesVariable, parseTimes)
	if err := reader.Err(); err != nil {
		return nil, err
	}
	opened := new(settings.Opened)
	defer opened.CloseIf(&err)
	r, err := open(s, opened)
	if err != nil {
		return nil, err
	}
	ledger, err := dedup.Open(ctx, s.Project, s.Database, s.Collection, gcptest.ClientOptions(os.Getenv(firestoreVariable))...)
	if err != nil {
		return nil, err
	}
	opened.Add(ledger)
	publisher, err := publish.Open(ctx, s.Routes)
	if err != nil {
		return nil, err
	}
	opened.Add(publisher)
	ledger.Retention, ledger.Lease, ledger.EndTimeout = s.Retention, times.lease, times.end
	r.Ledger, r.Publisher, r.Log, r.ProcessTimeout = ledger, publisher, log, times.process
	return &instance.Function{Handler: r, Warm: opened.Warm()}, nil
}
