package proof

import (
	"context"
	"flag"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/GoogleCloudPlatform/functions-framework-go/functions"

	_ "github.com/geminihook/geminihook/functions/dynamic"
	"github.com/geminihook/geminihook/functions/functiontest"
	_ "github.com/geminihook/geminihook/functions/static"
	"github.com/geminihook/geminihook/shared/cloudlog"
	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/instance"
	"github.com/geminihook/geminihook/shared/jwks"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/receiver"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/webhook"
)

// times are those of a function under test.
type times struct{ take, end, lease time.Duration }

var (
	// shortTimes stand to each other as the real ones do: all that a request may take
	// is less than the lease.
	shortTimes = times{take: time.Second, end: 800 * time.Millisecond, lease: 2500 * time.Millisecond}

	realTimes = times{take: receiver.DefaultTakeTimeout, end: dedup.DefaultEndTimeout, lease: dedup.DefaultLease}
)

// slowness, in the environment of a function under test, multiplies its times.
const slowness = "GEMINIHOOK_TEST_SLOWNESS"

func (t times) slower(factor int) times {
	n := time.Duration(factor)
	return times{t.take * n, t.end * n, t.lease * n}
}

// The functions under test: wired as the deployed ones, but for the times. The
// deployed ones are among them as they are.
const (
	shortStatic  = "ShortStatic"
	shortDynamic = "ShortDynamic"
	realStatic   = "StaticWebhook"
	realDynamic  = "DynamicWebhook"
)

// The secrets that they read.
const (
	signingSecret = "signing"
	tokenSecret   = "token"
)

// atOnce is how many cells run at a time. They mostly wait.
const atOnce = "32"

var onEmbedded = flag.Bool("embedded", false, "embedded products instead of the official emulators")

// newProject returns a project on the official emulators; without them the test is
// skipped, or fails.
func newProject(t *testing.T) *functiontest.Project {
	t.Helper()
	if *onEmbedded {
		return functiontest.NewEmbedded(t)
	}
	return functiontest.NewOfficial(t)
}

func TestMain(m *testing.M) {
	flag.Parse()
	_ = flag.Set("test.parallel", atOnce)
	functiontest.Main(m)
}

var log = cloudlog.New(os.Stderr)

func init() {
	functions.HTTP(shortStatic, instance.Start(shortStatic, log, buildStatic).ServeHTTP)
	functions.HTTP(shortDynamic, instance.Start(shortDynamic, log, buildDynamic).ServeHTTP)
}

func project() string { return os.Getenv("GOOGLE_CLOUD_PROJECT") }

func buildStatic(ctx context.Context) (*instance.Function, error) {
	keys, err := secret.Open(ctx, "signing secret", project(), signingSecret, webhook.ParseSigningKey, log)
	if err != nil {
		return nil, err
	}
	return build(ctx, &receiver.Receiver{
		Endpoint: webhook.StaticEndpoint,
		Verifier: &webhook.Static{Keys: keys, Tolerance: webhook.DefaultTolerance},
	}, keys.Warm)
}

func buildDynamic(ctx context.Context) (*instance.Function, error) {
	tokens, err := secret.Open(ctx, "url token", project(), tokenSecret, webhook.ParseURLToken, log)
	if err != nil {
		return nil, err
	}
	keys, err := jwks.Open(os.Getenv("JWKS_URL"), log)
	if err != nil {
		return nil, err
	}
	return build(ctx, &receiver.Receiver{
		Endpoint: webhook.DynamicEndpoint,
		Gate:     &webhook.Token{Tokens: tokens},
		Verifier: &webhook.Dynamic{Keys: keys, Tolerance: webhook.DefaultTolerance},
	}, tokens.Warm, keys.Warm)
}

// build adds what both have in common.
func build(ctx context.Context, r *receiver.Receiver, warm ...func(context.Context) error) (*instance.Function, error) {
	routes, err := publish.RoutesIn(project())(os.Getenv("TOPICS"))
	if err != nil {
		return nil, err
	}
	ledger, err := dedup.Open(ctx, project(), "(default)", "deliveries")
	if err != nil {
		return nil, err
	}
	publisher, err := publish.Open(ctx, routes)
	if err != nil {
		return nil, err
	}
	factor, err := strconv.Atoi(os.Getenv(slowness))
	if err != nil {
		return nil, err
	}
	short := shortTimes.slower(factor)
	ledger.Lease, ledger.EndTimeout = short.lease, short.end
	r.Ledger, r.Publisher, r.Log, r.TakeTimeout = ledger, publisher, log, short.take
	return &instance.Function{Handler: r, Warm: append(warm, ledger.Warm, publisher.Warm)}, nil
}
