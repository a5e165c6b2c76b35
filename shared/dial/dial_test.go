package dial_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cloud.google.com/go/pubsub/v2/apiv1/pubsubpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
	"google.golang.org/grpc/test/bufconn"

	"github.com/geminihook/geminihook/shared/dedup"
	"github.com/geminihook/geminihook/shared/dial"
	"github.com/geminihook/geminihook/shared/gcptest"
	"github.com/geminihook/geminihook/shared/gcptest/proxy"
	"github.com/geminihook/geminihook/shared/publish"
	"github.com/geminihook/geminihook/shared/secret"
	"github.com/geminihook/geminihook/shared/webhook"
	"github.com/geminihook/geminihook/shared/webhook/webhooktest"
)

const topic = "projects/p/topics/all"

// A wire is an in-memory server and its connections, which can silently drop all
// packets.
type wire struct {
	*proxy.Listener
	memory *bufconn.Listener
}

func newWire(t *testing.T, register func(grpc.ServiceRegistrar), opts ...grpc.ServerOption) wire {
	memory := bufconn.Listen(1 << 20)
	w := wire{proxy.NewListener(memory), memory}
	server := grpc.NewServer(opts...)
	register(server)
	go server.Serve(w)
	t.Cleanup(server.Stop)
	return w
}

func (w wire) dialer() grpc.DialOption {
	return grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return w.memory.DialContext(ctx) })
}

func (w wire) connect(t *testing.T) *grpc.ClientConn {
	conn, err := grpc.NewClient("passthrough:///memory", grpc.WithTransportCredentials(insecure.NewCredentials()), w.dialer(), dial.Keepalive())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

// options direct a Google client to the wire, with the same transport as in
// production.
func (w wire) options() []option.ClientOption {
	return []option.ClientOption{
		option.WithEndpoint("passthrough:///memory"),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())),
		option.WithGRPCDialOption(w.dialer()),
	}
}

// TestMain unsets the variables that would direct a client past its wire.
func TestMain(m *testing.M) {
	for _, variable := range []string{"FIRESTORE_EMULATOR_HOST", "PUBSUB_EMULATOR_HOST", "SECRET_MANAGER_EMULATOR_HOST"} {
		os.Unsetenv(variable)
	}
	os.Exit(m.Run())
}

// products open one client each, on a wire of its own, and return a call to make with
// it.
var products = map[string]func(t *testing.T) (w wire, call func(context.Context) error){
	"Firestore":      openLedger,
	"Pub/Sub":        openPublisher,
	"Secret Manager": openSecret,
}

// A call succeeds on a connection that silently died while idle, within the call's
// timeout in production.
func TestDeadConnection(t *testing.T) {
	for name, product := range products {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w, call := product(t)
				limited := func() error {
					ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
					defer cancel()
					return call(ctx)
				}
				if err := limited(); err != nil {
					t.Fatalf("before: %v", err)
				}
				for _, idle := range []time.Duration{12 * time.Second, 6 * time.Minute, 2 * time.Hour} {
					time.Sleep(idle)
					w.Forget()
					if err := limited(); err != nil {
						t.Errorf("the first call after %v: %v", idle, err)
					}
				}
			})
		})
	}
}

func openLedger(t *testing.T) (wire, func(context.Context) error) {
	w := newWire(t, gcptest.NewFirestore().Register)
	ledger, err := dedup.Open(t.Context(), "p", "(default)", "deliveries", w.options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ledger.Close() })
	return w, func(ctx context.Context) error {
		d := &webhook.Delivery{ID: webhooktest.NewID()}
		_, err := ledger.Once(ctx, d, func(context.Context) (webhook.Receipt, error) { return webhook.Receipt{}, nil })
		return err
	}
}

func openPublisher(t *testing.T) (wire, func(context.Context) error) {
	w := newWire(t, func(s grpc.ServiceRegistrar) { pubsubpb.RegisterPublisherServer(s, acknowledging{}) })
	publisher, err := publish.Open(t.Context(), publish.Routes{"*": topic}, w.options()...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { publisher.Close() })
	return w, func(ctx context.Context) error {
		_, err := publisher.Publish(ctx, &webhook.Delivery{ID: "a", Body: []byte("{}")})
		return err
	}
}

// acknowledging is a Pub/Sub server without TCP, because a bubble cannot wait for
// sockets.
type acknowledging struct {
	pubsubpb.UnimplementedPublisherServer
}

func (acknowledging) Publish(context.Context, *pubsubpb.PublishRequest) (*pubsubpb.PublishResponse, error) {
	return &pubsubpb.PublishResponse{MessageIds: []string{"1"}}, nil
}

func openSecret(t *testing.T) (wire, func(context.Context) error) {
	manager := gcptest.NewSecretManager()
	w := newWire(t, manager.Register)
	if _, err := manager.AddSecret(t.Context(), "p", "s", "value"); err != nil {
		t.Fatal(err)
	}
	// The test does not close the cache, so it closes the connection.
	conn := w.connect(t)
	parse := func(value []byte) (string, error) { return string(value), nil }
	values, err := secret.Open(t.Context(), "a secret", "p", "s", parse, slog.New(slog.DiscardHandler), option.WithGRPCConn(conn))
	if err != nil {
		t.Fatal(err)
	}
	return w, func(ctx context.Context) error {
		_, err := values.Find(ctx, func(string) bool { return false }) // a miss always calls the server
		return err
	}
}

// No client logs its requests and responses, even if this variable is set.
func TestNoLog(t *testing.T) {
	t.Setenv("GOOGLE_SDK_GO_LOGGING_LEVEL", "debug")
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = write
	t.Cleanup(func() { os.Stderr = stderr })
	for _, product := range products {
		_, call := product(t)
		if err := call(t.Context()); err != nil {
			t.Error(err)
		}
	}
	write.Close()
	if logged, _ := io.ReadAll(read); len(logged) > 0 {
		t.Errorf("logged %s", logged)
	}
}

// A server closes a connection that pings more often than its minimum interval
// without other calls. It does not close a connection that also answers calls. After
// a close the next call opens a new connection.
func TestServerRejectsPings(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWire(t, func(s grpc.ServiceRegistrar) { grpc_health_v1.RegisterHealthServer(s, waiting{health.NewServer()}) },
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 5 * time.Minute})) // gRPC's default
		conn := w.connect(t)
		check := func(service string) error {
			_, err := grpc_health_v1.NewHealthClient(conn).Check(t.Context(), &grpc_health_v1.HealthCheckRequest{Service: service})
			return err
		}
		for range 100 {
			if err := check(""); err != nil {
				t.Fatalf("a short call: %v", err)
			}
			time.Sleep(11 * time.Second) // so that each call sends a ping
		}
		if err := check(endless); status.Code(err) != codes.Unavailable || !strings.Contains(err.Error(), "too_many_pings") {
			t.Errorf("an endless call: %v, want too_many_pings", err)
		}
		if err := check(""); err != nil {
			t.Errorf("the next call: %v", err)
		}
	})
}

// endless is the name of a service that waiting checks until the client gives up.
const endless = "endless"

type waiting struct{ *health.Server }

func (w waiting) Check(ctx context.Context, r *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	if r.Service == endless {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return w.Server.Check(ctx, r)
}
